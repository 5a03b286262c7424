"""Micro and macro precision, recall and F1 of multi-label diagnoses, with intervals from resampled patients.

Rules, the same everywhere (the exact formulas are in docs/evaluation.md):

- micro scores pool the decisions of all diseases; 0 when nothing is true and nothing is predicted;
- macro scores are the mean over the diseases. A disease that nobody has and nobody is given says nothing about the
  system: it is left out of the mean and counted as `undefined_diseases`. A disease that is only predicted, or only
  present, scores 0 and stays in;
- intervals are 95 % percentile intervals over resamples of *subjects*, because stays of one person are not
  independent. Every resample applies the rules above anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modeling_clinragen.errors import InputDataError, SettingsError

RESAMPLES = 1000
SEED = 0
LEVEL = 0.95
SCORES = ("micro_f1", "micro_precision", "micro_recall", "macro_f1", "macro_precision", "macro_recall")


class Bootstrap:
    """Resamples of the subjects of a held-out split, shared by all systems so that their differences are paired.

    `weights` (resamples + 1, subjects) says how often each resample holds each subject; row 0 is the split itself.
    Raises `InputDataError` when there is no example and `SettingsError` for fewer than 100 resamples, whose
    percentiles would mean little.
    """

    def __init__(
        self, subject_ids: Sequence[int] | np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> None:
        if len(subject_ids) == 0:
            raise InputDataError("the held-out split has no example; build a larger cohort")
        if resamples < 100:
            raise SettingsError(f"{resamples} resamples are too few for an interval; use 100 or more")
        subjects, self.membership = np.unique(np.asarray(subject_ids), return_inverse=True)
        self.subjects = len(subjects)
        self.examples = len(self.membership)
        self.resamples = resamples
        self.seed = seed
        drawn = np.random.default_rng(seed).multinomial(
            self.subjects, np.full(self.subjects, 1 / self.subjects), size=resamples
        )
        self.weights = np.vstack([np.ones((1, self.subjects)), drawn])

    def outcomes(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """True positives, false positives and false negatives per resample: (3, resamples + 1, diseases).

        Raises `InputDataError` when the 0/1 matrices (examples, diseases) do not fit each other or the split.
        """
        truth, given = np.asarray(labels), np.asarray(predictions)
        if truth.ndim != 2 or truth.shape != given.shape or len(truth) != self.examples:
            raise InputDataError(
                f"labels {truth.shape} and predictions {given.shape} do not fit {self.examples} examples; "
                "score every example of the split, once, in the same order"
            )
        if not (np.isin(truth, (0, 1)).all() and np.isin(given, (0, 1)).all()):
            raise InputDataError("labels and predictions must be 0 or 1; apply a threshold to probabilities first")
        truth, given = truth.astype(bool), given.astype(bool)
        resampled = []
        for kind in (truth & given, ~truth & given, truth & ~given):
            by_subject = np.zeros((self.subjects, truth.shape[1]))
            np.add.at(by_subject, self.membership, kind)
            resampled.append(self.weights @ by_subject)
        return np.stack(resampled)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _precision_recall_f1(outcomes: np.ndarray) -> dict[str, np.ndarray]:
    hit, false_alarm, missed = outcomes
    return {
        "precision": _ratio(hit, hit + false_alarm),
        "recall": _ratio(hit, hit + missed),
        "f1": _ratio(2 * hit, 2 * hit + false_alarm + missed),
    }


def _scores(outcomes: np.ndarray) -> dict[str, np.ndarray]:
    """Every score of `SCORES` per resample, (resamples + 1,)."""
    micro = _precision_recall_f1(outcomes.sum(axis=-1))
    each = _precision_recall_f1(outcomes)
    defined = outcomes.sum(axis=0) > 0
    counted = np.maximum(defined.sum(axis=-1), 1)
    scores = {f"micro_{name}": values for name, values in micro.items()}
    # An undefined disease scores 0 above, so summing all and dividing by the defined ones leaves it out.
    scores.update({f"macro_{name}": values.sum(axis=-1) / counted for name, values in each.items()})
    return scores


def _interval(values: np.ndarray) -> dict[str, float]:
    """The value on the split itself (first) and the percentile interval over the resamples (rest)."""
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values[1:], [tail, 100 - tail])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def system_scores(labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap) -> dict[str, Any]:
    """Scores of one system from 0/1 matrices (examples, diseases).

    Returns `{"micro_f1": {"value", "low", "high"}, ...}` for each of `SCORES`, and `undefined_diseases`, the number of
    diseases that the macro scores leave out.
    """
    outcomes = bootstrap.outcomes(labels, predictions)
    result: dict[str, Any] = {name: _interval(values) for name, values in _scores(outcomes).items()}
    result["undefined_diseases"] = int((outcomes[:, 0].sum(axis=0) == 0).sum())
    return result


def paired_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, bootstrap: Bootstrap
) -> dict[str, dict[str, float]]:
    """`first` minus `second` in each of `SCORES`; both are scored on the same resamples, so the interval is paired."""
    ours, theirs = (_scores(bootstrap.outcomes(labels, matrix)) for matrix in (first, second))
    return {name: _interval(ours[name] - theirs[name]) for name in SCORES}


def disease_scores(labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """F1 of each disease with its interval, and how many examples have it and are given it.

    `value`, `low` and `high` are None where F1 is undefined. Resamples in which it is undefined do not count for the
    interval, so intervals of very rare diseases are approximate.
    """
    outcomes = bootstrap.outcomes(labels, predictions)
    f1 = np.where(outcomes.sum(axis=0) > 0, _precision_recall_f1(outcomes)["f1"], np.nan)
    hit, false_alarm, missed = outcomes[:, 0].astype(int)
    result: list[dict[str, Any]] = []
    for column, values in enumerate(f1.T):
        interval: dict[str, float | None] = {"value": None, "low": None, "high": None}
        if not np.isnan(values[0]):
            interval = dict(_interval(np.append(values[0], values[1:][~np.isnan(values[1:])])))
        positives, predicted = int(hit[column] + missed[column]), int(hit[column] + false_alarm[column])
        result.append({**interval, "positives": positives, "predicted": predicted})
    return result
