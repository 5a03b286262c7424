"""Settings of `clinragen ablate`. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Which seeds are run, and how much is written.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    seeds: int = setting(3, help="How many seeds every line is run with: 0, 1, 2 and so on.", at_least=1)
    seed: tuple[int, ...] = setting(
        (), help="A seed to run, in place of --seeds; repeatable.", at_least=0, at_most=LARGEST_SEED
    )
    texts: int | None = setting(
        None, help="Patients whose rationales are written, in every line [default: the recipe's].", at_least=1
    )
    only_table: bool = setting(False, help="Run nothing: make the table again of the runs that are there.")

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to run, each once."""
        return tuple(dict.fromkeys(self.seed)) or tuple(range(self.seeds))
