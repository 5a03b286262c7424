"""How far a change goes back on itself: "steadily", "with every reading", "never fell"."""

from __future__ import annotations

import numpy as np

from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE
from modeling_clinragen.vocabulary_clinragen import Scale

# Quantifiers of a change: no reading goes back, or none goes back by much.
MONOTONIC, STEADY = "monotonic", "steady"
_ROUNDED = 1e-4


def kept_on(verdict: str, quantifier: str, signed: np.ndarray, scale: Scale | None, *, numbered: bool) -> str:
    """The verdict on a change that is said to have gone one way.

    Args:
        verdict: On the change alone.
        quantifier: `MONOTONIC` or `STEADY`.
        signed: The values, rising where the change goes the way that is said.
        scale: Of the variable.
        numbered: Whether the change has its own beginning or end, which need not be the first and the last reading.
    """
    if not len(signed):
        return verdict
    if quantifier == MONOTONIC:
        return CONTRADICTED if (np.diff(signed) < 0).any() else verdict
    if numbered:
        signed = signed[: int(signed.argmax()) + 1]
        signed = signed[int(signed.argmin()) :]
    back = scale is not None and _setback(signed) >= scale.change - _ROUNDED
    return CONTRADICTED if back and verdict == SUPPORTED else verdict


def never_went(verdict: str, signed: np.ndarray, scale: Scale | None) -> str:
    """The verdict on a change that is said to have never been there.

    Args:
        verdict: On its negation alone.
        signed: The values, rising where the change goes the way that is denied.
        scale: Of the variable.
    """
    if scale is None:
        return verdict
    setback = _setback(-signed)
    if setback >= scale.change - _ROUNDED:
        return CONTRADICTED
    return UNVERIFIABLE if setback > scale.step + _ROUNDED and verdict == SUPPORTED else verdict


def _setback(signed: np.ndarray) -> float:
    """The most that values fall from any earlier one."""
    return float((np.maximum.accumulate(signed) - signed).max(initial=0.0))
