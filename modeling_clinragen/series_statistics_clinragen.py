"""Statistics of a stay's series: what is left of it when its order is forgotten, and the slope of a trend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .vocabulary_clinragen import RangeSet

STATISTICS = ("count", "share_observed", "missing", "first", "last", "min", "max", "mean", "std", "slope")
SHARES = ("share_low", "share_high")
# A slope over more points than this is taken from evenly spaced ones: it costs the square of their number.
SLOPE_POINTS = 60


def low_and_high(values: Any, key: str, ranges: RangeSet) -> tuple[np.ndarray, np.ndarray]:
    """Which values of a variable with a range are low, and which are high; NaN is neither.

    In the precision of the cohort: 7.35 as charted is not below 7.35.
    """
    low, high = (np.float32(bound) for bound in ranges.bounds[key])
    read = np.asarray(values, dtype=np.float32)
    return (read <= low if ranges.low_inclusive else read < low), read > high


def theil_sen_slope(hours: np.ndarray, values: np.ndarray) -> float:
    """The median of the slopes between all pairs of readings, per hour; `hours` `(readings,)` must rise."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), SLOPE_POINTS)).astype(int))
    x, y = hours[chosen], values[chosen]
    earlier, later = np.triu_indices(len(chosen), k=1)
    return float(np.median((y[later] - y[earlier]) / (x[later] - x[earlier])))


def statistic_names(variables: Iterable[str], ranges: RangeSet) -> list[str]:
    """Columns of `series_statistics`, "<variable>.<statistic>"; variables without a range have no share columns."""
    keys = list(variables)
    return [f"{key}.{name}" for name in STATISTICS for key in keys] + [
        f"{key}.{name}" for name in SHARES for key in keys if key in ranges.bounds
    ]


def _one_series(hours: np.ndarray, values: np.ndarray, bounds: np.ndarray, low_inclusive: bool) -> np.ndarray:
    """Statistics of one series, values (steps, variables) with NaN where unobserved: (len(STATISTICS + SHARES), v)."""
    steps, variables = values.shape
    seen = ~np.isnan(values)
    count = seen.sum(axis=0)
    some = count > 0
    out = np.full((len(STATISTICS) + len(SHARES), variables), np.nan)
    out[0] = count
    out[1] = count / max(steps, 1)
    out[2] = ~some
    if not some.any():
        return out
    filled = np.where(seen, values, 0.0)
    total = np.maximum(count, 1)
    mean = filled.sum(axis=0) / total
    spread = np.where(seen, values - mean, 0.0)
    mean_hour = (seen * hours[:, None]).sum(axis=0) / total
    centred = np.where(seen, hours[:, None] - mean_hour, 0.0)
    hour_variance = (centred**2).sum(axis=0)
    columns = np.arange(variables)
    out[3] = values[seen.argmax(axis=0), columns]
    out[4] = values[steps - 1 - seen[::-1].argmax(axis=0), columns]
    out[5] = np.where(seen, values, np.inf).min(axis=0)
    out[6] = np.where(seen, values, -np.inf).max(axis=0)
    out[7] = mean
    out[8] = np.sqrt((spread**2).sum(axis=0) / total)
    slope = np.full(variables, np.nan)
    np.divide((centred * spread).sum(axis=0), hour_variance, out=slope, where=hour_variance > 1e-9)
    out[9] = slope
    # NaN compares false, so unobserved steps are neither low nor high.
    out[10] = ((values <= bounds[0]) if low_inclusive else (values < bounds[0])).sum(axis=0) / total
    out[11] = (values > bounds[1]).sum(axis=0) / total
    out[3:, ~some] = np.nan
    return out


def series_statistics(examples: Iterable[Mapping[str, Any]], variables: Iterable[str], ranges: RangeSet) -> np.ndarray:
    """Statistics of the examples' series.

    Per variable: number of measurements, share of the steps that have one, whether there is none; first, last, least,
    greatest and mean value, standard deviation, least-squares slope per hour (NaN with fewer than two distinct times);
    share of the measurements below and above the normal range.

    Args:
        examples: Mappings with `lab_hours` `(steps,)`, `lab_values` and `lab_observed` `(steps, variables)`.
        variables: Keys of the variables, in the order of the columns.
        ranges: What is low and high.

    Returns:
        `(examples, columns)` in the order of `statistic_names`; NaN where a statistic is not defined.
    """
    keys = list(variables)
    bounds = np.array([ranges.bounds.get(key, (np.nan, np.nan)) for key in keys]).T
    ranged = np.array([key in ranges.bounds for key in keys])
    rows = []
    for example in examples:
        hours = np.asarray(example["lab_hours"], dtype=float)
        values = np.array(example["lab_values"], dtype=float).reshape(len(hours), len(keys))
        seen = np.array(example["lab_observed"], dtype=bool).reshape(len(hours), len(keys))
        table = _one_series(hours, np.where(seen, values, np.nan), bounds, ranges.low_inclusive)
        rows.append(np.concatenate([table[: len(STATISTICS)].ravel(), table[len(STATISTICS) :, ranged].ravel()]))
    return np.array(rows).reshape(len(rows), len(statistic_names(keys, ranges)))


__all__ = [
    "SHARES",
    "SLOPE_POINTS",
    "STATISTICS",
    "low_and_high",
    "series_statistics",
    "statistic_names",
    "theil_sen_slope",
]
