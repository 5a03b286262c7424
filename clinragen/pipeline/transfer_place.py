"""Stage `transfer`: one model's answers about one place, saved and scored as by `evaluate`, without baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.pipeline.rationales import KNOWLEDGE_FILE
from clinragen.pipeline.scored_cohort import ScoredCohort, read_scored_cohort
from clinragen.pipeline.stage import StageKind
from clinragen.transfer.config import TransferConfig
from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.progress import Report

if TYPE_CHECKING:
    from dataset_builder.contract.cohort_splits import CohortSplits

TRANSFER = StageKind(
    "transfer",
    TransferConfig,
    "clinragen.pipeline.transfer_place",
    reads={"truth": (f"*{TRUTH}",), "knowledge": (KNOWLEDGE_FILE,)},
)


def run(config: TransferConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Write the evaluation of the input `full` on the input `cohort`, whose `knowledge` and `truth` may be given."""
    from clinragen.evaluation.answers import answer_systems
    from clinragen.evaluation.config import EvaluateConfig
    from clinragen.evaluation.run import Results, score_answers
    from clinragen.evaluation.systems import MAIN, systems_of
    from trainers.device import cpu_threads

    place = read_place(inputs, config.split)
    settings = EvaluateConfig(texts=config.texts, batch_size=config.batch_size, device=config.device)
    systems = systems_of({MAIN: Path(inputs[MAIN])})
    cohort, checking, truth = place.cohort, place.checking, place.truth
    with cpu_threads(config.cpu_threads):
        answers = answer_systems(cohort, systems, settings, checking=checking, truth=truth, report=report)
    results = Results(answers, {})
    score_answers(output, cohort, results, settings, checking=checking, truth=truth, report=report)


def read_place(inputs: Mapping[str, Any], split: str) -> ScoredCohort:
    """The cohort of a place, with the patients that are asked about as its test split."""
    place = read_scored_cohort(inputs)
    return replace(place, cohort=asked_of(place.cohort, split))


def asked_of(cohort: CohortSplits, split: str) -> CohortSplits:
    """The cohort whose test split are the patients of `split`, one of `clinragen.transfer.config.SPLITS`."""
    from datasets import concatenate_datasets

    from dataset_builder.contract.cohort_splits import CohortSplits
    from dataset_builder.contract.schema import SPLITS

    if split == "test":
        return cohort
    whole = concatenate_datasets([cohort[name] for name in SPLITS]).flatten_indices()
    return CohortSplits({**cohort, "test": whole}, cohort.provenance, cohort.vocabulary)
