"""ICC, alpha and kappa against other definitions of the same thing, and against a known reliability."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway
from sklearn.metrics import cohen_kappa_score

from clinragen.study.agreement_measures import (
    NOMINAL,
    ORDINAL,
    alpha,
    coincidences,
    crossed,
    intraclass,
    kappa,
)

# Shrout and Fleiss 1979, table 2: six targets, four judges; ICC(2,1) = 0.29, ICC(2,4) = 0.62 (table 4).
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", example C: 12 units, 4 observers, gaps.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
).T - 1  # fmt: skip


def naive_intraclass(scores: np.ndarray) -> tuple[float, float]:
    """From the components of variance of a two-way analysis, each as an explicit sum."""
    rows, raters = scores.shape
    grand = scores.mean()
    of_rows = sum(raters * (row.mean() - grand) ** 2 for row in scores) / (rows - 1)
    of_raters = sum(rows * (column.mean() - grand) ** 2 for column in scores.T) / (raters - 1)
    error = sum(
        (scores[i, j] - scores[i].mean() - scores[:, j].mean() + grand) ** 2
        for i in range(rows)
        for j in range(raters)
    ) / ((rows - 1) * (raters - 1))
    # Variances of the random effects: of the rationales, of the raters, and of the rest.
    between, by_rater = (of_rows - error) / raters, (of_raters - error) / rows
    return between / (between + by_rater + error), between / (between + (by_rater + error) / raters)


def naive_alpha(ratings: np.ndarray, categories: int, kind: str) -> float:
    """From disagreements of pairs: within units over among all ratings that can be paired."""
    units = [[int(one) for one in unit if one >= 0] for unit in ratings]
    units = [unit for unit in units if len(unit) > 1]
    everything = [one for unit in units for one in unit]
    counts = [everything.count(category) for category in range(categories)]

    def distance(one: int, other: int) -> float:
        if kind == NOMINAL:
            return float(one != other)
        low, high = sorted((one, other))
        return (sum(counts[low : high + 1]) - (counts[low] + counts[high]) / 2) ** 2

    size = len(everything)
    if size < 2:
        return np.nan
    within = sum(sum(distance(*pair) for pair in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / size
    among = sum(distance(*pair) for pair in permutations(everything, 2)) / (size * (size - 1))
    return 1 - within / among if among else np.nan


def test_published_examples() -> None:
    single, average = intraclass(SHROUT)
    assert single[0] == pytest.approx(0.29, abs=0.005)
    assert average[0] == pytest.approx(0.62, abs=0.005)
    found = coincidences(KRIPPENDORFF, 5)
    assert alpha(found, NOMINAL)[0] == pytest.approx(0.743, abs=0.0005)
    assert alpha(found, ORDINAL)[0] == pytest.approx(0.815, abs=0.0005)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.integers(2, 5), st.integers(0, 2**31))
def test_intraclass_is_the_ratio_of_variance_components(rows: int, raters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (rows, raters)) + 1000.0
    if scores.std() == 0:
        assert np.isnan(intraclass(scores)[0][0])
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = naive_intraclass(scores)
    for found, naive in zip(intraclass(scores), wanted, strict=True):
        if np.isfinite(naive):
            assert found[0] == pytest.approx(naive, abs=1e-6, rel=1e-6)
    # A weight is the same as so many copies.
    weights = rng.integers(0, 4, rows)
    weights[0] += 2
    copied = np.repeat(scores, weights, axis=0)
    if copied.std() > 0:
        assert intraclass(scores, weights[None])[0] == pytest.approx(intraclass(copied)[0], nan_ok=True, abs=1e-6)


def test_intraclass_agrees_with_the_f_statistic_of_scipy() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(30, 1)) + rng.normal(size=(30, 4))
    # With equal means of the raters, ICC(2,k) is about 1 - 1/F of a one-way analysis.
    scores -= scores.mean(axis=0)
    rows, raters = scores.shape
    statistic = f_oneway(*scores).statistic
    within_to_error = rows * (raters - 1) / ((rows - 1) * (raters - 1))
    of_error = 1.0 * within_to_error
    expected = (statistic - of_error) / (statistic - of_error / rows)
    assert intraclass(scores)[1][0] == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 9), st.integers(2, 5), st.integers(2, 4), st.integers(0, 2**31))
def test_alpha_is_the_disagreement_of_pairs(units: int, raters: int, categories: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.integers(-1, categories, (units, raters))
    found = coincidences(ratings, categories)
    for kind in (NOMINAL, ORDINAL):
        assert alpha(found, kind)[0] == pytest.approx(naive_alpha(ratings, categories, kind), nan_ok=True)
        weights = rng.integers(0, 3, units)
        copied = naive_alpha(np.repeat(ratings, weights, axis=0), categories, kind)
        assert alpha(found, kind, weights[None])[0] == pytest.approx(copied, nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 30), st.integers(2, 4), st.integers(0, 2**31))
def test_kappa_is_that_of_scikit_learn(size: int, categories: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, categories, (2, size))
    table = crossed(one, other, categories)
    if len({*one, *other}) > 1:
        assert kappa(table[None])[0] == pytest.approx(cohen_kappa_score(one, other), nan_ok=True)
    else:
        assert np.isnan(kappa(table[None])[0])


@pytest.mark.parametrize(("of_targets", "of_raters", "of_noise"), [(1.0, 0.0, 0.25), (1.0, 0.3, 1.0), (0.2, 0.1, 1.0)])
def test_a_known_reliability_is_found(of_targets: float, of_raters: float, of_noise: float) -> None:
    """Scores of a known model: the mean over studies is the model's own ICC, within its standard error."""
    rng = np.random.default_rng(1)
    raters, rows, studies = 6, 60, 300
    known = of_targets / (of_targets + of_raters + of_noise)
    known_mean = of_targets / (of_targets + (of_raters + of_noise) / raters)
    found = []
    for _ in range(studies):
        truth, severity = rng.normal(0, of_targets**0.5, (rows, 1)), rng.normal(0, of_raters**0.5, (1, raters))
        scores = truth + severity + rng.normal(0, of_noise**0.5, (rows, raters))
        found.append([value[0] for value in intraclass(scores)])
    for values, wanted in zip(np.array(found).T, (known, known_mean), strict=True):
        error = values.std() / studies**0.5
        # The estimator has a bias of its own of the order of 1/raters where raters differ.
        assert values.mean() == pytest.approx(wanted, abs=4 * error + 0.02 * (of_raters > 0))


@pytest.mark.parametrize("right", [0.95, 0.8, 0.6])
def test_a_known_agreement_is_found(right: float) -> None:
    """Raters who see the truth with a known probability, else its opposite: alpha and kappa have closed forms."""
    rng = np.random.default_rng(2)
    truth = rng.random(20_000) < 0.5
    seen = np.stack([np.where(rng.random(truth.size) < right, truth, ~truth) for _ in range(3)], axis=1).astype(int)
    # Two raters agree with p² + (1-p)², by chance with 1/2.
    wanted = 2 * (right**2 + (1 - right) ** 2) - 1
    assert alpha(coincidences(seen, 2), NOMINAL)[0] == pytest.approx(wanted, abs=0.02)
    assert kappa(crossed(seen[:, 0], seen[:, 1], 2)[None])[0] == pytest.approx(wanted, abs=0.02)
