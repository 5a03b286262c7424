"""Decides what a sentence states of the series from hours and values, for the second reading (second_reading.py).

Written from docs/claims.md without sight of the project's claim checker. Ranges and steps are the cohort's vocabulary,
which defines what "high" and "about" mean; the rest is the reader's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from second_reading_grammar import Claim, Statement

from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import Variable

SIGNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "acute_renal_failure": (("ph", "low"),),
    "fluid_electrolyte_disorders": (("ph", "low"), ("ph", "high")),
    "gastrointestinal_hemorrhage": (
        ("heart_rate", "high"),
        ("systolic_blood_pressure", "low"),
        ("mean_blood_pressure", "low"),
    ),
    "pneumonia": (("temperature", "high"), ("oxygen_saturation", "low"), ("respiratory_rate", "high")),
    "other_lower_respiratory_disease": (("oxygen_saturation", "low"), ("respiratory_rate", "high")),
    "other_upper_respiratory_disease": (("oxygen_saturation", "low"), ("respiratory_rate", "high")),
    "pleurisy_pneumothorax_collapse": (("oxygen_saturation", "low"), ("respiratory_rate", "high")),
    "respiratory_failure": (
        ("oxygen_saturation", "low"),
        ("respiratory_rate", "high"),
        ("fraction_inspired_oxygen", "high"),
        ("ph", "low"),
    ),
    "septicemia": (
        ("temperature", "high"),
        ("temperature", "low"),
        ("heart_rate", "high"),
        ("systolic_blood_pressure", "low"),
        ("mean_blood_pressure", "low"),
    ),
    "shock": (("systolic_blood_pressure", "low"), ("mean_blood_pressure", "low")),
    "chronic_kidney_disease": (("ph", "low"),),
    "copd": (("oxygen_saturation", "low"),),
    "diabetes_without_complication": (("glucose", "high"),),
    "diabetes_with_complications": (("glucose", "high"),),
    "essential_hypertension": (
        ("systolic_blood_pressure", "high"),
        ("mean_blood_pressure", "high"),
        ("diastolic_blood_pressure", "high"),
    ),
    "hypertension_with_complications": (
        ("systolic_blood_pressure", "high"),
        ("mean_blood_pressure", "high"),
        ("diastolic_blood_pressure", "high"),
    ),
    "cardiac_dysrhythmias": (("heart_rate", "high"), ("heart_rate", "low")),
    "conduction_disorders": (("heart_rate", "low"),),
    "congestive_heart_failure": (("oxygen_saturation", "low"), ("respiratory_rate", "high")),
}
"""By disease key, the plain signs that nobody would overlook: a variable and its level. General medical knowledge."""

MOST_THOUGH_EVERY = "'most readings', though every reading is"
ONE_NORMAL_BEFORE = "'from', with one normal reading before"
ONE_NORMAL_AFTER = "'until', with one normal reading after"
ROUNDED_TO_NORMAL = "the rounded extreme is itself normal"
NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
EXACT, HOUR = 1e-4, 1.01
SHIFTS = (0.0, -0.5, 0.5, -1.0, 1.0)  # hours by which a time that is named may be off


@dataclass(frozen=True)
class Readings:
    """The readings of one variable.

    Args:
        variable: Its definition.
        hours: (readings,) since ICU admission, rising.
        values: (readings,) in the variable's unit.
        bounds: Lowest and highest normal value, or None where the variable is never judged.
        low_inclusive: Whether a value at the low bound is low.
    """

    variable: Variable
    hours: np.ndarray
    values: np.ndarray
    bounds: tuple[float, float] | None
    low_inclusive: bool

    @classmethod
    def of(cls, series: LabSeries, key: str, range_set: str) -> Readings:
        """Those of the variable with this key in one stay's series, judged by one range set."""
        vocabulary = series.vocabulary
        column = vocabulary.variable_keys.index(key)
        ranges = vocabulary.range_set(range_set)
        measured = series.observed[:, column]
        values = np.round(series.values[measured, column].astype(float), 4)
        hours = series.hours[measured].astype(float)
        return cls(vocabulary.variable(key), hours, values, ranges.bounds.get(key), ranges.low_inclusive)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, level: str) -> np.ndarray:
        """(readings,) bool: which of them are "high", "low" or "normal". Without a range none is anything."""
        if self.bounds is None:
            return np.zeros(len(self), dtype=bool)
        low, high = self.bounds
        is_low = self.values < low + (EXACT if self.low_inclusive else -EXACT)
        is_high = self.values > high + EXACT
        return {"low": is_low, "high": is_high, "normal": ~(is_low | is_high)}[level]

    def has_sign(self, level: str) -> bool:
        """Whether at least two readings and a fifth of them are at the level."""
        found = self.at(level)
        return bool(found.sum() >= 2 and found.mean() >= 0.2)

    def is_about(self, stated: float, value: float) -> bool:
        """Whether a number with "about" or "near" may stand for the value."""
        step = self.variable.scale.step if self.variable.scale else 10.0**-self.variable.decimals
        return bool(abs(stated - value) <= step / 2 + 1e-3)


def series_claims(statement: Statement, series: LabSeries, range_set: str) -> list[Claim]:
    """The claims about the series in one sentence, decided from its readings alone."""
    every = [Readings.of(series, key, range_set) for key in statement.variables]
    if statement.form == "normal":
        return [Claim("normality", len(found) > 0 and bool(found.at("normal").all())) for found in every]
    readings = every[0]
    if statement.form == "unmeasured":
        return [Claim("measurement", len(readings) == 0)]
    if statement.form == "joined":
        return [Claim("direction", _often(readings, statement.level))]
    claims = {
        "level": _of_level,
        "counted": _of_count,
        "extreme only": _of_implied_level,
        "two extremes": _of_two_extremes,
        "swing": _of_swing,
        "change": _of_change,
    }[statement.form](statement, readings)
    return claims + _of_extreme(statement, readings) if "extreme" in statement.words else claims


def shows_no_sign(disease: str, series: LabSeries, range_set: str) -> bool:
    """Whether the series has none of the signs of a disease, given by its key."""
    known = [(key, level) for key, level in SIGNS.get(disease, ()) if key in series.vocabulary.variable_keys]
    return not any(Readings.of(series, key, range_set).has_sign(level) for key, level in known)


def _often(readings: Readings, level: str) -> bool | None:
    return None if readings.bounds is None else bool(readings.at(level).sum() >= 2)


def _of_level(statement: Statement, readings: Readings) -> list[Claim]:
    found = readings.at(statement.level)
    if readings.bounds is None or not len(found):
        return [Claim("direction", None if len(found) else False)]
    claims = [Claim("direction", bool(found.sum() >= 2 or found.mean() >= 0.2)), _share(statement, readings, found)]
    start, stop = statement.number("start"), statement.number("stop")
    if start is not None:
        claims.append(_onset(readings.hours, found, start))
    if stop is not None:
        claims.append(_end(readings.hours, found, stop))
    return claims


def _share(statement: Statement, readings: Readings, found: np.ndarray) -> Claim:
    start, stop = statement.number("start"), statement.number("stop")
    kind = "share" if start is None and stop is None else "share in time"
    answers = []
    for shift in SHIFTS:
        meant = readings.hours >= (-np.inf if start is None else start + shift)
        meant &= readings.hours <= (np.inf if stop is None else stop + shift)
        inside = found[meant]
        share = statement.words.get("share", "").lower()
        answers.append((_has_share(share, len(inside), int(inside.sum())), bool(len(inside)) and bool(inside.all())))
    true, every = next((answer for answer in answers if answer[0]), answers[0])
    doubt = MOST_THOUGH_EVERY if true and every and statement.words.get("share") == "most readings" else ""
    return Claim(kind, true, doubt)


def _has_share(share: str, readings: int, found: int) -> bool | None:
    """Whether so many of the readings are what the words say, taken strictly; None for unknown words."""
    part = found / readings if readings else 0.0
    if share == "":
        return part > 0.5 or found >= 2
    if share == "every reading":
        return 0 < readings == found
    if share == "most readings":
        return part > 0.5
    if share == "some readings":
        return found >= 2 and 0.1 <= part <= 0.5 + 1e-9
    if share == "a few readings":
        return found >= 2 and part < 0.2 + 1e-9
    if share == "half of the readings":
        return abs(part - 0.5) < 0.05
    number = share.split()[0]
    if number.isdigit():
        return found == int(number)
    return found == NUMBERS[number] if number in NUMBERS else None


def _onset(hours: np.ndarray, found: np.ndarray, start: float) -> Claim:
    before, after = found[hours < start - 1], found[hours >= start - 1]
    near = np.abs(hours[found] - start)
    if not len(near) or near.min() > HOUR or not len(before):
        return Claim("onset", False)
    doubt = ONE_NORMAL_BEFORE if len(before) == 1 and not before[0] else ""
    return Claim("onset", bool(before.mean() < 0.3 and after.mean() > before.mean()), doubt)


def _end(hours: np.ndarray, found: np.ndarray, stop: float) -> Claim:
    ends = hours[found]
    near = ends[np.abs(ends - stop) <= HOUR]
    if not len(near):
        return Claim("end", False)
    # The last reading near that hour, since the next one may well come within an hour of it.
    after, before = found[hours > near.max()], found[hours <= near.max()]
    if not len(after):
        return Claim("end", False)
    doubt = ONE_NORMAL_AFTER if len(after) == 1 and not after[0] else ""
    return Claim("end", bool(after.mean() < 0.3 and before.mean() > after.mean()), doubt)


def _of_count(statement: Statement, readings: Readings) -> list[Claim]:
    if readings.bounds is None:
        return [Claim("count", None), Claim("hour", None)]
    found = readings.at(statement.level)
    times = {"once": 1, "twice": 2}[statement.words["times"].lower()]
    apart = np.abs(readings.hours[found] - float(statement.words["hour"]))
    return [Claim("count", int(found.sum()) == times), Claim("hour", bool(len(apart)) and bool(apart.min() <= 0.51))]


def _of_implied_level(statement: Statement, readings: Readings) -> list[Claim]:
    return [Claim("implied direction", _often(readings, statement.level))]


def _of_extreme(statement: Statement, readings: Readings) -> list[Claim]:
    if not len(readings):
        return [Claim("extreme", False)]
    stated = float(statement.words["number"])
    extreme = float(readings.values.max() if statement.is_highest else readings.values.min())
    true = readings.is_about(stated, extreme)
    doubt = ""
    if true and readings.bounds is not None:
        low, high = readings.bounds
        if low <= stated <= high and not low <= extreme <= high:
            doubt = ROUNDED_TO_NORMAL
    agree = statement.level == ("high" if statement.is_highest else "low")
    return [
        Claim("extreme", true, doubt),
        Claim("direction of the extreme", agree),
        Claim("unit", _is_unit(statement.words.get("unit", ""), readings.variable)),
    ]


def _is_unit(written: str, variable: Variable) -> bool:
    own = {spelling for unit in variable.units[:1] for spelling in unit.spellings}
    own = {unit.lower() for unit in own | {variable.unit, variable.text_unit}}
    return written == variable.text_unit or (written != "" and written.lower() in own)


def _of_two_extremes(statement: Statement, readings: Readings) -> list[Claim]:
    return [Claim("extreme", _spans(statement, readings))]


def _spans(statement: Statement, readings: Readings) -> bool:
    """Whether the two numbers of a sentence are about the lowest and the highest reading."""
    if not len(readings):
        return False
    low, high = sorted((float(statement.words["first"]), float(statement.words["second"])))
    return readings.is_about(low, readings.values.min()) and readings.is_about(high, readings.values.max())


def _of_swing(statement: Statement, readings: Readings) -> list[Claim]:
    steps = np.sign(np.diff(readings.values))
    turns = int((steps[1:] * steps[:-1] < 0).sum())
    return [Claim("value", _spans(statement, readings)), Claim("course", len(readings) >= 6 and turns >= 2)]


def _of_change(statement: Statement, readings: Readings) -> list[Claim]:
    if len(readings) < 2:
        return [Claim("value", False), Claim("course", False)]
    first, last = float(readings.values[0]), float(readings.values[-1])
    stated_first, stated_last = float(statement.words["first"]), float(statement.words["second"])
    rises = statement.words["move"].lower() == "rises"
    slope = np.polyfit(readings.hours, readings.values, 1)[0]
    ends = readings.is_about(stated_first, first) and readings.is_about(stated_last, last)
    agree = ((stated_last > stated_first) == rises) and (bool(slope > 0) == rises) and ((last > first) == rises)
    return [Claim("value", ends), Claim("course", agree)]
