"""Which values are within the range of a variable, its ends included."""

from __future__ import annotations

import numpy as np

from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, Variable


def normal_range(variable: Variable) -> tuple[float, float] | None:
    """Low and high end of a variable's normal range in the default range set; None where it has none."""
    return next(((one.low, one.high) for one in variable.ranges if one.range_set == DEFAULT_RANGE_SET), None)


def within(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Which values are in a range, its ends included, as float32: what is stored must be within it too."""
    low, high = (np.float32(bound) for bound in bounds)
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32)
    return (stored >= low) & (stored <= high)
