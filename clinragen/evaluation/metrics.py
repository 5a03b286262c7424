"""The numbers of metrics.json: every score of every system with its interval, and paired differences between systems.

Which scores there are says `clinragen.evaluation.scores`; the exact formulas are in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import LEVEL, RESAMPLES, SEED, Bootstrap, interval
from clinragen.evaluation.score_types import WrittenRationales
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RATIONALE_SCORES
from clinragen.evaluation.scores.macro import defined_diseases, f1_by_disease
from clinragen.evaluation.systems import MAIN
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Disease


def system_scores(labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap) -> dict[str, Any]:
    """Scores of one system from 0/1 matrices `(examples, diseases)`.

    Returns:
        `{"micro_f1": {"value", "low", "high"}, ...}` for each of `DIAGNOSIS_SCORES`, and `undefined_diseases`, the
        number of diseases that the macro scores leave out.
    """
    decisions = bootstrap.decisions(labels, predictions)
    result: dict[str, Any] = {score.name: interval(score.compute(decisions)) for score in DIAGNOSIS_SCORES}
    result["undefined_diseases"] = int((~defined_diseases(decisions)[0]).sum())
    return result


def paired_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, bootstrap: Bootstrap
) -> dict[str, dict[str, float]]:
    """`first` minus `second` in each of `DIAGNOSIS_SCORES`, on the same resamples, so that the interval is paired."""
    one, other = (bootstrap.decisions(labels, matrix) for matrix in (first, second))
    return {score.name: interval(score.compute(one) - score.compute(other)) for score in DIAGNOSIS_SCORES}


def disease_scores(labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """F1 of each disease with its interval, and how many examples have it and are given it.

    `value`, `low` and `high` are None where F1 is undefined. Resamples in which it is undefined do not count for the
    interval, so intervals of very rare diseases are approximate.
    """
    decisions = bootstrap.decisions(labels, predictions)
    f1 = np.where(defined_diseases(decisions), f1_by_disease(decisions), np.nan)
    positives, predicted = decisions.labels.sum(axis=0), decisions.predictions.sum(axis=0)
    result: list[dict[str, Any]] = []
    for column, values in enumerate(f1.T):
        score: dict[str, float | None] = {"value": None, "low": None, "high": None}
        if not np.isnan(values[0]):
            score = dict(interval(np.append(values[0], values[1:][~np.isnan(values[1:])])))
        result.append({**score, "positives": int(positives[column]), "predicted": int(predicted[column])})
    return result


def rationale_scores(written: WrittenRationales) -> dict[str, Any]:
    """The entries of all `RATIONALE_SCORES` for one system."""
    return {name: value for score in RATIONALE_SCORES for name, value in score.compute(written).items()}


def teacher_scores(written: WrittenRationales) -> dict[str, Any]:
    """The entries of the teacher's own rationales, which `written` has as answers, in the scores that are of use."""
    scores = [score for score in RATIONALE_SCORES if score.of_teacher]
    return {name: value for score in scores for name, value in score.compute(written).items()}


def compare_systems(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    subject_ids: Sequence[int] | np.ndarray,
    diseases: Sequence[Disease],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """Score every system on the same examples and the same resamples.

    Args:
        labels, predictions: 0/1 matrices `(examples, diseases)`, rows in the order of `subject_ids`; predictions by
            system.
        subject_ids: The patient of each example.
        diseases: The columns.
        resamples, seed: Number of resamples of the patients, and their seed.

    Returns:
        The keys `systems`, `differences` (`full_minus_<other>`), `per_disease` (by system, then by disease key),
        `held_out` and `bootstrap` of metrics.json.

    Raises:
        SettingsError: There is no system "full".
        InputDataError: The matrices do not fit each other or the subjects.
    """
    if MAIN not in predictions:
        raise SettingsError(f"there is no system '{MAIN}' to compare with; score the full model")
    bootstrap = Bootstrap(subject_ids, resamples=resamples, seed=seed)
    truth = np.asarray(labels)
    keys = [disease.key for disease in diseases]
    return {
        "systems": {name: system_scores(truth, matrix, bootstrap) for name, matrix in predictions.items()},
        "differences": {
            f"{MAIN}_minus_{name}": paired_difference(truth, predictions[MAIN], matrix, bootstrap)
            for name, matrix in predictions.items()
            if name != MAIN
        },
        "per_disease": {
            name: dict(zip(keys, disease_scores(truth, matrix, bootstrap), strict=True))
            for name, matrix in predictions.items()
        },
        "held_out": {
            "examples": bootstrap.examples,
            "subjects": bootstrap.subjects,
            "diagnoses": int(truth.sum()),
            "examples_without_diagnosis": int((truth.sum(axis=1) == 0).sum()),
        },
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "unit": "subject"},
    }
