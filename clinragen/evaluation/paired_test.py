"""Are two systems' decisions exchangeable? A paired permutation test by subject, and Holm's correction for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modeling_clinragen.errors import InputDataError

PERMUTATIONS = 9999
SEED = 0
AT_ONCE = 2**22
"""Swaps of subjects that are held at a time."""
EQUAL = 1e-12
"""Differences that are as far apart as this are equal: sums in another order differ in the last bits."""

Pair = tuple[str, str]


def paired_tests(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    pairs: Sequence[Pair],
    subject_ids: Sequence[int] | np.ndarray,
) -> dict[str, Any]:
    """p values of differences in micro F1, two-sided, with Holm's correction over all pairs.

    Under the null hypothesis it does not matter which of the two systems made which decisions: for every subject all
    decisions of the two may be swapped. The p value is the share of swaps in which the systems are at least as far
    apart as they are. Up to 13 subjects all swaps are tried, for more `PERMUTATIONS` random ones, the same for all
    pairs; the decisions as they are count as one more.

    Args:
        labels: 0/1 `(examples, diseases)`.
        predictions: The same by system.
        pairs: Names of the systems that are compared.
        subject_ids: The patient of each example.

    Returns:
        `score`, `permutations`, `seed`, `exact` (whether all swaps were tried), and `differences`: by
        "<one>_minus_<other>" the `p` value and `p_holm`.

    Raises:
        InputDataError: Two systems are about different numbers of examples or diseases.
    """
    truth = np.asarray(labels) > 0
    for name in {name for pair in pairs for name in pair}:
        if np.shape(predictions[name]) != truth.shape or len(subject_ids) != len(truth):
            raise InputDataError(
                f"{name}: predictions {np.shape(predictions[name])} cannot be paired with labels {truth.shape} of "
                f"{len(subject_ids)} examples; compare systems on the same examples"
            )
    subjects, membership = np.unique(np.asarray(subject_ids), return_inverse=True)
    counted = {name: _counts(truth, np.asarray(matrix) > 0, membership) for name, matrix in predictions.items()}
    exact = 2 ** len(subjects) <= PERMUTATIONS + 1
    extreme = np.zeros(len(pairs))
    total = 0
    for swapped in _swaps(len(subjects), exact=exact):
        total += len(swapped)
        for number, (one, other) in enumerate(pairs):
            extreme[number] += _as_extreme(swapped, counted[one], counted[other], int(truth.sum()))
    # All swaps hold the decisions as they are; random ones hardly do.
    p_values = extreme / total if exact else (extreme + 1) / (total + 1)
    return {
        "score": "micro_f1",
        "permutations": total,
        "seed": SEED,
        "exact": exact,
        "differences": {
            f"{one}_minus_{other}": {"p": float(p), "p_holm": corrected}
            for (one, other), p, corrected in zip(pairs, p_values, holm(p_values), strict=True)
        },
    }


def holm(p_values: Sequence[float] | np.ndarray) -> list[float]:
    """p values corrected for their number by Holm's step-down method, in the order given."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    stepped = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    corrected = np.empty(len(values))
    corrected[order] = stepped
    return corrected.tolist()


def _counts(truth: np.ndarray, given: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """True positives and decisions for a disease by subject, `(subjects, 2)`."""
    by_example = np.stack([(truth & given).sum(axis=1), given.sum(axis=1)], axis=1)
    found = np.zeros((int(membership.max(initial=-1)) + 1, 2))
    np.add.at(found, membership, by_example)
    return found


def _swaps(subjects: int, *, exact: bool) -> Any:
    """Matrices `(swaps, subjects)` of 0 and 1: which subjects' decisions are swapped."""
    if exact:
        yield (np.arange(2**subjects)[:, None] >> np.arange(subjects) & 1).astype(float)
        return
    rng = np.random.default_rng(SEED)
    size = max(1, AT_ONCE // subjects)
    for start in range(0, PERMUTATIONS, size):
        yield rng.integers(0, 2, (min(size, PERMUTATIONS - start), subjects), dtype=np.int8).astype(float)


def _as_extreme(swapped: np.ndarray, one: np.ndarray, other: np.ndarray, positives: int) -> int:
    """In how many swaps the two systems are at least as far apart as they are."""
    moved = swapped @ (other - one)
    differences = _f1(one.sum(axis=0) + moved, positives) - _f1(other.sum(axis=0) - moved, positives)
    own = _f1(one.sum(axis=0), positives) - _f1(other.sum(axis=0), positives)
    return int((np.abs(differences) >= np.abs(own) - EQUAL).sum())


def _f1(counts: np.ndarray, positives: int) -> np.ndarray:
    total = counts[..., 1] + positives
    return np.divide(2 * counts[..., 0], total, out=np.zeros_like(total), where=total > 0)
