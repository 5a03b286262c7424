"""One place's scores on resamples of its patients, from the saved answers of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.claims.types import CONTRADICTED
from clinragen.evaluation.bootstrap import DECIMALS, SEED, Bootstrap, defined_interval
from clinragen.evaluation.checked import Given, check_text
from clinragen.evaluation.diagnosis import match_diagnoses
from clinragen.evaluation.predictions import Predictions
from clinragen.evaluation.ranking import Ranked
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES
from clinragen.evaluation.scores.claims import DATA
from clinragen.evaluation.scores.evidence import SOURCES, evidence_counts
from clinragen.evaluation.systems import MAIN
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth

TITLES: Mapping[str, str] = {
    "micro_f1": "Micro F1",
    "macro_f1": "Macro F1",
    "micro_auroc": "Micro AUROC",
    "macro_auroc": "Macro AUROC",
    "calibration_error": "Calibration error",
    "contradicted": "Claims contradicted, as shown",
    "cited_note": "Evidence of the note cited",
    "cited_series": "Evidence of the series cited",
}
"""The scores of a transfer, with what reports call them."""


@dataclass(frozen=True, eq=False)
class PlaceScores:
    """The scores of a place.

    Args:
        values: By name in `TITLES`, `(resamples + 1,)`; the first is that of the patients themselves, NaN is
            undefined. What cannot be scored at all is missing.
        subjects, examples, explained: How many patients and stays there are, and of how many a rationale was written.
    """

    values: Mapping[str, np.ndarray]
    subjects: int
    examples: int
    explained: int

    def intervals(self) -> dict[str, dict[str, Any]]:
        """Every score with its interval."""
        return {name: defined_interval(values) for name, values in self.values.items()}

    def minus(self, home: PlaceScores) -> dict[str, dict[str, Any]]:
        """The differences to the home cohort in what both have, each from resamples of its own patients (unpaired)."""
        return {
            name: defined_interval(values - home.values[name])
            for name, values in self.values.items()
            if name in home.values
        }


def score_place(
    cohort: CohortSplits,
    predictions: Predictions,
    checking: Checking,
    *,
    truth: HospitalTruth | None = None,
    number: int = 0,
) -> PlaceScores:
    """Score the full model's saved answers about a cohort's test split.

    Args:
        cohort: The cohort.
        predictions: The answers; the caller has seen that they are the cohort's.
        checking: What claims are checked with.
        truth: Of the synthetic hospital that the patients come from, where they do.
        number: Of the place. Each has a seed of its own, so that resamples of two places are independent.
    """
    test = cohort["test"]
    diseases = cohort.vocabulary.diseases
    bootstrap = Bootstrap(test["subject_id"], seed=SEED + number)
    decisions = bootstrap.decisions(
        label_matrix(test), match_diagnoses(predictions.diagnoses[MAIN], diseases).predictions
    )
    values = {one.name: one.compute(decisions) for one in DIAGNOSIS_SCORES if one.name in TITLES}
    given = predictions.probabilities["test"].get(MAIN)
    if given is not None:
        ranked = Ranked(decisions.labels, given, bootstrap)
        values |= {one.name: one.compute(ranked) for one in RANKING_SCORES if one.name in TITLES}
    rows = list(predictions.rows)
    values |= _rationales(test.select(rows), rows, predictions, checking, truth, SEED + number)
    rounded = {name: np.round(one, DECIMALS) for name, one in values.items()}
    return PlaceScores(rounded, bootstrap.subjects, bootstrap.examples, len(rows))


def _rationales(
    examples: Any,
    rows: list[int],
    predictions: Predictions,
    checking: Checking,
    truth: HospitalTruth | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """The shares of claims and of evidence, of the rationales as shown."""
    system = predictions.systems[MAIN]
    bootstrap = Bootstrap(examples["subject_id"], seed=seed)
    checked = [
        check_text(one.shown, Given(row, checking, note=system.reads_note, labs=system.reads_labs))
        for one, row in zip(system.verified, examples, strict=True)
    ]
    claims = [[claim.verdict for claim in one.claims if claim.kind in DATA] for one in checked]
    counts = {"contradicted": np.array([[one.count(CONTRADICTED) for one in claims], [len(one) for one in claims]])}
    if truth is not None:
        truths = [truth.of(*stay) for stay in zip(examples["hadm_id"], examples["stay_id"], strict=True)]
        # As `evaluate` counts them: what is listed plays no role for all present diseases.
        found = evidence_counts(checked, truths, [frozenset()] * len(rows), set(checking.vocabulary.name_of_disease))
        counts |= {f"cited_{source}": found[source, "present"] for source in SOURCES}
    return {name: bootstrap.quotients(*pair) for name, pair in counts.items()}
