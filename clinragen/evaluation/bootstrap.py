"""Resampled patients: the intervals of all scores, and differences between systems on the same resamples.

Intervals are 95 % percentile intervals over resamples of *subjects*, because stays of one person are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_clinragen.errors import InputDataError, SettingsError

RESAMPLES = 1000
MIN_RESAMPLES = 100
SEED = 0
LEVEL = 0.95
DECIMALS = 6
"""Of what is computed with real numbers of a model's: their last bits depend on who computed them."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """One system's decisions, counted on the split itself (row 0) and on every resample of its subjects.

    Args:
        labels, predictions: bool `(examples, diseases)`.
        hits, false_alarms, misses: True positives, false positives and false negatives of each disease, float
            `(resamples + 1, diseases)`.
        bootstrap: The resamples.
    """

    labels: np.ndarray
    predictions: np.ndarray
    hits: np.ndarray
    false_alarms: np.ndarray
    misses: np.ndarray
    bootstrap: Bootstrap

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over all examples of one number per example: `(examples,)` to `(resamples + 1,)`."""
        return self.bootstrap.sums(values) / self.bootstrap.sums(np.ones(self.bootstrap.examples))


class Bootstrap:
    """Resamples of the subjects of a held-out split, shared by all systems so that their differences are paired.

    `weights` `(resamples + 1, subjects)` says how often each resample holds each subject; row 0 is the split itself.

    Raises:
        InputDataError: There is no example.
        SettingsError: There are fewer than 100 resamples, whose percentiles would mean little.
    """

    def __init__(
        self, subject_ids: Sequence[int] | np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> None:
        if len(subject_ids) == 0:
            raise InputDataError("the held-out split has no example; build a larger cohort")
        if resamples < MIN_RESAMPLES:
            raise SettingsError(f"{resamples} resamples are too few for an interval; use {MIN_RESAMPLES} or more")
        subjects, self.membership = np.unique(np.asarray(subject_ids), return_inverse=True)
        self.subjects = len(subjects)
        self.examples = len(self.membership)
        self.resamples = resamples
        self.seed = seed
        drawn = np.random.default_rng(seed).multinomial(
            self.subjects, np.full(self.subjects, 1 / self.subjects), size=resamples
        )
        self.weights = np.vstack([np.ones((1, self.subjects)), drawn])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over the examples of every resample: `(examples, ...)` to `(resamples + 1, ...)`."""
        by_subject = np.zeros((self.subjects, *values.shape[1:]))
        np.add.at(by_subject, self.membership, values)
        return self.weights @ by_subject

    def quotient(self, counts: np.ndarray, of: np.ndarray) -> dict[str, Any]:
        """A sum over the examples divided by another one, such as a share of all claims, with its interval.

        Args:
            counts, of: Numerator and denominator of each example, `(examples,)`.

        Returns:
            `count` and `of` (the two sums), `value`, `low` and `high`. The last three are None where `of` is 0;
            resamples in which it is 0 do not count for the interval.
        """
        sums = self.sums(np.stack([np.asarray(counts, dtype=float), np.asarray(of, dtype=float)], axis=-1))
        defined = sums[sums[:, 1] > 0]
        found: dict[str, float | None] = {"value": None, "low": None, "high": None}
        if sums[0, 1] > 0:
            found = dict(interval(defined[:, 0] / defined[:, 1]))
        return {"count": int(sums[0, 0]), "of": int(sums[0, 1]), **found}

    def quotients(self, counts: np.ndarray, of: np.ndarray) -> np.ndarray:
        """As `quotient`, on the examples themselves and on every resample, `(resamples + 1,)`; NaN where `of` is 0."""
        top, bottom = self.sums(np.stack([counts, of], axis=-1).astype(float)).T
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    def mean(self, values: np.ndarray, counted: np.ndarray) -> dict[str, Any]:
        """The mean of one number per example over those examples that count, with its interval.

        Args:
            values: `(examples,)`.
            counted: Which examples count, bool `(examples,)`.

        Returns:
            `value`, `low` and `high`, None where no example counts.
        """
        sums = self.sums(np.stack([np.where(counted, values, 0.0), counted.astype(float)], axis=-1))
        return defined_interval(np.where(sums[:, 1] > 0, ratio(sums[:, 0], sums[:, 1]), np.nan))

    def decisions(self, labels: np.ndarray, predictions: np.ndarray) -> Decisions:
        """Count decisions on every resample.

        Args:
            labels, predictions: 0/1 `(examples, diseases)`, rows in the order of the subjects.

        Raises:
            InputDataError: The matrices do not fit each other or the split, or hold something else than 0 and 1.
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
        hits, false_alarms, misses = (self.sums(kind) for kind in (truth & given, ~truth & given, truth & ~given))
        return Decisions(truth, given, hits, false_alarms, misses, self)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def interval(values: np.ndarray) -> dict[str, float]:
    """The value on the split itself (first) and the percentile interval over the resamples (the rest)."""
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values[1:], [tail, 100 - tail])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def defined_interval(values: np.ndarray) -> dict[str, Any]:
    """As `interval`, of values that may be undefined (NaN).

    `value`, `low` and `high` are None where the value on the split itself is undefined; resamples in which it is
    do not count for the interval.
    """
    if np.isnan(values[0]):
        return {"value": None, "low": None, "high": None}
    return dict(interval(np.append(values[0], values[1:][~np.isnan(values[1:])])))
