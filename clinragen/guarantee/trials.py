"""Bounds tried out: thresholds from one half of the patients, and what they are worth on the other, many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from clinragen.guarantee.risk_control import choose, least_patients
from clinragen.guarantee.units import Units

GRID = 400
"""Thresholds that are tried, at most."""


@dataclass(frozen=True)
class Guarded:
    """One kind of error that is bounded.

    Args:
        title: How reports call it.
        losses: By patient and threshold.
        flagged: The share of sentences, or patients, that a threshold flags.
        doubts: All doubts, among which thresholds lie.
    """

    title: str
    losses: Callable[[Units, np.ndarray], np.ndarray]
    flagged: Callable[[Units, np.ndarray], np.ndarray]
    doubts: Callable[[Units], np.ndarray]


GUARDED: Mapping[str, Guarded] = MappingProxyType(
    {
        "false_sentences": Guarded(
            "False sentences that are shown",
            lambda units, thresholds: units.sentence_losses(thresholds),
            lambda units, thresholds: 1 - units.shown_shares(thresholds),
            lambda units: np.concatenate([np.zeros(0), *units.doubts]),
        ),
        "missing_diseases": Guarded(
            "Patients with a missing disease and no flag",
            lambda units, thresholds: units.patient_losses(thresholds),
            lambda units, thresholds: (units.missing_doubts[:, None] > thresholds).mean(axis=0),
            lambda units: units.missing_doubts,
        ),
    }
)


def thresholds_of(doubts: np.ndarray) -> np.ndarray:
    """Thresholds from the strictest, which flags everything, to the loosest, which flags nothing."""
    values = np.unique(doubts)
    if len(values) > GRID:
        values = np.unique(np.quantile(values, np.linspace(0, 1, GRID), method="higher"))
    return np.concatenate([[-1.0], values])


def try_out(
    units: Units, guarded: Guarded, alpha: float, delta: float, resplits: int, seed: int, other: Units | None = None
) -> dict[str, Any]:
    """Try out a bound.

    In each division, the threshold is chosen on one half of the patients and used on the other half, and on all
    patients of an `other` hospital.

    Returns:
        `possible`: whether the half has patients enough for this bound at all, and `needed` how many it takes;
        `chosen` the share of divisions in which there was a threshold (in the others everything is flagged, which has
        no risk); `risk` the mean risk on the other half with its standard error over the divisions, `exceeded` the
        share of divisions in which it was above the bound, `flagged` the mean share that is flagged; `base` the risk
        without any flag; and `other` the same three for the other hospital.
    """
    patients = len(units)
    half = patients // 2
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {"own": [], "other": []}
    chosen = 0
    for _ in range(resplits):
        order = rng.permutation(patients)
        calibration, held_out = units.select(order[:half]), units.select(order[half:])
        grid = thresholds_of(guarded.doubts(calibration))
        place = choose(guarded.losses(calibration, grid), alpha, delta)
        chosen += place is not None
        # Without a threshold everything is flagged.
        threshold = grid[[0 if place is None else place]]
        for name, where in (("own", held_out), ("other", other)):
            if where is not None:
                risk = float(guarded.losses(where, threshold).mean())
                found[name].append((risk, float(guarded.flagged(where, threshold)[0])))
    nothing = np.array([np.inf])
    needed = least_patients(alpha, delta)
    result: dict[str, Any] = {
        "alpha": alpha,
        "possible": half >= needed,
        "needed": needed,
        "calibration_patients": half,
        "chosen": chosen / resplits,
        "base": float(guarded.losses(units, nothing).mean()),
        **_worth(found["own"], alpha),
    }
    if other is not None:
        base = float(guarded.losses(other, nothing).mean())
        result["other"] = {"base": base, **_worth(found["other"], alpha)}
    return result


def _worth(found: list[tuple[float, float]], alpha: float) -> dict[str, Any]:
    risks, flagged = np.array(found).T
    error = float(risks.std(ddof=1) / np.sqrt(len(risks)))
    return {
        "risk": {"value": float(risks.mean()), "standard_error": error},
        # By more than what rounding could do.
        "exceeded": float((risks > alpha + 1e-9).mean()),
        "flagged": float(flagged.mean()),
    }
