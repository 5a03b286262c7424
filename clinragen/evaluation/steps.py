"""Decisions in the order of their scores, counted on every resample: what areas under curves are computed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap

COUNTS_AT_ONCE = 2**18
"""Resamples are taken a few at a time: their counts then stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class StepCounts:
    """How many decisions some resamples hold, by steps of equal score, highest first.

    Only steps with a marked decision are steps of their own; all others come in between.

    Args:
        marked: The marked decisions of each step, `(steps, resamples)`.
        beside: The others of each step.
        between: Those between each step and the one before it.
        after: Those after the last step, `(resamples,)`.
    """

    marked: np.ndarray
    beside: np.ndarray
    between: np.ndarray
    after: np.ndarray


def count_steps(
    scores: np.ndarray, marked: np.ndarray, examples: np.ndarray, bootstrap: Bootstrap
) -> Iterator[StepCounts]:
    """Count decisions on the split and on all of its resamples, a few resamples at a time.

    Args:
        scores: What the decisions are ordered by, `(decisions,)`.
        marked: Which decisions are of interest, such as those about a true label, bool `(decisions,)`.
        examples: The example that each decision is about, `(decisions,)`.
        bootstrap: The resamples.
    """
    from scipy.sparse import csr_array

    order = np.argsort(-scores, kind="stable")
    ranked, chosen = scores[order], marked[order]
    step = np.cumsum(np.append(False, ranked[1:] != ranked[:-1]))
    steps = np.unique(step[chosen])
    count = len(steps)
    # Each decision is marked, or beside one that is, or somewhere before the next one of them.
    place = np.searchsorted(steps, step)
    within = np.append(steps, -1)[place] == step
    kind = np.where(chosen, 0, np.where(within, 1, 2))
    subjects = bootstrap.membership[examples[order]]
    shape = (3 * count + 1, bootstrap.subjects)
    counted = csr_array((np.ones(len(order)), (kind * count + place, subjects)), shape=shape)
    weights = bootstrap.weights
    size = max(1, COUNTS_AT_ONCE // shape[0])
    for start in range(0, len(weights), size):
        counts = counted @ np.ascontiguousarray(weights[start : start + size].T)
        own, beside, between = (counts[part * count : (part + 1) * count] for part in range(3))
        yield StepCounts(own, beside, between, after=counts[-1])
