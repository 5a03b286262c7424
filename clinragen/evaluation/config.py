"""Settings of the evaluation. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.evaluation.baselines.boosting_settings import BOOSTING
from dataset_builder.storage.config_fields import check_values, setting
from trainers.device import AUTO, check_device


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How the models' outputs are generated, which of it is shown, and what the report must say.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    batch_size: int = setting(32, help="Examples generated at once.", unit="examples", at_least=1, decides=False)
    device: str = setting(
        AUTO, help="Device of the models: auto (a GPU where there is one), cpu, cuda or cuda:N.", decides=False
    )
    cpu_threads: int | None = setting(
        None,
        help="Threads that torch computes with where there is no GPU; every core by default. A tiny model is as fast "
        "with one.",
        unit="threads",
        at_least=1,
        decides=False,
    )
    num_beams: int = setting(1, help="Beams of the search; 1 is greedy.", unit="beams", at_least=1)
    raw: bool = setting(
        False, help="Show what the models write freely: nothing is grounded, checked, written again or withheld."
    )
    alone: bool = setting(
        False,
        help="Score the full model also on the note alone and on the labs alone, where no model of these phases is "
        "given; for one that was trained with modality_dropout.",
    )
    texts: int | None = setting(
        None,
        help="Patients whose rationales are written and scored, drawn from the test split; all by default. The others "
        "get a list of diseases alone.",
        unit="patients",
        at_least=1,
    )
    baselines: str = setting(
        "full",
        help="How much work the baselines do: full, or light, which takes about a third of the time.",
        choices=tuple(BOOSTING),
    )
    gru: bool = setting(
        False, help="Also train a GRU on the series, which the paper compares with: a few minutes without a GPU."
    )
    notices: tuple[str, ...] = setting(
        (), help="Sentences that every output must carry, besides those of the cohort's provenance."
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_device(self.device)
