"""Signs in a patient's series: abnormal levels, trends and swings of each measured variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import faults_named, read_yaml
from modeling_clinragen.lab_words_clinragen import count_levels
from modeling_clinragen.numbers_clinragen import round_hour, round_to_step
from modeling_clinragen.series_statistics_clinragen import theil_sen_slope
from modeling_clinragen.vocabulary_clinragen import RangeSet, Scale

RESOURCES = files("dataset_builder.contract") / "resources"


@dataclass(frozen=True)
class SignRules:
    """The thresholds of `resources/series_signs.yaml`; each variable's `scale` defines its changes."""

    level_readings: int
    level_share: float
    level_alone: float
    trend_readings: int
    trend_hours: float
    erratic_readings: int
    most: float
    some: float
    timing_share: float
    timing_outside: int


@lru_cache(maxsize=4)
def load_sign_rules(path: Path | None = None) -> SignRules:
    """Read the thresholds. Raises `InputDataError` naming what is missing."""
    source = path if path is not None else RESOURCES / "series_signs.yaml"
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        level, trend, timing = content["level"], content["trend"], content["timing"]
        return SignRules(
            level_readings=level["readings"],
            level_share=level["share"],
            level_alone=level["alone"],
            trend_readings=trend["readings"],
            trend_hours=trend["hours"],
            erratic_readings=content["erratic"]["readings"],
            most=content["shares"]["most"],
            some=content["shares"]["some"],
            timing_share=timing["share"],
            timing_outside=timing["outside"],
        )


@dataclass(frozen=True)
class Finding:
    """One behaviour of one variable.

    - `extent`   "every", "most", "some", "few", "once" for a level; "" for a trend or a swing. With an onset or offset
                 it is said of the readings from there on, or until then
    - `onset`, `offset`  whole hours since ICU admission from which or until which the level is abnormal, or None
    - `start`, `end`     numbers already rounded: the extreme (in `end`) of a level, first and last of a trend, lowest
                         and highest of a swing
    - `weight`   share of abnormal readings, 0 to 1; 0.5 for a trend or a swing. Orders findings by how firm they are
    """

    variable: str
    direction: str
    extent: str
    onset: int | None
    offset: int | None
    start: str
    end: str
    weight: float


def find_signs(series: LabSeries, range_set: RangeSet, rules: SignRules) -> dict[tuple[str, str], Finding]:
    """Every sign that is present, by (variable key, direction). Nothing is said about what was not measured."""
    low, high, _ = count_levels(series.values, series.vocabulary, range_set)
    findings: dict[tuple[str, str], Finding] = {}
    for column, variable in enumerate(series.vocabulary.variables):
        measured = series.observed[:, column]
        scale = variable.scale
        if scale is None or not measured.any():
            continue
        hours = series.hours[measured].astype(np.float64)
        values = series.values[measured, column].astype(np.float64)
        found = [
            _level(variable.key, "low", hours, values, low[measured, column], scale, rules),
            _level(variable.key, "high", hours, values, high[measured, column], scale, rules),
            _trend(variable.key, hours, values, scale, rules),
            _erratic(variable.key, values, scale, rules),
        ]
        findings.update({(item.variable, item.direction): item for item in found if item is not None})
    return findings


def firmest(findings: Sequence[Finding], rules: SignRules) -> Finding:
    """Of findings in the order in which they are preferred, the first that is not rare, else the least rare."""
    return next((one for one in findings if one.weight >= rules.some), max(findings, key=lambda one: one.weight))


def stable_variables(series: LabSeries, range_set: RangeSet) -> list[str]:
    """Keys of the variables that were measured, have a range and were never outside it."""
    low, high, judged = count_levels(series.values, series.vocabulary, range_set)
    stable = judged.any(axis=0) & ~(low | high).any(axis=0)
    return [variable.key for variable, normal in zip(series.vocabulary.variables, stable, strict=True) if normal]


def _level(
    key: str, direction: str, hours: np.ndarray, values: np.ndarray, beyond: np.ndarray, scale: Scale, rules: SignRules
) -> Finding | None:
    count, total = int(beyond.sum()), len(beyond)
    share = count / total
    if not (share >= rules.level_alone or (count >= rules.level_readings and share >= rules.level_share)):
        return None
    where = np.flatnonzero(beyond)
    first, last = int(where[0]), int(where[-1])
    onset = offset = None
    said_of = total  # "in most readings from hour 6" is a share of the readings from hour 6 on
    if count == 1 or (first >= rules.timing_outside and count / (total - first) >= rules.timing_share):
        onset, said_of = round_hour(hours[first]), total - first
    elif total - 1 - last >= rules.timing_outside and count / (last + 1) >= rules.timing_share:
        offset, said_of = round_hour(hours[last]), last + 1
    if count == 1:
        extent = "once"
    elif count == said_of:
        extent = "every"
    else:
        extent = "most" if count / said_of > rules.most else "some" if share >= rules.some else "few"
    extreme = float(values.min() if direction == "low" else values.max())
    return Finding(key, direction, extent, onset, offset, "", round_to_step(scale, extreme), share)


def _trend(key: str, hours: np.ndarray, values: np.ndarray, scale: Scale, rules: SignRules) -> Finding | None:
    if len(values) < rules.trend_readings or hours[-1] - hours[0] < rules.trend_hours:
        return None
    change = values[-1] - values[0]
    if abs(change) < scale.change:
        return None
    slope = theil_sen_slope(hours, values)
    # Half of the change must show in the slope too: first and last alone may be two outliers.
    if slope * (hours[-1] - hours[0]) * np.sign(change) < abs(change) / 2:
        return None
    direction = "rising" if change > 0 else "falling"
    return Finding(
        key, direction, "", None, None, round_to_step(scale, values[0]), round_to_step(scale, values[-1]), 0.5
    )


def _erratic(key: str, values: np.ndarray, scale: Scale, rules: SignRules) -> Finding | None:
    if len(values) < rules.erratic_readings or np.abs(np.diff(values)).mean() < scale.swing:
        return None
    return Finding(
        key, "erratic", "", None, None, round_to_step(scale, values.min()), round_to_step(scale, values.max()), 0.5
    )
