"""How well probabilities rank examples, and how true they are, on the split itself and on every resample of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clinragen.evaluation.bootstrap import DECIMALS, Bootstrap, ratio
from clinragen.evaluation.steps import StepCounts, count_steps
from modeling_clinragen.errors import InputDataError

BINS = 15
"""Bins of equal width in which probabilities are compared with what is true."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas under two curves, one value per resample (and per disease, if there are several).

    Args:
        auroc: Under the ROC curve; NaN where all labels are equal.
        auprc: Under the precision-recall curve, as average precision; NaN where no label is true.
    """

    auroc: np.ndarray
    auprc: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranked:
    """One system's probabilities.

    Args:
        labels: bool `(examples, diseases)`.
        probabilities: float `(examples, diseases)`, from 0 to 1; for the areas only their order counts.
        bootstrap: The resamples.

    Raises:
        InputDataError: The matrices do not fit each other or the split, or a probability is not finite.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    bootstrap: Bootstrap

    def __post_init__(self) -> None:
        shape = self.labels.shape
        if self.probabilities.shape != shape or len(shape) != 2 or shape[0] != self.bootstrap.examples:
            raise InputDataError(
                f"labels {shape} and probabilities {self.probabilities.shape} do not fit {self.bootstrap.examples} "
                "examples; give one for every example and disease"
            )
        if not np.isfinite(self.probabilities).all():
            raise InputDataError("some probabilities are not finite numbers; correct the system that gave them")

    @cached_property
    def pooled(self) -> Areas:
        """Of the decisions of all diseases together: `(resamples + 1,)`."""
        diseases = self.labels.shape[1]
        return self._areas(self.labels.ravel(), self.probabilities.ravel(), np.arange(self.labels.size) // diseases)

    @cached_property
    def by_disease(self) -> Areas:
        """Of each disease: `(resamples + 1, diseases)`."""
        examples = np.arange(len(self.labels))
        found = [
            self._areas(labels, scores, examples)
            for labels, scores in zip(self.labels.T, self.probabilities.T, strict=True)
        ]
        return Areas(np.stack([one.auroc for one in found], axis=1), np.stack([one.auprc for one in found], axis=1))

    @cached_property
    def calibration_error(self) -> np.ndarray:
        """Expected calibration error of all decisions together, `(resamples + 1,)`.

        The mean over the decisions of the distance, in their bin, between the mean probability and the share that is
        true (Naeini et al. 2015).
        """
        examples, diseases = self.labels.shape
        bins = bins_of(self.probabilities)
        missing = np.zeros((examples, BINS))
        rows = np.repeat(np.arange(examples), diseases)
        np.add.at(missing, (rows, bins.ravel()), (self.labels - self.probabilities).ravel())
        decisions = self.bootstrap.sums(np.full(examples, diseases, dtype=float))
        return np.round(ratio(np.abs(self.bootstrap.sums(missing)).sum(axis=1), decisions), DECIMALS)

    @cached_property
    def brier(self) -> np.ndarray:
        """Mean squared distance of a probability to its label, over all decisions, `(resamples + 1,)` (Brier 1950)."""
        examples, diseases = self.labels.shape
        distances = ((self.probabilities - self.labels) ** 2).sum(axis=1)
        decisions = self.bootstrap.sums(np.full(examples, diseases, dtype=float))
        return np.round(ratio(self.bootstrap.sums(distances), decisions), DECIMALS)

    def _areas(self, labels: np.ndarray, scores: np.ndarray, examples: np.ndarray) -> Areas:
        """Areas of decisions `(decisions,)`, each about one of the `examples`."""
        parts = [_weighted_areas(counts) for counts in count_steps(scores, labels, examples, self.bootstrap)]
        return Areas(np.concatenate([one.auroc for one in parts]), np.concatenate([one.auprc for one in parts]))


def bins_of(probabilities: np.ndarray) -> np.ndarray:
    """The number of the bin, from 0 to `BINS` - 1, that each probability is in."""
    return np.clip((probabilities * BINS).astype(int), 0, BINS - 1)


def _weighted_areas(counts: StepCounts) -> Areas:
    """Areas of decisions by steps of equal probability, in which those about a true label are marked."""
    own = counts.marked
    positives = np.cumsum(own, axis=0)
    negatives = np.cumsum(counts.between + counts.beside, axis=0)
    all_positives = own.sum(axis=0)
    all_negatives = (counts.between + counts.beside).sum(axis=0) + counts.after
    # Pairs of a positive and a negative one in which the negative one ranks higher; equal ones count half.
    wrong = (own * (negatives - counts.beside / 2)).sum(axis=0)
    precision = (own * ratio(positives, positives + negatives)).sum(axis=0)
    return Areas(
        1 - _defined_ratio(wrong, all_positives * all_negatives),
        _defined_ratio(precision, all_positives),
    )


def _defined_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
