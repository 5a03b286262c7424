"""A cohort to score, and what its claims are checked with, as the stages `evaluate` and `rescore` read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.pipeline.tables_folder import tables_of

if TYPE_CHECKING:
    from clinragen.claims.check import Checking
    from dataset_builder.contract.cohort_splits import CohortSplits
    from dataset_builder.contract.truth import HospitalTruth


SAVED_ANSWERS = ("predictions.json", "predictions.safetensors", "provenance.json")
"""Of an evaluation, the files that later stages read."""


@dataclass(frozen=True, eq=False)
class ScoredCohort:
    """A cohort, what supports which disease, and the truth of the synthetic hospital that it comes from, if any."""

    cohort: CohortSplits
    checking: Checking
    truth: HospitalTruth | None


def read_scored_cohort(inputs: Mapping[str, Any], *, rationales: bool = True) -> ScoredCohort:
    """Read the inputs `cohort`, `knowledge` (else the cohort's own definitions) and `truth` (may be missing).

    Without `rationales` to check, neither knowledge nor truth is read.
    """
    from clinragen.claims.check import Checking
    from clinragen.knowledge.reader import KNOWLEDGE
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.contract.truth import read_truth

    folder = Path(inputs["cohort"])
    cohort = load_examples(folder)
    if not rationales:
        ranges = cohort.vocabulary.range_set(cohort.range_set)
        return ScoredCohort(cohort, Checking(cohort.vocabulary, ranges, None), None)
    checking = checking_of(cohort, folder, Path(inputs["knowledge"]) / KNOWLEDGE if "knowledge" in inputs else None)
    return ScoredCohort(cohort, checking, read_truth(tables_of(inputs["truth"])) if "truth" in inputs else None)


def checking_of(cohort: CohortSplits, folder: Path, knowledge: Path | None) -> Checking:
    """The standards that claims about a cohort are checked with.

    Args:
        cohort: The cohort.
        folder: Where it is.
        knowledge: The file of a knowledge base; None for the terms of the cohort's own definitions.
    """
    from clinragen.claims.check import Checking
    from clinragen.knowledge.assemble import base_of
    from clinragen.knowledge.reader import load_knowledge, parse_knowledge
    from dataset_builder.contract.definitions import read_definitions

    if knowledge is not None:
        base = load_knowledge(knowledge, cohort.vocabulary)
    else:
        base = parse_knowledge(base_of(read_definitions(folder)), "the cohort's vocabulary", cohort.vocabulary)
    return Checking(cohort.vocabulary, cohort.vocabulary.range_set(cohort.range_set), base)
