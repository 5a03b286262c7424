"""The readings in the opposite order of time, at the same hours."""

from __future__ import annotations

from dataclasses import replace

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown


def _change(case: Case, group: Group) -> Shown | None:
    shown = case.shown
    if len(shown.hours) < 2 or not shown.measured.any():
        return None
    # Mirrored between the first hour and the last, so that the distances between readings stay what they are.
    hours = (shown.hours[0] + shown.hours[-1] - shown.hours[::-1]).astype(shown.hours.dtype)
    # Rounding must not move the ends, nor put two steps on one hour.
    hours[0], hours[-1] = shown.hours[0], shown.hours[-1]
    if not (hours[1:] > hours[:-1]).all():
        return None
    return replace(shown, hours=hours, values=shown.values[::-1].copy())


TIME_REVERSED = Intervention("time_reversed", "Time of the series reversed", _change)
