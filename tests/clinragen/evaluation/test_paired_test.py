"""p values of paired differences: scipy's on all permutations, uniform under the null hypothesis, and corrected."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, permutation_test
from sklearn.metrics import f1_score

from clinragen.evaluation.paired_test import PERMUTATIONS, holm, paired_tests
from modeling_clinragen.errors import InputDataError


def random_case(seed: int, examples: int, subjects: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((examples, 4)) < 0.4).astype(int)
    systems = {
        name: np.where(rng.random(labels.shape) < share, labels, 1 - labels)
        for name, share in (("one", 0.8), ("other", 0.7))
    }
    return labels, systems, np.append(np.arange(subjects), rng.integers(0, subjects, examples - subjects))


def p_of(labels: np.ndarray, systems: dict[str, np.ndarray], subjects: np.ndarray) -> dict[str, float]:
    return paired_tests(labels, systems, [("one", "other")], subjects)["differences"]["one_minus_other"]


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.integers(2, 7))
def test_all_swaps_give_scipy_s_p_value(seed: int, count: int) -> None:
    labels, systems, subjects = random_case(seed, count + 3, count)

    def difference(first: np.ndarray, second: np.ndarray) -> float:
        # Subjects as numbers: below `count` a subject with the decisions of the one system, above with the other's.
        def f1(chosen: np.ndarray) -> float:
            names = ["one" if code < count else "other" for code in chosen]
            rows = [subjects == code % count for code in chosen]
            given = np.vstack([systems[name][own] for name, own in zip(names, rows, strict=True)])
            truth = np.vstack([labels[own] for own in rows])
            return float(f1_score(truth.ravel(), given.ravel(), zero_division=0))

        return f1(first) - f1(second)

    codes = np.arange(count)
    expected = permutation_test(
        (codes, codes + count), difference, permutation_type="samples", vectorized=False, n_resamples=np.inf
    )
    # scipy doubles the smaller tail; the share of |differences| is the same where they are symmetric, as swaps are.
    assert p_of(labels, systems, subjects)["p"] == pytest.approx(expected.pvalue, abs=1e-9)


def test_random_swaps_come_close_to_all_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, systems, subjects = random_case(4, 20, 12)
    exact = paired_tests(labels, systems, [("one", "other")], subjects)
    assert exact["exact"] is True
    assert exact["permutations"] == 2**12
    monkeypatch.setattr("clinragen.evaluation.paired_test.PERMUTATIONS", 4000)
    random = paired_tests(labels, systems, [("one", "other")], subjects)
    assert random["exact"] is False
    assert random["permutations"] == 4000
    one, other = (found["differences"]["one_minus_other"]["p"] for found in (exact, random))
    assert other == pytest.approx(one, abs=4 * np.sqrt(one * (1 - one) / 4000) + 1 / 4000)


def test_p_values_are_uniform_where_the_systems_are_equally_good() -> None:
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        labels = (rng.random((40, 3)) < 0.4).astype(int)
        systems = {name: np.where(rng.random(labels.shape) < 0.75, labels, 1 - labels) for name in ("one", "other")}
        found.append(p_of(labels, systems, np.arange(40) // 4)["p"])
    assert kstest(found, "uniform").pvalue > 0.01
    # Resampled as if the four examples of a subject were independent, the same data would look too certain.
    assert np.mean(np.array(found) < 0.05) < 0.1


def test_equal_systems_and_much_better_ones() -> None:
    labels, systems, _ = random_case(1, 200, 200)
    assert p_of(labels, {"one": systems["one"], "other": systems["one"]}, np.arange(200))["p"] == 1.0
    perfect = p_of(labels, {"one": labels, "other": 1 - labels}, np.arange(200))
    assert perfect["p"] == 1 / (PERMUTATIONS + 1)
    turned = paired_tests(labels, systems, [("other", "one")], np.arange(200))["differences"]["other_minus_one"]
    assert turned == p_of(labels, systems, np.arange(200))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test_by_bonferroni(values: list[float]) -> None:
    # A hypothesis is rejected when every set of hypotheses with it is, each by its least p value times its size.
    places = range(len(values))
    expected = [
        max(
            min(1.0, size * min(values[one] for one in chosen))
            for size in range(1, len(values) + 1)
            for chosen in combinations(places, size)
            if place in chosen
        )
        for place in places
    ]
    assert holm(values) == pytest.approx(expected)


def test_systems_on_different_examples_are_not_compared() -> None:
    labels, systems, subjects = random_case(2, 10, 6)
    systems["other"] = systems["other"][:-1]
    with pytest.raises(InputDataError, match=r"other: predictions \(9, 4\) cannot be paired with labels \(10, 4\)"):
        paired_tests(labels, systems, [("one", "other")], subjects)
    with pytest.raises(InputDataError, match="of 9 examples"):
        p_of(labels, {"one": labels, "other": labels}, subjects[:-1])
