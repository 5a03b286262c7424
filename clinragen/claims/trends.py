"""Checks directions, changes and extremes against the readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from clinragen.claims.levels import Outcome, is_sign
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import HALF_HOUR, Band, Readings, evidence, flipped, near, read_band, window_of
from clinragen.claims.steadiness import kept_on, never_went
from clinragen.claims.types import (
    CONTRADICTED,
    LIMIT,
    SUPPORTED,
    UNVERIFIABLE,
    Evidence,
    Quantity,
    Statement,
    When,
)
from modeling_clinragen.series_statistics_clinragen import theil_sen_slope
from modeling_clinragen.vocabulary_clinragen import RangeSet, Scale, Variable

# A part of a series has a direction of its own from this many readings on.
PART_READINGS = 3
_STATISTICS: Mapping[str, Callable[[np.ndarray], Any]] = {
    "min": np.min,
    "max": np.max,
    "mean": np.mean,
    "median": np.median,
}
_EXACT = 1e-4  # readings are float32
_UNIT = Evidence("the unit is not one of this variable's")


def check_extreme(statement: Statement, readings: Readings, lexicon: Lexicon) -> Outcome:
    """ "peaking near 130", "ranged from 60 to 80", "peaked at hour 20"."""
    predicate = statement.predicate
    points = tuple(when for when in statement.times if when.kind == "at")
    chosen = window_of(readings, [when for when in statement.times if when.kind != "at"], lexicon)
    if predicate.first is None:
        points, chosen = statement.times, window_of(readings, (), lexicon)
    if chosen.unknown:
        return Outcome("extreme", UNVERIFIABLE, Evidence(chosen.unknown))
    values = readings.values[chosen.mask]
    sides: list[tuple[str, Quantity | None]] = [(predicate.word, predicate.first)]
    if predicate.kind == "range" and predicate.first is not None and predicate.second is not None:
        least, greatest = sorted((predicate.first, predicate.second), key=lambda number: number.low)
        sides = [("min", least), ("max", greatest)]
    if predicate.word == "either":
        return _negated(statement, _either_extreme(statement, readings, chosen.mask, points, lexicon))
    agrees = True
    shown = np.zeros(len(readings), dtype=np.bool_)
    reasons = []
    for word, number in sides:
        value = float(_STATISTICS[word](values))
        reasons.append(f"the {word} is {value:g}")
        places = chosen.mask & (readings.values == value)
        shown |= places
        if number is not None:
            band = read_band(number, readings.variable, lexicon)
            if band is None:
                return Outcome("extreme", UNVERIFIABLE, _UNIT)
            if word in ("mean", "median"):
                band = Band(band.low, band.high, max(band.tolerance, near(readings.variable)))
            agrees &= bool(band.holds(np.array([value]))[0])
        if points and word in ("min", "max"):
            agrees &= bool((places & window_of(readings, points, lexicon).mask).any())
    verdict = SUPPORTED if agrees else CONTRADICTED
    return _negated(
        statement, Outcome("extreme", verdict, evidence("; ".join(reasons), readings, shown | ~shown.any(), lexicon))
    )


def _either_extreme(
    statement: Statement, readings: Readings, chosen: np.ndarray, points: tuple[When, ...], lexicon: Lexicon
) -> Outcome:
    """ "reached 78": the least or the greatest value, or the value at the time given."""
    number = statement.predicate.first
    band = read_band(number, readings.variable, lexicon) if number is not None else None
    if band is None:
        return Outcome("extreme", UNVERIFIABLE, _UNIT)
    values = readings.values
    sides = chosen & ((values == values[chosen].min()) | (values == values[chosen].max()))
    places = chosen & window_of(readings, points, lexicon).mask if points else sides
    verdict = SUPPORTED if band.holds(values[places]).any() else CONTRADICTED
    reason = f"the min is {values[chosen].min():g}; the max is {values[chosen].max():g}"
    return Outcome("extreme", verdict, evidence(reason, readings, places | ~places.any(), lexicon))


def check_trend(statement: Statement, readings: Readings, range_set: RangeSet, lexicon: Lexicon) -> Outcome:
    """ "rises from 80 to 130", "is stable", "improves", "swings"."""
    # "dipped to 88 % at hour 20" says how far the change has come by then.
    times = [replace(when, kind="until") if when.kind == "at" else when for when in statement.times]
    if {when.kind for when in times} >= {"admission", "end"} or {when.kind for when in times} >= {"start", "end"}:
        times = []  # between the two
    if statement.predicate.second is not None or any(when.kind != "end" for when in times):
        times = [when for when in times if when.kind != "end"]  # "fell to 36.8 by the final reading"
    if [when.kind for when in times] == ["end"] and statement.predicate.word in ("rising", "falling", "stable"):
        times = [When("last readings", PART_READINGS)]  # "still rising at the last check"
    window = window_of(readings, times, lexicon)
    if window.unknown:
        return Outcome("trend", UNVERIFIABLE, Evidence(window.unknown))
    hours, values = readings.hours[window.mask], readings.values[window.mask]
    if len(values) < 2 and statement.predicate.word != "resolving":
        return Outcome("trend", UNVERIFIABLE, Evidence("there are fewer than two readings"))
    verdict, reason = _trend(statement, readings, hours, values, range_set, lexicon)
    sign = _sign(statement.predicate.word, readings.variable, values, range_set)
    if statement.quantifier is not None and sign:
        ends = (statement.predicate.first, statement.predicate.second)
        scale, numbered = readings.variable.scale, ends != (None, None)
        verdict = kept_on(verdict, statement.quantifier.name, sign * values, scale, numbered=numbered)
    then = _goes_then(statement, readings, sign, lexicon) if sign else None
    if then is False and verdict == SUPPORTED:
        verdict, reason = CONTRADICTED, f"not so at that hour; {reason}"
    elif then and verdict == CONTRADICTED and statement.predicate.word in ("rising", "falling"):
        verdict, reason = UNVERIFIABLE, f"so at that hour only; {reason}"
    outcome = _negated(statement, Outcome("trend", verdict, Evidence(reason)))
    if statement.negation == "never" and sign and statement.predicate.first is None is statement.predicate.second:
        verdict = never_went(outcome.verdict, sign * values, readings.variable.scale)
        outcome = replace(outcome, verdict=verdict)
    shown = np.zeros(len(readings), dtype=np.bool_)
    places = np.flatnonzero(window.mask)
    shown[[places[0], places[-1], places[int(values.argmin())], places[int(values.argmax())]]] = True
    return replace(outcome, evidence=evidence(reason, readings, shown, lexicon))


def _goes_then(statement: Statement, readings: Readings, sign: int, lexicon: Lexicon) -> bool | None:
    """Whether a change without numbers goes its way at the hour named ("still rising at hour 24").

    None where no hour is named.
    """
    points = [when for when in statement.times if when.kind == "at"]
    numbers = (statement.predicate.first, statement.predicate.second, statement.predicate.by)
    if not points or numbers != (None, None, None) or len(readings) < 2:
        return None
    then = window_of(readings, points, lexicon).mask
    steps = sign * np.diff(readings.values) > 0
    return bool((steps & (then[:-1] | then[1:])).any())


def _sign(word: str, variable: Variable, values: np.ndarray, range_set: RangeSet) -> int:
    """The direction of a change, 0 where it has none."""
    if word in ("rising", "falling"):
        return 1 if word == "rising" else -1
    if word not in ("improving", "worsening", "resolving"):
        return 0
    return _toward_normal(variable, values, range_set) * (-1 if word == "worsening" else 1)


def _negated(statement: Statement, outcome: Outcome) -> Outcome:
    if not statement.negation:
        return outcome
    return Outcome(outcome.kind, flipped(outcome.verdict), outcome.evidence)


def _trend(
    statement: Statement,
    readings: Readings,
    hours: np.ndarray,
    values: np.ndarray,
    range_set: RangeSet,
    lexicon: Lexicon,
) -> tuple[str, str]:
    predicate = statement.predicate
    word = predicate.word
    reason = f"from {values[0]:g} to {values[-1]:g}, least {values.min():g}, greatest {values.max():g}"
    if word == "resolving":
        return _resolved(statement, readings, hours, values, range_set, lexicon), reason
    scale = readings.variable.scale
    if scale is None:
        return UNVERIFIABLE, "no scale defines a change of this variable"
    ends, slope = float(values[-1] - values[0]), _slope(hours, values)
    if word == "erratic":
        swing = float(np.abs(np.diff(values)).mean())
        return (
            SUPPORTED if swing >= scale.swing else CONTRADICTED if swing < scale.swing / 2 else UNVERIFIABLE
        ), reason
    if word == "stable":
        swing = float(np.abs(np.diff(values)).mean())
        if swing >= scale.swing or min(abs(ends), abs(slope)) >= scale.change:
            return CONTRADICTED, reason
        return (SUPPORTED if max(abs(ends), abs(slope)) < scale.change else UNVERIFIABLE), reason
    sign = _sign(word, readings.variable, values, range_set)
    if word not in ("rising", "falling"):
        if word == "improving" and sign:
            # It was worse before: what counts is the time from the worst reading on.
            worst = int((sign * values).argmin())
            hours, values = hours[worst:], values[worst:]
            if len(values) < 2:
                return CONTRADICTED, reason
            ends, slope = float(values[-1] - values[0]), _slope(hours, values)
        first, second = predicate.first, predicate.second
        if not sign and first is not None and second is not None and first.low != second.low:
            sign = 1 if second.low > first.low else -1
        if not sign:
            return UNVERIFIABLE, "nothing defines which direction is an improvement"
    if predicate.by is not None and predicate.second is not None:
        return _either(statement, readings, hours, values, range_set, lexicon)
    if predicate.by is not None:
        band = read_band(predicate.by, readings.variable, lexicon, change=True)
        if band is None:
            return UNVERIFIABLE, _UNIT.reason
        changes = np.array([sign * ends, values.max() - values.min()])
        if predicate.by.decimals == LIMIT:  # "by over 40" is a limit, "by 40" a rounded number
            fits = (changes >= band.low - _EXACT) & (changes <= band.high + _EXACT)
        else:
            fits = Band(band.low, band.high, max(2 * band.tolerance, scale.step / 2)).holds(changes)
        return (SUPPORTED if fits.any() and sign * ends > 0 else CONTRADICTED), reason
    if predicate.first is None and predicate.second is None:
        verdict = _direction(sign, ends, slope, scale.change / 2)
        if verdict == CONTRADICTED and sign * ends > 0 and (sign * np.diff(values) >= 0).all():
            return UNVERIFIABLE, reason  # a small change, but all of it goes that way
        whole = any(when.kind == "whole" for when in statement.times)
        if verdict == CONTRADICTED and not whole and _in_part(sign, hours, values, scale.change):
            return UNVERIFIABLE, f"only part of the time; {reason}"
        return verdict, reason
    verdict = _between_numbers(statement, readings.variable, values, sign, scale, lexicon)
    return verdict, reason if verdict != UNVERIFIABLE else _UNIT.reason


def _either(
    statement: Statement,
    readings: Readings,
    hours: np.ndarray,
    values: np.ndarray,
    range_set: RangeSet,
    lexicon: Lexicon,
) -> tuple[str, str]:
    """ "fell 33 mmHg": by so much, or to this value."""
    predicates = (replace(statement.predicate, by=None), replace(statement.predicate, second=None))
    verdicts = [
        _trend(replace(statement, predicate=one), readings, hours, values, range_set, lexicon) for one in predicates
    ]
    return next((one for one in verdicts if one[0] == SUPPORTED), verdicts[1])


def _direction(sign: int, ends: float, slope: float, least: float) -> str:
    """Both the ends and the robust slope must go that way: the ends alone may be two outliers."""
    ends, slope = sign * ends, sign * slope
    if min(ends, slope) >= least - 1e-4:
        return SUPPORTED
    return CONTRADICTED if max(ends, slope) < least else UNVERIFIABLE


def _in_part(sign: int, hours: np.ndarray, values: np.ndarray, change: float) -> bool:
    """Whether the readings up to the extreme, or from the opposite extreme on, go that way."""
    signed = sign * values
    parts = (slice(0, int(signed.argmax()) + 1), slice(int(signed.argmin()), None))
    for part in parts:
        if len(signed[part]) >= PART_READINGS:
            ends, slope = (float(signed[part][-1] - signed[part][0]), _slope(hours[part], signed[part]))
            if min(ends, slope) >= change:
                return True
    return False


def _between_numbers(
    statement: Statement, variable: Variable, values: np.ndarray, sign: int, scale: Scale, lexicon: Lexicon
) -> str:
    """The numbers of a change: its start is the first value or the turning point, its end the last or extreme one."""
    predicate = statement.predicate
    start, end = (
        read_band(number, variable, lexicon) if number is not None else None
        for number in (predicate.first, predicate.second)
    )
    if (start is None and predicate.first is not None) or (end is None and predicate.second is not None):
        return UNVERIFIABLE
    signed = sign * values
    if start is not None and end is not None and sign * (end.low - start.high) <= 0:
        return CONTRADICTED
    starts = start.holds(values) if start is not None else np.ones(len(values), dtype=np.bool_)
    if start is not None:
        keep = np.zeros(len(values), dtype=np.bool_)
        keep[0] = True
        keep |= signed <= signed.min() + 1e-9
        starts &= keep
    finishes = np.zeros(len(values), dtype=np.bool_)
    finishes[-1] = True
    finishes |= signed >= signed.max() - 1e-9
    if end is not None:
        finishes &= end.holds(values)
    if not starts.any() or not finishes.any():
        return CONTRADICTED
    # Of all starts before an end, one has to lie clearly on the other side of it.
    lowest = np.minimum.accumulate(np.where(starts, signed, np.inf))
    least = scale.change / 4
    return SUPPORTED if (signed[finishes] - lowest[finishes] >= least).any() else CONTRADICTED


def _slope(hours: np.ndarray, values: np.ndarray) -> float:
    """The change over the window by the robust slope."""
    return float(theil_sen_slope(hours, values) * (hours[-1] - hours[0]))


def _distance(variable: Variable, values: np.ndarray, range_set: RangeSet) -> np.ndarray | None:
    """How far values lie outside the range, negative below it; None without a range."""
    if variable.key not in range_set.bounds:
        return None
    low, high = range_set.bounds[variable.key]
    values = np.round(values, 4)  # float32: 7.35 must not lie a rounding error below the limit of 7.35
    return np.where(values < low, values - low, np.where(values > high, values - high, 0.0))


def _toward_normal(variable: Variable, values: np.ndarray, range_set: RangeSet) -> int:
    """The direction (1 or -1) that leads the worst reading back to normal, or 0 where none is abnormal."""
    distance = _distance(variable, values, range_set)
    if distance is None or not distance.any():
        return 0
    return -int(np.sign(distance[int(np.abs(distance).argmax())]))


def _resolved(
    statement: Statement,
    readings: Readings,
    hours: np.ndarray,
    values: np.ndarray,
    range_set: RangeSet,
    lexicon: Lexicon,
) -> str:
    """ "resolved", or "settled at 16", which says the last value only."""
    number = statement.predicate.second
    if number is None:
        late = [when for when in statement.times if when.kind == "from" and when.by]
        if late and not _begins(readings, late[0].first, range_set):
            return UNVERIFIABLE  # "not until hour 36 did it normalize": it was normal before
        return _resolving(readings, hours, values, range_set)
    band = read_band(number, readings.variable, lexicon)
    if band is None:
        return UNVERIFIABLE
    if band.holds(values[-1:])[0]:
        return SUPPORTED
    distance = _distance(readings.variable, values, range_set)
    worst = int(np.abs(distance).argmax()) if distance is not None else 0
    return UNVERIFIABLE if band.holds(values[worst:]).any() else CONTRADICTED


def _begins(readings: Readings, hour: float, range_set: RangeSet) -> bool:
    """Whether the last reading before an hour is abnormal and the next one normal."""
    distance = _distance(readings.variable, readings.values, range_set)
    before = readings.hours < hour - HALF_HOUR
    if distance is None or before.all() or not before.any():
        return False
    return bool(distance[before][-1]) and not distance[~before][0]


def _resolving(readings: Readings, hours: np.ndarray, values: np.ndarray, range_set: RangeSet) -> str:
    """Abnormal before, normal at the end. Abnormal readings before the window count as well."""
    distance = _distance(readings.variable, values, range_set)
    if distance is None:
        return UNVERIFIABLE
    before = _distance(readings.variable, readings.values[readings.hours <= hours[-1]], range_set)
    if before is None or not before.any() or distance[-1]:
        return CONTRADICTED
    return SUPPORTED if is_sign(before != 0) else UNVERIFIABLE
