"""Calibration, temperatures, risk and coverage: against plain loops, numerical integration and scipy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.calibration import calibration_scores, fit_temperature, reliability, scaled
from clinragen.evaluation.ranking import BINS, Ranked
from clinragen.evaluation.selective import curve, risk_areas, risk_coverage
from modeling_clinragen.errors import InputDataError


def drawn(seed: int, examples: int = 60, diseases: int = 5, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and these with their logits multiplied."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 1.5, (examples, diseases))
    return rng.random(logits.shape) < expit(logits), expit(sharpness * logits)


# --- calibration


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.4, 1.0, 2.5]))
def test_the_temperature_has_the_least_loss(seed: int, sharpness: float) -> None:
    labels, p = drawn(seed, sharpness=sharpness)
    found = fit_temperature(labels, p)

    def loss(temperature: float) -> float:
        return float(log_loss(labels.ravel(), expit(logit(p) / temperature).ravel(), labels=[False, True]))

    best = minimize_scalar(loss, bounds=(0.06, 15), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, rel=2e-3)
    assert loss(found) <= min(loss(factor * found) for factor in (0.98, 1.02))


def test_a_temperature_undoes_what_sharpened_the_probabilities() -> None:
    labels, p = drawn(1, examples=4000, sharpness=2.5)
    temperature = fit_temperature(labels, p)
    assert temperature == pytest.approx(2.5, rel=0.1)
    inside = (p > 1e-6) & (p < 1 - 1e-6)
    assert logit(scaled(p, temperature))[inside] == pytest.approx(logit(p)[inside] / temperature)
    # It is fitted on the validation split, and helps on another one.
    others, q = drawn(2, examples=4000, sharpness=2.5)
    bootstrap = Bootstrap(np.arange(4000) // 2, resamples=100)
    scores = calibration_scores(others, q, bootstrap, (labels, p))
    assert scores["temperature"] == temperature
    assert scores["after"]["calibration_error"]["value"] < scores["before"]["calibration_error"]["value"] / 4
    for name in ("calibration_error", "brier"):
        assert scores["difference"][name]["high"] < 0
        assert scores["difference"][name]["value"] == pytest.approx(
            scores["after"][name]["value"] - scores["before"][name]["value"], abs=2e-6
        )


def test_certain_probabilities_and_an_empty_validation_split() -> None:
    labels = np.array([[1, 0], [0, 1]])
    bootstrap = Bootstrap([1, 2], resamples=100)
    certain = calibration_scores(labels, labels.astype(float), bootstrap, (labels, labels.astype(float)))
    assert certain["after"]["brier"]["value"] == certain["before"]["brier"]["value"] == 0
    none = calibration_scores(labels, labels.astype(float), bootstrap, (np.zeros((0, 2)), np.zeros((0, 2))))
    assert none["temperature"] is None
    assert set(none) == {"before", "temperature"}
    with pytest.raises(InputDataError, match="differ in shape"):
        fit_temperature(labels, np.full((2, 3), 0.5))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_the_bins_are_those_of_plain_loops(seed: int) -> None:
    labels, p = drawn(seed, examples=30)
    subjects = np.random.default_rng(seed).integers(0, 12, 30)
    bootstrap = Bootstrap(subjects, resamples=100)
    found = reliability(Ranked(labels, p, bootstrap))
    own: dict[int, list[tuple[float, bool]]] = {}
    for probability, true in zip(p.ravel(), labels.ravel(), strict=True):
        own.setdefault(min(int(probability * BINS), BINS - 1), []).append((probability, true))
    assert [one["decisions"] for one in found] == [len(own[number]) for number in sorted(own)]
    for one, number in zip(found, sorted(own), strict=True):
        assert one["from"] == pytest.approx(number / BINS, abs=1e-4)
        assert one["given"] == pytest.approx(np.mean([probability for probability, _ in own[number]]), abs=1e-6)
        assert one["true"]["value"] == pytest.approx(np.mean([true for _, true in own[number]]))
        assert one["true"]["low"] <= one["true"]["high"]
    error = sum(one["decisions"] * abs(one["given"] - one["true"]["value"]) for one in found) / labels.size
    assert Ranked(labels, p, bootstrap).calibration_error[0] == pytest.approx(error, abs=2e-6)


# --- risk and coverage


def integrated(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """The area by numerical integration of expected failures among the surest, tie group by tie group."""
    order = np.argsort(-confidence, kind="stable")
    held, failed = [0.0], [0.0]
    for value in sorted(set(confidence.tolist()), reverse=True):
        chosen = confidence == value
        held.append(held[-1] + chosen.sum())
        failed.append(failed[-1] + wrong[chosen].sum())
    assert held[-1] == len(order)
    parts = [
        quad(lambda count: np.interp(count, held, failed) / count, max(start, 1e-12), end, limit=200)[0]
        for start, end in pairwise(held)
    ]
    return sum(parts) / len(confidence)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([1, 2, 8]))
def test_the_area_is_the_integral_of_the_curve(seed: int, decisions: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(decisions), digits)
    wrong = rng.random(decisions) < 0.3
    bootstrap = Bootstrap(range(decisions), resamples=100)
    areas = risk_areas(confidence, wrong, np.arange(decisions), bootstrap)
    assert areas[0] == pytest.approx(integrated(confidence, wrong), abs=1e-6)
    assert (areas >= 0).all()
    assert (areas <= 1 + 1e-12).all()
    rows = np.repeat(np.arange(decisions), bootstrap.weights[1].astype(int))
    assert areas[1] == pytest.approx(integrated(confidence[rows], wrong[rows]), abs=1e-6)


def test_the_area_is_close_to_the_mean_risk_over_the_decisions() -> None:
    # Geifman and El-Yaniv's own definition, for decisions that all differ in confidence.
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    wrong = rng.random(5000) < 0.4 * (1 - confidence)
    order = np.argsort(-confidence)
    mean = float((np.cumsum(wrong[order]) / np.arange(1, 5001)).mean())
    area = risk_areas(confidence, wrong, np.arange(5000), Bootstrap(range(5000), resamples=100))[0]
    assert area == pytest.approx(mean, abs=1e-3)
    coverage, risk = curve(confidence, wrong)
    assert float(np.trapezoid(risk, coverage)) == pytest.approx(area, abs=1e-3)


def test_confidence_is_the_probability_of_one_s_own_decision() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    given = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    p = np.array([[0.9, 0.1], [0.3, 0.2], [0.2, 0.4], [0.5, 0.6]])
    found = risk_coverage(labels, given, p, Bootstrap(range(4), resamples=100))
    # .9 .9 | .7 wrong .8 | .8 .4 | .5 .6 wrong, so that after the four surest ones the .7 is wrong and then the .6.
    assert found["decisions"]["risk"] == 2 / 8
    assert found["decisions"]["curve"] == [
        *([0.25, 0.0], [0.5, 0.0], [0.625, 0.2], [0.75, 0.333333], [0.875, 0.285714], [1.0, 0.25]),
    ]
    # The lists: .81, .56 wrong, .32, .3 wrong.
    assert found["lists"]["curve"] == [[0.25, 0.0], [0.5, 0.5], [0.75, 0.333333], [1.0, 0.5]]
    assert found["lists"]["area"]["value"] == pytest.approx(
        integrated(np.array([0.81, 0.56, 0.32, 0.3]), np.array([False, True, False, True])), abs=1e-6
    )


def test_one_s_own_doubt_is_worth_something_and_equal_doubt_nothing() -> None:
    labels, p = drawn(3, examples=400)
    bootstrap = Bootstrap(range(400), resamples=100)
    sure = risk_coverage(labels, p >= 0.5, p, bootstrap)
    for found in sure.values():
        assert found["area"]["value"] < 0.9 * found["risk"]
    blind = risk_coverage(labels, np.zeros_like(labels), np.full(labels.shape, 0.2), bootstrap)
    assert blind["decisions"]["curve"] == [[1.0, pytest.approx(labels.mean(), abs=1e-6)]]
    assert blind["decisions"]["area"]["value"] == pytest.approx(labels.mean())
    with pytest.raises(InputDataError, match="do not fit"):
        risk_coverage(labels[1:], p[1:] >= 0.5, p[1:], bootstrap)
