"""Scores of a ranking, and their values by chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np


def auc(wanted: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray) -> float:
    """How often a score of `wanted` is above one of `others`; ties count half. 0.5 where either is empty."""
    if not len(wanted) or not len(others):
        return 0.5
    above = np.asarray(wanted)[:, None] - np.asarray(others)[None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def reciprocal_rank_by_chance(wanted: int, among: int) -> float:
    """The expected reciprocal rank of the first of `wanted` items, at least one, in a shuffled list of `among`."""
    ways = comb(among, wanted)
    return sum(comb(among - rank, wanted - 1) / (rank * ways) for rank in range(1, among - wanted + 2))


def mean_scores(entries: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """The means of the named scores over the entries that have them; empty where none has."""
    scored = [entry for entry in entries if names[0] in entry]
    return {name: round(float(np.mean([entry[name] for entry in scored])), 4) for name in names} if scored else {}
