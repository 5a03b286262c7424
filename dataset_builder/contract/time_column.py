"""The times of a lab CSV: hours or minutes since ICU admission, by name or unit, or timestamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from dataset_builder.contract.csv_file import CsvFile, csv_rules
from dataset_builder.contract.csv_numbers import read_number
from dataset_builder.contract.definition_entries import plain_name
from dataset_builder.contract.measurement_units import unit_spelled
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Unit

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9:]{4,6})?"
)
COUNTED = "Its times are timestamps: hours are counted from the first row, not from ICU admission."


@dataclass(frozen=True)
class TimeColumn:
    """The column of times: its position in the header, and its unit's factor to hours, None where it is open."""

    position: int
    title: str
    hours: float | None


@lru_cache(maxsize=1)
def _units() -> tuple[Unit, ...]:
    time = csv_rules()["time"]
    return tuple(Unit(tuple(time["spellings"][key]), float(factor)) for key, factor in time["factors"].items())


@lru_cache(maxsize=1)
def _names() -> dict[str, str | None]:
    """Names of the column, and the unit that each says."""
    time = csv_rules()["time"]
    named = {plain_name(name): str(unit) for name, unit in time["names"].items()}
    return {**dict.fromkeys(map(plain_name, time["open_names"])), **named}


def is_time(name: str) -> bool:
    """Whether a title without its unit names the times."""
    return plain_name(name) in _names()


def time_column(path: object, position: int, name: str, unit: str | None) -> TimeColumn:
    """The column of times from its title.

    Raises `InputDataError` for a unit that is not one of time, or contradicts the name.
    """
    said = _names()[plain_name(name)]
    own = None if said is None else unit_spelled(said, _units())
    if unit is None:
        return TimeColumn(position, name, None if own is None else own.scale)
    found = unit_spelled(unit, _units())
    if found is None or (own is not None and found.scale != own.scale):
        problem = "has an unknown unit" if found is None else f"is in {said} by its name and in another unit behind it"
        raise InputDataError(
            f"{path}: column {position + 1}, '{name}', {problem}; write (h) or (min) behind 'time', counted since ICU "
            "admission"
        )
    return TimeColumn(position, name, found.scale)


def read_times(file: CsvFile, column: TimeColumn, mark: str) -> tuple[np.ndarray, str | None]:
    """Hours of every row, (rows,) float32 of 0 or more, and a remark where they are not since ICU admission.

    Raises:
        InputDataError: A time is missing, negative, too late or not a number; a column without a unit has other times
            than timestamps; some of them have a time zone and others none; two rows have the same time.
    """
    cells = [(number, row[column.position]) for number, row in file.rows]
    remark = None
    if column.hours is None:
        hours = _hours_of_timestamps(file, column, cells)
        remark = COUNTED
    else:
        hours = [
            read_number(cell, mark, f"{file.path}: row {number}, {column.title}") * column.hours
            for number, cell in cells
        ]
    latest = csv_rules()["time"]["at_most"]
    seen: dict[float, int] = {}
    for (number, _), hour in zip(cells, hours, strict=True):
        if not hour >= 0:
            raise InputDataError(f"{file.path}: row {number} needs hours since ICU admission of 0 or more; correct it")
        if hour > latest:
            raise InputDataError(
                f"{file.path}: row {number}, {column.title}: is later than {latest:,} hours; check the time and its "
                "unit"
            )
        stored = float(np.float32(hour))
        if stored in seen:
            raise InputDataError(f"{file.path}: rows {seen[stored]} and {number} have the same hours; merge them")
        seen[stored] = number
    return np.array(hours, dtype=np.float32), remark


def _hours_of_timestamps(file: CsvFile, column: TimeColumn, cells: Sequence[tuple[int, str]]) -> list[float]:
    times: list[datetime] = []
    for number, cell in cells:
        found = _timestamp(cell.strip())
        if found is None:
            what = "has no unit" if not times else f"is not a timestamp in row {number}"
            raise InputDataError(
                f"{file.path}: column {column.position + 1}, '{column.title}', {what}; write 'time (h)' or "
                "'time (min)' since ICU admission, or timestamps like 2150-03-01 09:00"
            )
        if times and (found.tzinfo is None) != (times[0].tzinfo is None):
            raise InputDataError(
                f"{file.path}: row {number}, {column.title}: only some times have a time zone; write all without one"
            )
        times.append(found)
    first = min(times)
    return [(time - first) / timedelta(hours=1) for time in times]


def _timestamp(cell: str) -> datetime | None:
    if not _TIMESTAMP.fullmatch(cell):
        return None
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None
