"""Settings of the interventions. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from trainers.device import AUTO, check_device


@dataclass(frozen=True, kw_only=True)
class InterventionsConfig:
    """Which patients are asked about again, and how.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    patients: int | None = setting(
        300, help="Examples that are asked about, drawn from the test split.", unit="examples", at_least=2
    )
    units: int = setting(
        5,
        help="Pieces of evidence, sentences of the note and variables of the series, that a patient is reduced to.",
        unit="pieces",
        at_least=1,
    )
    permutations: int = setting(
        999, help="Shuffles of the knowledge terms between the diseases, for the alignment's p value.", at_least=99
    )
    heat_maps: int = setting(3, help="Patients whose knowledge attention is drawn.", unit="patients", at_least=0)
    seed: int = setting(
        0, help="Draws the patients and everything that is drawn about them.", at_least=0, at_most=LARGEST_SEED
    )
    batch_size: int = setting(32, help="Patients asked about at once.", unit="patients", at_least=1, decides=False)
    device: str = setting(
        AUTO, help="Device of the model: auto (a GPU where there is one), cpu, cuda or cuda:N.", decides=False
    )
    cpu_threads: int | None = setting(
        None,
        help="Threads that torch computes with where there is no GPU; every core by default. A tiny model is as fast "
        "with one.",
        unit="threads",
        at_least=1,
        decides=False,
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_device(self.device)
