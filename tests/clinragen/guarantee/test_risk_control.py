"""Thresholds with a bounded risk: the p values by exact counts, and the bound by simulated patients."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.guarantee.risk_control import choose, hoeffding_bentkus, least_patients
from modeling_clinragen.errors import SettingsError


def p_value(total: Fraction, patients: int, alpha: Fraction) -> float:
    """The p value of a sum of losses, from the two bounds as they are written in the papers, by exact sums."""
    mean = total / patients
    exact = sum(math.comb(patients, k) * alpha**k * (1 - alpha) ** (patients - k) for k in range(math.ceil(total) + 1))
    low = min(float(mean), float(alpha))
    entropy = (low * math.log(low / float(alpha)) if low else 0.0) + (1 - low) * math.log((1 - low) / float(1 - alpha))
    return min(1.0, math.exp(-patients * entropy), math.e * float(min(exact, 1)))


@given(
    patients=st.integers(1, 60),
    tenths=st.integers(0, 600),
    alpha=st.sampled_from([Fraction(1, 50), Fraction(1, 20), Fraction(1, 5), Fraction(1, 2)]),
)
@settings(deadline=None)
def test_p_values_are_those_of_the_papers(patients: int, tenths: int, alpha: Fraction) -> None:
    total = Fraction(min(tenths, 10 * patients), 10)
    found = hoeffding_bentkus(np.array([float(total / patients)]), patients, float(alpha))
    assert found[0] == pytest.approx(p_value(total, patients, alpha), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_so_many_patients_without_a_loss_pass_and_one_less_does_not(alpha: float, delta: float) -> None:
    least = least_patients(alpha, delta)
    assert choose(np.zeros((least, 3)), alpha, delta) == 2
    assert choose(np.zeros((least - 1, 3)), alpha, delta) is None


def test_the_loosest_threshold_before_the_first_failure_is_chosen() -> None:
    losses = np.zeros((200, 4))
    losses[:100, 2] = 1.0  # fails; the one behind it is not tried any more
    assert choose(losses, 0.1, 0.05) == 1


def draw(rng: np.random.Generator, patients: int, grid: np.ndarray) -> np.ndarray:
    """Losses of made-up patients: errors are more doubtful than what is right, with noise, and cluster by patient."""
    losses = []
    for _ in range(patients):
        wrong = rng.random(10) < rng.beta(1, 5)
        doubts = np.clip(rng.normal(np.where(wrong, 0.6, 0.3), 0.2), 0, 1)
        losses.append(((doubts[:, None] <= grid) & wrong[:, None]).mean(axis=0))
    return np.array(losses)


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_the_bound_holds_as_often_as_it_says(alpha: float) -> None:
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 50)
    risks = draw(rng, 20_000, grid).mean(axis=0)
    assert risks[-1] > alpha  # without flags it would not hold
    chosen = [choose(draw(rng, 150, grid), alpha, 0.2) for _ in range(150)]
    failed = np.mean([place is not None and risks[place] > alpha for place in chosen])
    # 0.2 and three standard errors of 150 trials.
    assert failed <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / 150)
    assert np.mean([place is not None and place > 0 for place in chosen]) > 0.9


@pytest.mark.parametrize(("alpha", "delta", "name"), [(0.0, 0.1, "alpha"), (1.0, 0.1, "alpha"), (0.1, 1.5, "delta")])
def test_bounds_are_between_zero_and_one(alpha: float, delta: float, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: expected a number between 0 and 1"):
        choose(np.zeros((10, 2)), alpha, delta)
