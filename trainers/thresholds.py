"""Decision thresholds on probabilities, chosen to maximise micro F1 on a validation split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def micro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Micro F1 of 0/1 arrays of one shape; 0 when nothing is true and nothing predicted."""
    truth, given = np.asarray(labels, dtype=bool), np.asarray(predictions, dtype=bool)
    total = int(truth.sum() + given.sum())
    return float(2 * (truth & given).sum() / total) if total else 0.0


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold t for which `probabilities >= t` has the highest F1; of equal ones, the highest.

    All distinct cuts are tried; the threshold lies halfway between two probabilities. It is 0.5 when no label is true:
    F1 says nothing then.
    """
    truth = np.asarray(labels, dtype=bool).ravel()
    if not truth.any():
        return 0.5
    scores = np.asarray(probabilities, dtype=float).ravel()
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    given = np.arange(1, len(ranked) + 1)
    f1 = 2 * np.cumsum(truth[order]) / (given + truth.sum())
    # A cut is possible only where the probability changes.
    possible = np.append(ranked[:-1] > ranked[1:], True)
    best = int(np.argmax(np.where(possible, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def _one_or_each(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    shared = best_threshold(labels, probabilities)
    each = [
        best_threshold(labels[:, column], probabilities[:, column]) if labels[:, column].any() else shared
        for column in range(labels.shape[1])
    ]
    return {"global": np.full(labels.shape[1], shared), "per_disease": np.array(each)}


def choose_thresholds(
    labels: np.ndarray, probabilities: np.ndarray, subject_ids: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, str, float]:
    """One threshold for all diseases or one for each, whichever has the higher micro F1 on the validation split.

    Twenty-five thresholds scored on the rows they were fitted to nearly always look better than one and then do worse
    on new patients, which would make the baseline easy to beat. So each kind is fitted on one half of the subjects,
    scored on the other, and the other way round; the better kind is then fitted on all rows. A disease without a case
    keeps the global threshold.

    Args:
        labels, probabilities: `(examples, diseases)`.
        subject_ids: The patient of each example.

    Returns:
        The thresholds `(diseases,)`; "global" or "per_disease" (global when equal); the cross-fitted micro F1.
    """
    truth = np.asarray(labels, dtype=bool)
    second_half = np.unique(np.asarray(subject_ids), return_inverse=True)[1] % 2 == 1
    decided = {kind: np.zeros_like(truth) for kind in ("global", "per_disease")}
    for fitted, scored in ((second_half, ~second_half), (~second_half, second_half)):
        for kind, thresholds in _one_or_each(truth[fitted], probabilities[fitted]).items():
            decided[kind][scored] = probabilities[scored] >= thresholds
    reached = {kind: micro_f1(truth, given) for kind, given in decided.items()}
    kind = "per_disease" if reached["per_disease"] > reached["global"] else "global"
    return _one_or_each(truth, probabilities)[kind], kind, reached[kind]
