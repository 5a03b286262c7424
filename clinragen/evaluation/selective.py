"""Risk and coverage: how often a system is wrong when it may abstain from what it is least sure of.

Two kinds of decisions: one about every disease of every example, wrong where the disease is listed and false or not
listed and true; and one about every example, wrong where its list is not exactly right. The confidence in a decision
about a disease is the probability that the system itself gives to it (p where the disease is listed, 1 - p where not),
and the confidence in a list is the product over its diseases.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap, defined_interval, ratio
from clinragen.evaluation.steps import StepCounts, count_steps
from modeling_clinragen.errors import InputDataError

KINDS = ("decisions", "lists")
POINTS = 101
"""Points of a curve in metrics.json, equally spaced in coverage."""
TINY = 1e-12
"""The least confidence, so that a product has a logarithm."""


def risk_coverage(
    labels: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Risk-coverage curves of one system.

    Args:
        labels, predictions: 0/1 `(examples, diseases)`.
        probabilities: From 0 to 1, `(examples, diseases)`.
        bootstrap: Resamples of the examples' subjects.

    Returns:
        For "decisions" and "lists": `area` under the curve with its interval, `risk` at full coverage, and `curve`, up
        to `POINTS` pairs of coverage and risk.

    Raises:
        InputDataError: The matrices do not fit each other or the split.
    """
    truth, given, p = (np.asarray(matrix) for matrix in (labels, predictions, probabilities))
    if not truth.shape == given.shape == p.shape or len(truth) != bootstrap.examples:
        raise InputDataError(
            f"labels {truth.shape}, predictions {given.shape} and probabilities {p.shape} do not fit "
            f"{bootstrap.examples} examples; give one of each for every example and disease"
        )
    own = np.where(given > 0, p, 1 - p)
    wrong = (truth > 0) != (given > 0)
    examples = np.repeat(np.arange(len(truth)), truth.shape[1])
    cases = {
        "decisions": (own.ravel(), wrong.ravel(), examples),
        "lists": (np.log(np.maximum(own, TINY)).sum(axis=1), wrong.any(axis=1), np.arange(len(truth))),
    }
    return {kind: _selected(*cases[kind], bootstrap) for kind in KINDS}


def _selected(confidence: np.ndarray, wrong: np.ndarray, examples: np.ndarray, bootstrap: Bootstrap) -> dict[str, Any]:
    # The last bits of a product or a sum depend on who computed it.
    confidence = np.round(confidence, 9)
    coverage, risk = curve(confidence, wrong)
    chosen = np.unique(np.searchsorted(coverage, np.linspace(0, 1, POINTS)).clip(0, len(coverage) - 1))
    points = [[round(float(coverage[at]), 6), round(float(risk[at]), 6)] for at in chosen]
    return {
        "area": defined_interval(risk_areas(confidence, wrong, examples, bootstrap)),
        "risk": float(risk[-1]),
        "curve": points,
    }


def curve(confidence: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk at every distinct confidence, highest first; decisions of equal confidence are kept together.

    Args:
        confidence: Of each decision, `(decisions,)`.
        wrong: Whether it is wrong, bool `(decisions,)`.
    """
    order = np.argsort(-confidence, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), len(order) - 1)
    return (ends + 1) / len(order), np.cumsum(wrong[order])[ends] / (ends + 1)


def risk_areas(confidence: np.ndarray, wrong: np.ndarray, examples: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """The area under the curve on the split and on every resample, `(resamples + 1,)`.

    The curve is the risk over every coverage from 0 to 1; within decisions of equal confidence it is the expected risk
    when they are taken in any order.

    Args:
        confidence, wrong: As for `curve`.
        examples: The example that each decision is about, `(decisions,)`.
        bootstrap: The resamples.
    """
    return np.concatenate([_areas(counts) for counts in count_steps(confidence, wrong, examples, bootstrap)])


def _areas(counts: StepCounts) -> np.ndarray:
    """The integral of failures / decisions over the decisions, divided by their number; failures are marked."""
    failed, held = counts.marked, counts.marked + counts.beside
    ends = np.cumsum(counts.between + held, axis=0)
    starts = ends - held
    total = counts.after + (ends[-1] if len(ends) else 0)
    failures = np.cumsum(failed, axis=0)
    before = failures - failed
    # Without a failure in between the risk falls with 1 / decisions, whose integral is the logarithm.
    previous = np.vstack([np.zeros((1, len(total))), ends])[:-1]
    area = (before * _log_ratio(starts, previous)).sum(axis=0)
    # Within a step the failures grow in a straight line.
    slope = ratio(failed, held)
    area += (slope * held + (before - slope * starts) * _log_ratio(ends, starts)).sum(axis=0)
    if len(ends):
        area += failures[-1] * _log_ratio(total, ends[-1])
    return area / total


def _log_ratio(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The logarithm of a quotient; 0 where the lower number is 0, because nothing has failed before then."""
    return np.log(np.divide(upper, lower, out=np.ones_like(upper), where=lower > 0))
