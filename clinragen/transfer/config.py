"""Settings of a transfer. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting
from trainers.device import AUTO, check_device

SPLITS = ("test", "all")
"""The patients of a place that are asked about."""


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """How the model is asked about each place.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    split: str = setting(
        "test",
        help="Patients of the other places: each cohort's own test split, or all of them. Of the home cohort it is "
        "always the test split, because the model has learned from the others.",
        choices=SPLITS,
    )
    texts: int | None = setting(
        None,
        help="Patients of each place whose rationales are written and checked; all by default. The others get a list "
        "of diseases alone.",
        unit="patients",
        at_least=1,
    )
    batch_size: int = setting(32, help="Examples generated at once.", unit="examples", at_least=1, decides=False)
    device: str = setting(
        AUTO, help="Device of the model: auto (a GPU where there is one), cpu, cuda or cuda:N.", decides=False
    )
    cpu_threads: int | None = setting(
        None,
        help="Threads that torch computes with where there is no GPU; every core by default.",
        unit="threads",
        at_least=1,
        decides=False,
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_device(self.device)
