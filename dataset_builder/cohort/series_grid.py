"""Series grids: measurements (stay, hour, variable) become rows with a column per variable, NaN where missing."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa

from dataset_builder.cohort.config import GRIDS, MAX_STEPS
from modeling_clinragen.errors import SettingsError


@dataclass(frozen=True, eq=False)
class Series:
    """The series of several stays, one after the other: the steps of stay i are `offsets[i]` to `offsets[i + 1]`.

    - `offsets`  (stays + 1,) int32
    - `hours`    (steps,) float32, since ICU admission, strictly rising within a stay
    - `values`   (steps, variables) float32, NaN where not observed
    """

    offsets: np.ndarray
    hours: np.ndarray
    values: np.ndarray


class SeriesReader:
    """Reads the series of parts of a cohort, and counts in `counts` what was merged or cut.

    Several values of one variable at one time of one stay (arterial and cuff pressure, corrections) become the
    largest: the rule of mimic3-benchmarks, which sorts by value and keeps the last; the last as text where
    `measurements` have a `tie`. "event" makes a row per distinct time, "hourly" a row per full hour h with the last
    value of [h, h + 1). The first `max_steps` rows of a stay are kept, all of them without a limit.

    Raises `SettingsError` for an unknown grid.
    """

    def __init__(self, measurements: ibis.Table, grid: str, width: int, *, max_steps: int | None = MAX_STEPS) -> None:
        if grid not in GRIDS:
            raise SettingsError(f"unknown grid '{grid}'; choose one of {', '.join(GRIDS)}")
        self._measurements = measurements
        self._grid = grid
        self._width = width
        self._max_steps = max_steps
        self.counts = dict.fromkeys(("measurements_used", "merged_at_the_same_time", "steps", "steps_cut"), 0)

    def read(self, stays: pa.Table) -> Series:
        """The series of `stays`, in their order; no other stay of the cohort may have an id between theirs."""
        stay_ids = stays["stay_id"].to_numpy()
        first, last = int(stay_ids.min()), int(stay_ids.max())
        wanted = self._measurements.filter(self._measurements.stay_id.between(first, last))
        tie = [wanted.tie.asc(nulls_first=True)] if "tie" in wanted.columns else []
        rows = wanted.order_by("stay_id", "hours", "variable", *tie, "value").drop(*(["tie"] if tie else []))
        return self._lay_out(rows.to_pyarrow(), stay_ids)

    def _lay_out(self, rows: pa.Table, stay_ids: np.ndarray) -> Series:
        stay, hours, variable, value = _single(rows, stay_ids)
        single = len(stay)
        if self._grid == "hourly":
            hours = np.floor(hours)
        starts = _starts(stay, hours)
        steps = int(starts.sum())
        if self._max_steps is not None:
            step = np.cumsum(starts)
            kept = step - step[np.searchsorted(stay, stay)] < self._max_steps
            stay, hours, variable, value, starts = (column[kept] for column in (stay, hours, variable, value, starts))
        values = np.full((int(starts.sum()), self._width), np.nan, dtype=np.float32)
        # They are in the order of time: the last of several in an hour stays.
        values[np.cumsum(starts) - 1, variable] = value
        stay, hours = stay[starts], hours[starts]
        self._count(
            measurements_used=rows.num_rows,
            merged_at_the_same_time=rows.num_rows - single,
            steps=len(stay),
            steps_cut=steps - len(stay),
        )
        offsets = np.searchsorted(stay, np.arange(len(stay_ids) + 1)).astype(np.int32)
        return Series(offsets, hours, values)

    def _count(self, **found: int) -> None:
        for name, count in found.items():
            self.counts[name] += count


def _single(rows: pa.Table, stay_ids: np.ndarray) -> tuple[np.ndarray, ...]:
    """Position in `stay_ids`, hours, variable and value of measurements, by that position and time.

    `rows` are in the order of stay, hours and variable. Of several with the same the last one counts.
    """
    stay, hours, variable, value = (rows[name].to_numpy() for name in ("stay_id", "hours", "variable", "value"))
    last = np.append(_starts(stay, hours, variable)[1:], True)[: len(stay)]
    by_id = np.argsort(stay_ids)
    stay = by_id[np.searchsorted(stay_ids, stay, sorter=by_id)]
    order = np.argsort(stay, kind="stable")
    order = order[last[order]]
    return stay[order], hours[order], variable[order], value[order]


def _starts(*columns: np.ndarray) -> np.ndarray:
    """Marks the rows, (rows,) bool, that differ from the one before in any of the columns; the first row does."""
    differs = np.ones(len(columns[0]), dtype=np.bool_)
    for number, column in enumerate(columns):
        changed = column[1:] != column[:-1]
        differs[1:] = changed if number == 0 else differs[1:] | changed
    return differs
