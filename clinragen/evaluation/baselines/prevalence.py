"""The prevalence guess: the same diseases for everybody."""

from __future__ import annotations

import numpy as np

from modeling_clinragen.errors import InputDataError


class PrevalenceGuess:
    """Gives everybody the same diseases: the set with the highest expected micro F1 under the training prevalences.

    With prevalences p and a set S the expected outcomes per person are sum(p in S) true positives, |S| given and
    sum(p) true, so F1 = 2 sum(p in S) / (|S| + sum(p)). For every size the most prevalent diseases are best, so all
    sizes are tried; of equal ones the smallest is taken, and ties between diseases go by vocabulary order.
    """

    def __init__(self) -> None:
        self.given = np.zeros(0, dtype=np.int8)
        self.prevalence = np.zeros(0)

    def fit(self, labels: np.ndarray) -> PrevalenceGuess:
        """Choose the set from training labels `(examples, diseases)`. Raises `InputDataError` when there are none."""
        truth = np.asarray(labels, dtype=float)
        if truth.ndim != 2 or not len(truth):
            raise InputDataError("the training split has no labels; build a larger cohort")
        self.prevalence = truth.mean(axis=0)
        order = np.argsort(-self.prevalence, kind="stable")
        sizes = np.arange(1, len(order) + 1)
        expected = 2 * np.cumsum(self.prevalence[order]) / (sizes + self.prevalence.sum())
        self.given = np.zeros(len(order), dtype=np.int8)
        if self.prevalence.any():
            self.given[order[: int(np.argmax(expected)) + 1]] = 1
        return self

    def predict(self, examples: int) -> np.ndarray:
        """The same 0/1 row for every example: `(examples, diseases)`."""
        return np.tile(self.given, (examples, 1))

    def probabilities(self, examples: int) -> np.ndarray:
        """The training prevalences as everybody's probabilities: `(examples, diseases)`."""
        return np.tile(self.prevalence, (examples, 1))
