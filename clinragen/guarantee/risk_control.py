"""A threshold whose risk is bounded: Learn-then-Test (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052).

Patients are the independent units. Each gives, for every threshold, a loss from 0 to 1. A threshold passes where the
calibration patients refute, at level `delta`, that its mean loss is above `alpha`; thresholds are tested one after the
other from the strictest on, until one fails. Then with a probability of at least 1 - `delta` over the calibration
patients, the chosen threshold's risk for patients of the same kind is at most `alpha`.
"""

from __future__ import annotations

import math

import numpy as np

from modeling_clinragen.errors import SettingsError


def hoeffding_bentkus(mean: np.ndarray, patients: int, alpha: float) -> np.ndarray:
    """P values of "the risk is above `alpha`" for mean losses of so many patients, of any shape.

    The smaller one of Hoeffding's bound and Bentkus' (Bates et al. 2021, https://arxiv.org/abs/2101.02703, theorem 3);
    it holds for any loss from 0 to 1.
    """
    from scipy.stats import binom

    found = np.minimum(np.asarray(mean, dtype=float), alpha)
    # Relative entropy of two coins, with 0 log 0 = 0.
    first = np.where(found > 0, found * np.log(np.where(found > 0, found, 1.0) / alpha), 0.0)
    second = (1 - found) * np.log((1 - found) / (1 - alpha))
    hoeffding = np.exp(-patients * (first + second))
    # Rounded first: a mean of whole losses must not become one more by the last bit.
    count = np.ceil(np.round(patients * np.asarray(mean, dtype=float), 9))
    return np.minimum(1.0, np.minimum(hoeffding, math.e * binom.cdf(count, patients, alpha)))


def choose(losses: np.ndarray, alpha: float, delta: float) -> int | None:
    """The loosest threshold whose risk is bounded.

    Args:
        losses: From 0 to 1, `(patients, thresholds)`, thresholds from the strictest to the loosest.
        alpha: The bound on the mean loss.
        delta: How often, at most, the bound may fail.

    Returns:
        The column; None where not even the strictest one passes.

    Raises:
        SettingsError: `alpha` or `delta` is not between 0 and 1.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise SettingsError(f"{name}: expected a number between 0 and 1, got {value}")
    passed = hoeffding_bentkus(losses.mean(axis=0), len(losses), alpha) <= delta
    failed = np.flatnonzero(~passed)
    last = (int(failed[0]) if failed.size else len(passed)) - 1
    return last if last >= 0 else None


def least_patients(alpha: float, delta: float) -> int:
    """How many patients without any loss it takes to pass."""
    # Hoeffding's bound is (1 - alpha)^n there, and Bentkus' e times that.
    return math.ceil(math.log(delta) / math.log(1 - alpha))
