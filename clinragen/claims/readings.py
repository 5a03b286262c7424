"""The readings of one variable, and which of them a number or a time refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Evidence, Predicate, Quantity, When
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.lab_words_clinragen import count_levels
from modeling_clinragen.vocabulary_clinragen import RangeSet, Unit, Variable

# Values are float32: a limit of 7.35 must not lie a rounding error beside the reading 7.35.
_ROUNDING = 1e-6
# A time with neither tolerance of its own: "from hour 4" means from half an hour before.
HALF_HOUR = 0.5
_UNKNOWN = {"admission": "it was not measured near admission", "stay": "its duration was not understood"}
# "Over the 44 hours" is the stay if the readings last so long, but for this share or number of hours.
_STAY_SHARE, _STAY_HOURS = 0.1, 4.0


@dataclass(frozen=True, eq=False)
class Readings:
    """One variable's measured values: `hours`, `values`, `low` and `high` (by the range), each `(readings,)`."""

    variable: Variable
    hours: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ranged: bool

    def __len__(self) -> int:
        return len(self.hours)


def split_readings(series: LabSeries, range_set: RangeSet) -> dict[str, Readings]:
    """The readings of every variable, by key; empty where it was never measured."""
    low, high, _ = count_levels(series.values, series.vocabulary, range_set)
    result = {}
    for column, variable in enumerate(series.vocabulary.variables):
        seen = series.observed[:, column]
        result[variable.key] = Readings(
            variable,
            series.hours[seen].astype(np.float64),
            series.values[seen, column].astype(np.float64),
            low[seen, column],
            high[seen, column],
            variable.key in range_set.bounds,
        )
    return result


def subtract(one: Readings, other: Readings) -> Readings:
    """The first variable less the second where both were measured, in the first one's unit and without a range."""
    hours, mine, theirs = np.intersect1d(one.hours, other.hours, return_indices=True)
    nowhere = np.zeros(len(hours), dtype=np.bool_)
    return Readings(one.variable, hours, one.values[mine] - other.values[theirs], nowhere, nowhere, False)


@dataclass(frozen=True)
class Band:
    """A number in the variable's unit: `low` to `high` as written, and how far a reading may be off."""

    low: float
    high: float
    tolerance: float

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which values agree with the number."""
        slack = self.tolerance + _ROUNDING * max(1.0, abs(self.high))
        return (values >= self.low - slack) & (values <= self.high + slack)


def near(variable: Variable) -> float:
    """How far a number with "about" or "near" may be off: half of the variable's step, 0 without a scale."""
    return variable.scale.step / 2 if variable.scale is not None else 0.0


def read_band(quantity: Quantity, variable: Variable, lexicon: Lexicon, *, change: bool = False) -> Band | None:
    """The number in the variable's unit; None when the variable does not come in the number's unit.

    A number without a unit is in the first of the variable's units that makes it plausible. With `change` the number
    is a difference, so that the zero points of the units do not matter.
    """
    units = lexicon.units[variable.key]
    if quantity.unit is not None and quantity.unit not in units:
        return None
    chosen = _unit_of(quantity, variable, units, lexicon, change)
    written = 0.5 * 10.0**-quantity.decimals * chosen.scale if quantity.decimals >= 0 else 0.0
    tolerance = max(written, 0.5 * 10.0**-variable.decimals)
    if quantity.approximate:
        tolerance = max(tolerance, near(variable))
    offset = 0.0 if change else chosen.offset
    low, high = (value * chosen.scale + offset for value in (quantity.low, quantity.high))
    return Band(low, high, tolerance)


def _unit_of(
    quantity: Quantity, variable: Variable, units: Mapping[str, Unit], lexicon: Lexicon, change: bool
) -> Unit:
    if quantity.unit is not None:
        chosen, is_open = units[quantity.unit], quantity.unit in lexicon.open_units
    elif quantity.high <= 1 and variable.unit == "%" and "fraction" in units:
        chosen, is_open = units["fraction"], False
    else:
        chosen, is_open = next(iter(units.values())), True
    if not is_open or change:
        return chosen
    low, high = variable.plausible
    plausible = (unit for unit in units.values() if low <= quantity.low * unit.scale + unit.offset <= high)
    return next(plausible, chosen)


def holds(readings: Readings, predicate: Predicate, lexicon: Lexicon) -> np.ndarray | None:
    """Which readings a predicate is true of; None when it is undefined (no range, a unit of something else)."""
    if predicate.kind == "level":
        if not readings.ranged:
            return None
        beyond = readings.low | readings.high
        masks = {"low": readings.low, "high": readings.high, "abnormal": beyond, "normal": ~beyond}
        masks |= {"not low": ~readings.low, "not high": ~readings.high}
        return masks[predicate.word]
    if predicate.first is None:
        return None
    band = read_band(predicate.first, readings.variable, lexicon)
    if band is None:
        return None
    values = readings.values
    slack = _ROUNDING * max(1.0, abs(band.high))
    loose = band.tolerance if predicate.first.approximate else 0.0
    if predicate.kind in ("compare", "crossing"):
        compared = {
            "above": values > band.high + slack - loose,
            "below": values < band.low - slack + loose,
            "at_least": values >= band.low - slack - loose,
            "at_most": values <= band.high + slack + loose,
        }
        beyond = compared[predicate.word]
        if predicate.kind == "crossing":
            return beyond & np.maximum.accumulate(~beyond)
        return beyond
    if predicate.kind in ("between", "outside") and predicate.second is not None:
        other = read_band(predicate.second, readings.variable, lexicon)
        if other is None:
            return None
        first, last = sorted((band, other), key=lambda one: one.low)
        slack = _ROUNDING * max(1.0, abs(last.high))
        inside = (values >= first.low - first.tolerance - slack) & (values <= last.high + last.tolerance + slack)
        return inside if predicate.kind == "between" else ~inside
    return band.holds(values)


def _is_stay(length: float, said: float) -> bool:
    return abs(length - said) <= max(_STAY_SHARE * length, _STAY_HOURS)


def _nth(readings: Readings, place: int) -> np.ndarray:
    wanted = place if place >= 0 else len(readings) + place
    return np.arange(len(readings)) == wanted


def _turning(kind: str) -> Callable[[Readings, int], np.ndarray]:
    """Up to the extreme reading ("until max") or from it on ("since max")."""
    until, word = kind.startswith("until"), kind[-3:]

    def window(readings: Readings, _: int) -> np.ndarray:
        values = readings.values if word == "max" else -readings.values
        turn = readings.hours[int(values.argmax())]
        return readings.hours <= turn if until else readings.hours >= turn

    return window


_BY_PLACE: Mapping[str, Callable[[Readings, int], np.ndarray]] = {
    "nth": _nth,
    "first readings": lambda readings, count: np.arange(len(readings)) < count,
    "last readings": lambda readings, count: np.arange(len(readings)) >= len(readings) - count,
    **{kind: _turning(kind) for kind in ("until max", "since max", "until min", "since min")},
}


@dataclass(frozen=True, eq=False)
class Window:
    """The readings that a time refers to; `unknown` says why there are none."""

    mask: np.ndarray
    unknown: str = ""


def window_of(readings: Readings, times: Sequence[When], lexicon: Lexicon) -> Window:
    """The readings within all of `times`."""
    mask = np.ones(len(readings), dtype=np.bool_)
    for when in times:
        part = _one_window(readings, when, lexicon)
        if part is None:
            return Window(np.zeros(len(readings), dtype=np.bool_), _UNKNOWN.get(when.kind, "it was not measured then"))
        mask &= part
    return Window(mask, "" if mask.any() else "it was not measured then")


def _one_window(readings: Readings, when: When, lexicon: Lexicon) -> np.ndarray | None:
    limits, hours = lexicon.limits, readings.hours
    first, last = float(hours[0]), float(hours[-1])
    if when.kind in ("start", "admission"):
        if when.kind == "admission" and first > limits["admission_hours"]:
            return None
        return np.asarray(hours <= first + limits["start_hours"])
    if when.kind == "end":
        return np.asarray(hours >= last - limits["end_hours"])
    if when.kind == "early":
        return np.asarray(hours <= first + (last - first) / 3)
    if when.kind == "middle":
        third = (last - first) / 3
        return np.asarray((hours >= first + third) & (hours <= last - third))
    if when.kind in ("first half", "second half"):
        middle = (first + last) / 2
        return np.asarray(hours <= middle if when.kind == "first half" else hours >= middle)
    if when.kind == "later":
        return np.asarray(hours >= first + (last - first) / 3)
    if when.kind == "until then":
        until = hours[hours <= when.first + HALF_HOUR]
        return np.asarray(hours == (until[-1] if len(until) else np.inf))
    if when.kind == "final":
        return np.asarray(hours >= last - when.first)
    if when.kind == "at":
        reach = limits["at_hours"] * (2 if when.approximate else 1)
        return np.asarray(np.abs(hours - when.first) <= reach)
    if when.kind == "from":
        return np.asarray(hours >= when.first - HALF_HOUR)
    if when.kind == "until":
        return np.asarray(hours <= when.first + HALF_HOUR)
    if when.kind in _BY_PLACE:
        return _BY_PLACE[when.kind](readings, int(when.first))
    if when.kind == "stay":
        # No longer than the readings last, and not so short that it is some other span.
        return np.ones(len(hours), dtype=np.bool_) if _is_stay(last - first, when.first) else None
    if when.kind == "window":
        bounded = np.isfinite(when.last) and when.first > 0
        slack = limits["onset_hours"] if when.approximate else HALF_HOUR if bounded else 0
        return np.asarray((hours >= when.first - slack) & (hours <= when.last + slack))
    return np.ones(len(hours), dtype=np.bool_)


def evidence(reason: str, readings: Readings, mask: np.ndarray, lexicon: Lexicon) -> Evidence:
    """A reason with the first readings that decide."""
    chosen = np.flatnonzero(mask)[: int(lexicon.limits["evidence"])]
    return Evidence(
        reason,
        tuple(round(float(hour), 3) for hour in readings.hours[chosen]),
        tuple(round(float(value), 4) for value in readings.values[chosen]),
    )


def flipped(verdict: str) -> str:
    """The verdict on the opposite."""
    return {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(verdict, UNVERIFIABLE)


def count_runs(mask: np.ndarray) -> int:
    """Episodes: unbroken runs of readings."""
    return int((np.diff(mask.astype(np.int8), prepend=0) == 1).sum())
