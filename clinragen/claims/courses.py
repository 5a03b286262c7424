"""Checks values in the course of time and comparisons between two times against the readings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinragen.claims.levels import Outcome
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import Band, Readings, evidence, flipped, near, read_band, window_of
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Evidence, Point, Quantity, Statement, When

_UNIT = Evidence("the unit is not one of this variable's")
_SIGNS = {"rising": 1, "falling": -1}
_ROUNDED = 1e-4
# "Doubled" tolerates this share of the factor; up to the second share the readings do not decide.
_FACTOR, _LOOSE_FACTOR = 0.1, 0.25


def check_course(statement: Statement, readings: Readings, lexicon: Lexicon) -> Outcome:
    """ "from 124 at hour 0 to 78 at hour 16", "92 -> 132 -> 90": each value at its time, in this order."""
    kind = "trend" if statement.predicate.word else "value"
    # "Initially 97, it fell to 86": the beginning is the first value's.
    starts = tuple(when for when in statement.times if when.kind in ("start", "admission"))
    window = window_of(readings, [when for when in statement.times if when not in starts], lexicon)
    if window.unknown:
        return Outcome(kind, UNVERIFIABLE, Evidence(window.unknown))
    shown = np.zeros(len(readings), dtype=np.bool_)
    reached, agrees = -np.inf, True
    reasons: list[str] = []
    points = statement.predicate.points
    for place, point in enumerate(points):
        band = read_band(point.numbers[0], readings.variable, lexicon)
        if band is None:
            return Outcome(kind, UNVERIFIABLE, _UNIT)
        first = replace(point, times=(*point.times, *starts)) if np.isneginf(reached) else point
        allowed, unknown = _allowed(first, statement, readings, lexicon)
        if unknown:
            return Outcome(kind, UNVERIFIABLE, Evidence(unknown))
        allowed &= window.mask
        if not point.times:
            allowed &= readings.hours > reached
            if place + 1 < len(points) and points[place + 1].times:
                # "from 16 to 32 by hour 16": the first value comes before the time of the next
                following, _ = _allowed(points[place + 1], statement, readings, lexicon)
                allowed &= readings.hours < readings.hours[following].max(initial=-np.inf)
        holding = allowed & band.holds(readings.values)
        if not holding.any():
            agrees = False
            shown |= allowed
            reasons.append(f"no such reading of {point.numbers[0].low:g}")
            break
        reached = float(readings.hours[holding][0])
        shown[int(np.flatnonzero(holding)[0])] = True
        reasons.append(f"{readings.values[holding][0]:g} at hour {reached:g}")
    agrees &= _goes(statement)
    if statement.quantifier is not None and agrees:  # "monotonically"
        ends = np.flatnonzero(shown)
        agrees = _one_way(readings.values[ends[0] : ends[-1] + 1])
    outcome = SUPPORTED if agrees else CONTRADICTED
    return Outcome(
        kind,
        flipped(outcome) if statement.negation else outcome,
        evidence(", ".join(reasons), readings, shown | ~shown.any(), lexicon),
    )


def _one_way(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _goes(statement: Statement) -> bool:
    """Whether the numbers go the way that the verb says; of three and more, the verb is about the first two."""
    sign = _SIGNS.get(statement.predicate.word, 0)
    first, second = (point.numbers[0] for point in statement.predicate.points[:2])
    return not sign or sign * (second.low - first.high) > 0


def _allowed(point: Point, statement: Statement, readings: Readings, lexicon: Lexicon) -> tuple[np.ndarray, str]:
    """The readings that may be the point's: those at its time, and the extreme one if it is said to be extreme."""
    mask = np.ones(len(readings), dtype=np.bool_)
    for when in point.times:
        window = window_of(readings, (when,), lexicon)
        if window.unknown:
            return mask, window.unknown
        if when.kind == "window":
            # "to 78 by hour 16": the last reading until then, or the furthest.
            ends = np.zeros(len(readings), dtype=np.bool_)
            places = np.flatnonzero(window.mask)
            ends[places[-1]] = True
            sign = _SIGNS.get(statement.predicate.word, 0)
            if sign:
                signed = sign * readings.values[places]
                ends[places[signed >= signed.max()]] = True
            window = type(window)(ends)
        mask &= window.mask
    if point.extreme in ("min", "max"):
        extreme = readings.values.min() if point.extreme == "min" else readings.values.max()
        mask &= readings.values == extreme
    return mask, ""


def check_versus(statement: Statement, readings: Readings, lexicon: Lexicon) -> Outcome:
    """ "20 higher at hour 16 than at hour 4", "10 above baseline"."""
    first, second = statement.predicate.points
    # "Above its admission value by hour 20": at that hour.
    times = tuple(
        When("until then", when.last) if when.by and when.kind == "window" else when
        for when in (*first.times, *statement.times)
    )
    one, other = (window_of(readings, times, lexicon), window_of(readings, second.times, lexicon))
    for window in (one, other):
        if window.unknown:
            return Outcome("trend", UNVERIFIABLE, Evidence(window.unknown))
    # The value "on admission" is the first one.
    first_only = {when.kind for when in second.times} <= {"start", "admission"} and bool(second.times)
    base = float(readings.values[other.mask][0] if first_only else readings.values[other.mask].mean())
    chosen = one.mask & ~other.mask
    if not chosen.any():
        return Outcome("trend", UNVERIFIABLE, Evidence("the two times have the same readings"))
    sign = -1 if statement.predicate.word == "below" else 1
    differences = sign * (readings.values[chosen] - base)
    if statement.predicate.word == "same":
        off = float(np.abs(differences).max())
        written = 0.5 * 10.0**-readings.variable.decimals
        verdict = SUPPORTED if off <= written else UNVERIFIABLE if off <= near(readings.variable) else CONTRADICTED
    elif statement.predicate.word not in ("above", "below"):
        factor = float(statement.predicate.word)
        off = float(np.min(np.abs(readings.values[chosen] - factor * base))) / abs(factor * base or 1.0)
        verdict = _multiple(off)
    elif first.numbers:
        band = read_band(first.numbers[0], readings.variable, lexicon, change=True)
        if band is None:
            return Outcome("trend", UNVERIFIABLE, _UNIT)
        # The difference of two values that are both rounded.
        agrees = Band(band.low, band.high, 2 * band.tolerance).holds(differences)
        verdict = SUPPORTED if agrees.any() else CONTRADICTED
    else:
        above = differences > 0.5 * 10.0**-readings.variable.decimals
        verdict = SUPPORTED if above.all() else CONTRADICTED if not above.any() else UNVERIFIABLE
    reason = f"{readings.values[chosen].mean():g} against {base:g}"
    shown = evidence(reason, readings, chosen | other.mask, lexicon)
    return Outcome("trend", flipped(verdict) if statement.negation else verdict, shown)


def numbered_change(statement: Statement, readings: Readings, lexicon: Lexicon) -> list[float]:
    """The hours that a change may have taken: from any reading of its first number to any later one of its last."""
    predicate = statement.predicate
    numbers: list[Quantity | None] = [point.numbers[0] for point in predicate.points]
    numbers = numbers or [predicate.first, predicate.second]
    bands = [read_band(number, readings.variable, lexicon) for number in numbers if number is not None]
    if predicate.by is not None and predicate.word in _SIGNS:
        band = read_band(predicate.by, readings.variable, lexicon, change=True)
        steps = _SIGNS[predicate.word] * (readings.values[None, :] - readings.values[:, None])
        hours = readings.hours[None, :] - readings.hours[:, None]
        return list(hours[(hours > 0) & band.holds(steps)]) if band is not None else []
    if len(bands) < 2 or bands[0] is None or bands[-1] is None:
        whole = float(readings.hours[-1] - readings.hours[0])
        return [whole] if predicate.kind == "trend" and predicate.by is None else []
    starts, ends = (readings.hours[band.holds(readings.values)] for band in (bands[0], bands[-1]))
    return [float(end - start) for start in starts for end in ends if end > start]


def is_numbered_change(statement: Statement) -> bool:
    """Whether it is a rise or a fall from one number to another, in this direction."""
    said = statement.predicate
    sign = _SIGNS.get(said.word, 0)
    if said.kind != "trend" or not sign or said.first is None or said.second is None or statement.negation:
        return False
    return sign * (said.second.low - said.first.high) > 0 and not statement.times


def check_spread(statement: Statement, readings: Readings, lexicon: Lexicon) -> Outcome:
    """ "varied by 6", "by no more than 9": from the least to the greatest value."""
    window, number = (window_of(readings, statement.times, lexicon), statement.predicate.first)
    band = read_band(number, readings.variable, lexicon, change=True) if number is not None else None
    if window.unknown or band is None:
        return Outcome("extreme", UNVERIFIABLE, Evidence(window.unknown) if window.unknown else _UNIT)
    values = readings.values[window.mask]
    spread = float(values.max() - values.min())
    verdict = SUPPORTED if band.holds(np.array([spread]))[0] else CONTRADICTED
    shown = window.mask & ((readings.values == values.max()) | (readings.values == values.min()))
    reason = f"from {values.min():g} to {values.max():g}, {spread:g} apart"
    found = evidence(reason, readings, shown, lexicon)
    return Outcome("extreme", flipped(verdict) if statement.negation else verdict, found)


def _multiple(off: float, about: bool = False) -> str:
    return (
        SUPPORTED
        if off <= (_LOOSE_FACTOR if about else _FACTOR)
        else UNVERIFIABLE
        if off <= _LOOSE_FACTOR
        else CONTRADICTED
    )


def check_factor(statement: Statement, readings: Readings, lexicon: Lexicon) -> Outcome:
    """ "doubled": the extreme, or the value at the time given, against the first value."""
    sign = statement.predicate.word.rstrip("0123456789.")
    factor = float(statement.predicate.word.lstrip("~<>"))
    times = [When("until", when.first) if when.kind == "at" else when for when in statement.times]
    window = window_of(readings, times, lexicon)
    values = readings.values[window.mask]
    if window.unknown or len(values) < 2 or values[0] <= 0:
        return Outcome("trend", UNVERIFIABLE, Evidence(window.unknown or "there are fewer than two readings"))
    extreme = float(values.max() if factor > 1 else values.min())
    ratio = extreme / float(values[0])
    if sign in (">", "<"):
        beyond = ratio / factor if (factor > 1) == (sign == ">") else factor / ratio
        # Of two rounded values that miss it by little it is not known.
        verdict = SUPPORTED if beyond >= 1 - _ROUNDED else UNVERIFIABLE if beyond >= 1 - _FACTOR else CONTRADICTED
    else:
        verdict = _multiple(abs(ratio - factor) / factor, sign == "~")
    reason = f"from {values[0]:g} to {extreme:g}, {ratio:.2g} times"
    shown = evidence(reason, readings, window.mask, lexicon)
    return Outcome("trend", flipped(verdict) if statement.negation else verdict, shown)
