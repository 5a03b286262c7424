"""Measures of agreement as functions of arrays: ICC(2,1), ICC(2,k), Krippendorff's alpha, Cohen's kappa.

Each takes weights, so that a bootstrap resamples without copying. All of them are NaN where they are undefined: where
no two ratings could have differed, for example. Definitions and sources: docs/study.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOMINAL, ORDINAL = "nominal", "ordinal"


def intraclass(scores: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """ICC(2,1) and ICC(2,k): two-way random effects, absolute agreement, of one rater and of the mean of all.

    Args:
        scores: `(rationales, raters)`, without gaps.
        weights: How often each rationale counts, `(resamples, rationales)`; once each by default.

    Returns:
        Both coefficients, `(resamples,)`.
    """
    scores = np.asarray(scores, dtype=float)
    rows, raters = scores.shape
    weights = np.ones((1, rows)) if weights is None else np.asarray(weights, dtype=float)
    # Around the mean of all: sums of squares of large scores lose digits otherwise.
    scores = scores - scores.mean()
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_row = scores.mean(axis=1)
        grand = weights @ by_row / total
        by_rater = weights @ scores / total[:, None]
        between_rows = raters * (weights @ by_row**2 - total * grand**2)
        between_raters = total * ((by_rater - grand[:, None]) ** 2).sum(axis=1)
        whole = weights @ (scores**2).sum(axis=1) - total * raters * grand**2
        rest = np.maximum(whole - between_rows - between_raters, 0)
        of_rows = between_rows / (total - 1)
        of_raters = between_raters / (raters - 1)
        error = rest / ((total - 1) * (raters - 1))
        single = (of_rows - error) / (of_rows + (raters - 1) * error + raters * (of_raters - error) / total)
        average = (of_rows - error) / (of_rows + (of_raters - error) / total)
    undefined = (whole <= 1e-12 * np.maximum(total, 1)) | (total < 2)
    return np.where(undefined, np.nan, single), np.where(undefined, np.nan, average)


def coincidences(ratings: np.ndarray, categories: int) -> np.ndarray:
    """The coincidences of every unit, `(units, categories, categories)`.

    Args:
        ratings: `(units, raters)`, a category from 0, or a negative number where there is no rating.
        categories: How many there are.
    """
    counts = (np.asarray(ratings)[:, :, None] == np.arange(categories)).sum(axis=1).astype(float)
    present = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(categories), np.arange(categories)] -= counts
    # A unit with one rating has no pair and does not count.
    return pairs / np.where(present > 1, present - 1, np.inf)[:, None, None]


def alpha(found: np.ndarray, kind: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Krippendorff's alpha, `(resamples,)`.

    Args:
        found: Coincidences of every unit, or of groups of units, `(units, categories, categories)`.
        kind: "nominal", or "ordinal" where the categories have an order.
        weights: How often each unit counts, `(resamples, units)`; once each by default.
    """
    weights = np.ones((1, len(found))) if weights is None else np.asarray(weights, dtype=float)
    observed = np.einsum("ru,uij->rij", weights, found)
    totals = observed.sum(axis=2)
    size = totals.sum(axis=1)
    distance = _distances(totals, kind)
    disagreement = (observed * distance).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = 1 - (size - 1) * disagreement / expected
    return np.where(expected > 0, value, np.nan)


def kappa(tables: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Cohen's kappa of two raters, `(resamples,)`.

    Args:
        tables: Counts by the category of the first and of the second, `(units, categories, categories)`.
        weights: How often each unit counts, `(resamples, units)`; once each by default.
    """
    weights = np.ones((1, len(tables))) if weights is None else np.asarray(weights, dtype=float)
    whole = np.einsum("ru,uij->rij", weights, np.asarray(tables, dtype=float))
    size = whole.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = np.einsum("rii->r", whole) / size
        by_chance = (whole.sum(axis=2) * whole.sum(axis=1)).sum(axis=1) / size**2
        value = (agreed - by_chance) / (1 - by_chance)
    return np.where((size > 0) & (by_chance < 1), value, np.nan)


def crossed(first: np.ndarray | Sequence[int], second: np.ndarray | Sequence[int], categories: int) -> np.ndarray:
    """Counts of pairs of categories, `(categories, categories)`."""
    table = np.zeros((categories, categories))
    np.add.at(table, (np.asarray(first, dtype=int), np.asarray(second, dtype=int)), 1)
    return table


def _distances(totals: np.ndarray, kind: str) -> np.ndarray:
    """Squared distances between categories, `(resamples, categories, categories)`."""
    categories = totals.shape[1]
    if kind == NOMINAL:
        return np.broadcast_to(1 - np.eye(categories), (len(totals), categories, categories))
    # The number of ratings from the middle of one category to the middle of the other.
    middles = np.cumsum(totals, axis=1) - totals / 2
    return (middles[:, :, None] - middles[:, None, :]) ** 2
