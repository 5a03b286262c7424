"""Settings of scores by group. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting


@dataclass(frozen=True, kw_only=True)
class GroupsConfig:
    """Which groups are compared.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    least: int = setting(30, help="Patients that a group, and all others, need to be compared.", at_least=2)

    def __post_init__(self) -> None:
        check_values(self)
