"""Settings of the service. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting

HEALTH = "/healthz"
"""The route that needs no token."""
TOKEN_VARIABLE = "CLINRAGEN_TOKEN"
"""Of the environment."""


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """How requests are answered.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    batch_size: int = setting(32, help="Patients that are explained at once.", unit="patients", at_least=1)
    queue: int = setting(
        256, help="Patients that may wait; further requests are refused with 503.", unit="patients", at_least=1
    )
    processes: int = setting(
        1, help="Processes that share every batch, each with the model in its memory.", unit="processes", at_least=1
    )

    def __post_init__(self) -> None:
        check_values(self)
