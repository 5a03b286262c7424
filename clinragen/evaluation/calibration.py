"""How true probabilities are, bin by bin, and what one temperature for all of them would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import DECIMALS, Bootstrap, defined_interval, ratio
from clinragen.evaluation.ranking import BINS, Ranked, bins_of
from modeling_clinragen.errors import InputDataError

RANGE = (0.05, 20.0)
"""Temperatures that are tried."""
TINY = 1e-7
"""Probabilities nearer to 0 or 1 count as this far away: a logit needs some distance."""
ERRORS: Mapping[str, Callable[[Ranked], np.ndarray]] = {
    "calibration_error": lambda ranked: ranked.calibration_error,
    "brier": lambda ranked: ranked.brier,
}
"""Scores that are compared before and after, by their name in metrics.json."""


def calibration_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    bootstrap: Bootstrap,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Calibration of one system on the test split, as it is and after temperature scaling.

    Args:
        labels: 0/1 `(examples, diseases)`.
        probabilities: From 0 to 1, `(examples, diseases)`.
        bootstrap: Resamples of the examples' subjects.
        validation: Labels and probabilities of the validation split, which alone the temperature is fitted on.

    Returns:
        `before` and `after`, each with `calibration_error` and `brier` with their intervals and `bins` (see
        `reliability`); `temperature`; `difference`, after minus before in the two scores on the same resamples.
        Without a validation example there is only `before`, and `temperature` is None.

    Raises:
        InputDataError: The matrices do not fit each other or the split.
    """
    truth, given = np.asarray(labels) > 0, np.asarray(probabilities, dtype=float)
    before = Ranked(truth, given, bootstrap)
    found: dict[str, Any] = {"before": _scores(before), "temperature": None}
    if validation is None or not len(validation[0]):
        return found
    temperature = fit_temperature(*validation)
    after = Ranked(truth, scaled(given, temperature), bootstrap)
    difference = {
        name: defined_interval(np.round(score(after) - score(before), DECIMALS)) for name, score in ERRORS.items()
    }
    return {**found, "temperature": temperature, "after": _scores(after), "difference": difference}


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that logits are divided by for the least negative log-likelihood of the labels.

    One for all diseases (Guo et al. 2017), to four decimals. Below 1 probabilities move apart, above 1 together.

    Args:
        labels: 0/1 `(examples, diseases)`.
        probabilities: From 0 to 1, of the same shape.

    Raises:
        InputDataError: The shapes differ.
    """
    from scipy.optimize import minimize_scalar

    truth, given = np.asarray(labels, dtype=float), np.asarray(probabilities, dtype=float)
    if truth.shape != given.shape:
        raise InputDataError(
            f"labels {truth.shape} and probabilities {given.shape} differ in shape; give one for every label"
        )
    logits = _logits(given)

    def loss(exponent: float) -> float:
        divided = logits / np.exp(exponent)
        return float((np.logaddexp(0, divided) - truth * divided).mean())

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-7})
    return round(float(np.exp(found.x)), 4)


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities whose logits are divided by a temperature."""
    return 1 / (1 + np.exp(-_logits(probabilities) / temperature))


def reliability(ranked: Ranked) -> list[dict[str, Any]]:
    """The share of the decisions that is true, in each of `BINS` bins of probability; empty bins are left out.

    Returns:
        For each bin its bounds `from` and `to`, the number of `decisions`, their mean probability `given`, and the
        share that is `true` with its interval over the resampled subjects.
    """
    examples = len(ranked.labels)
    places = bins_of(ranked.probabilities) + BINS * np.arange(examples)[:, None]

    def by_bin(weights: np.ndarray | None = None) -> np.ndarray:
        flat = None if weights is None else weights.ravel().astype(float)
        return np.bincount(places.ravel(), flat, minlength=examples * BINS).reshape(examples, BINS)

    decisions, given = by_bin(), by_bin(ranked.probabilities).sum(axis=0)
    counts = ranked.bootstrap.sums(decisions)
    trues = ranked.bootstrap.sums(by_bin(ranked.labels))
    shares = np.where(counts > 0, ratio(trues, counts), np.nan)
    return [
        {
            "from": round(bin / BINS, 4),
            "to": round((bin + 1) / BINS, 4),
            "decisions": int(counts[0, bin]),
            "given": round(float(given[bin] / counts[0, bin]), DECIMALS),
            "true": defined_interval(shares[:, bin]),
        }
        for bin in range(BINS)
        if counts[0, bin]
    ]


def _scores(ranked: Ranked) -> dict[str, Any]:
    return {**{name: defined_interval(score(ranked)) for name, score in ERRORS.items()}, "bins": reliability(ranked)}


def _logits(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, TINY, 1 - TINY)
    return np.log(inside) - np.log1p(-inside)
