"""A stay's series as a CSV that people write: `hours,heart rate (bpm),temperature (°F),FiO2 (%)`, a row per time."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract.definition_entries import names_of, plain_name
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import atomic_file, read_yaml
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Unit, Variable, Vocabulary

RESOURCES = files("dataset_builder.contract") / "resources"

_HEADER = re.compile(r"^(?P<name>[^()]+?)\s*(?:\((?P<unit>[^()]*)\))?$")


@dataclass(frozen=True)
class _Column:
    """One column of a file: `variable` is None for the hours; value * scale + offset is in the variable's unit."""

    title: str
    variable: Variable | None
    scale: float
    offset: float


@lru_cache(maxsize=1)
def _hours_column() -> Mapping[str, Any]:
    content: Mapping[str, Any] = read_yaml(RESOURCES / "lab_csv.yaml")["hours"]
    units = tuple(Unit(tuple(unit["spellings"]), unit.get("scale", 1.0)) for unit in content["units"])
    return {"names": {plain_name(name) for name in content["names"]}, "units": units}


def read_lab_csv(path: Path, vocabulary: Vocabulary) -> LabSeries:
    """Read a series from a UTF-8 CSV file.

    The header names `hours` (since ICU admission) and any of the vocabulary's variables by key, name or alias, with
    the unit in brackets; other known units are converted. An empty cell was not measured. Rows may be in any order,
    but no two for the same time: the writer must decide which of them counts.

    Raises `InputDataError` naming the file, the column and the row, and never a value.
    """
    path = Path(path)
    header, rows = _read_rows(path)
    columns = _read_header(path, header, vocabulary)
    hours: list[float] = []
    values: list[np.ndarray] = []
    row_of_hour: dict[float, int] = {}
    keys = vocabulary.variable_keys
    for number, cells in rows:
        if len(cells) != len(columns):
            raise InputDataError(
                f"{path}: row {number} has {len(cells)} cells, the header has {len(columns)}; correct it"
            )
        step = np.full(len(keys), np.nan, dtype=np.float32)
        hour = math.nan
        for column, cell in zip(columns, cells, strict=True):
            value = _read_cell(path, column, cell, number)
            if column.variable is None:
                hour = float(np.float32(value))
            else:
                step[keys.index(column.variable.key)] = value
        if not hour >= 0:
            raise InputDataError(f"{path}: row {number} needs hours since ICU admission of 0 or more; correct it")
        if hour in row_of_hour:
            raise InputDataError(f"{path}: rows {row_of_hour[hour]} and {number} have the same hours; merge them")
        row_of_hour[hour] = number
        hours.append(hour)
        values.append(step)
    order = np.argsort(np.array(hours))
    return LabSeries.from_values(vocabulary, np.array(hours, dtype=np.float32)[order], np.stack(values)[order])


def write_lab_csv(path: Path, series: LabSeries) -> None:
    """Write a series in the variables' own units; `read_lab_csv` reads the same series back unless it is empty."""
    variables = series.vocabulary.variables
    with atomic_file(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["hours", *(f"{variable.name} ({variable.unit})" for variable in variables)])
        for hour, values, observed in zip(series.hours, series.values, series.observed, strict=True):
            cells = [_number(value) if seen else "" for value, seen in zip(values, observed, strict=True)]
            writer.writerow([_number(hour), *cells])


def _number(value: np.float32) -> str:
    return str(np.format_float_positional(value, unique=True, trim="-"))


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows that are not blank, each with its number in the file (the header is row 1)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(stream), start=1) if any(map(str.strip, row))
            ]
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputDataError(f"{path}: is not UTF-8 text; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputDataError(f"{path}: is not a CSV file; save it as comma-separated text") from error
    if not rows:
        raise InputDataError(
            f"{path}: is empty; it needs a header (hours and variables with units) and a row per time"
        )
    if len(rows) == 1:
        raise InputDataError(f"{path}: has a header but no rows; give no lab file when nothing was measured")
    return rows[0][1], rows[1:]


def _read_header(path: Path, header: Sequence[str], vocabulary: Vocabulary) -> list[_Column]:
    columns: list[_Column] = []
    by_name = _variables_by_name(vocabulary)
    for number, title in enumerate(header, start=1):
        column = _read_title(path, title.strip(), number, by_name)
        if any(column.variable == other.variable for other in columns):
            raise InputDataError(f"{path}: column {number} repeats {_name(column.variable)}; keep one column of it")
        columns.append(column)
    if all(column.variable is not None for column in columns):
        raise InputDataError(f"{path}: has no column 'hours' (since ICU admission); add it")
    if len(columns) == 1:
        raise InputDataError(f"{path}: has no column of a variable; add for example 'heart rate (bpm)'")
    return columns


def _read_title(path: Path, title: str, number: int, by_name: Mapping[str, Variable]) -> _Column:
    match = _HEADER.match(title)
    name = plain_name(match["name"]) if match else ""
    is_hours = name in _hours_column()["names"]
    variable = None if is_hours else by_name.get(name)
    if match is None or not (is_hours or variable is not None):
        # A file without a header has values in its first row: a title is only repeated when it reads like a name.
        shown = f" ('{title}')" if re.fullmatch(r"[^\W\d]{1,20}[^\d]{0,20}", title) else ""
        known = ", ".join(["hours", *(f"{v.name} ({v.unit})" for v in dict.fromkeys(by_name.values()))])
        raise InputDataError(
            f"{path}: column {number}{shown} is unknown; the first row must name columns from: {known}"
        )
    unit = match["unit"]
    units = _hours_column()["units"] if variable is None else variable.units
    if unit is None and (variable is None or variable.unitless):
        return _Column(title, variable, 1.0, 0.0)
    for known_unit in units:
        if unit is not None and _squeeze(unit) in {_squeeze(spelling) for spelling in known_unit.spellings}:
            return _Column(title, variable, known_unit.scale, known_unit.offset)
    first = " or ".join(f"({known_unit.spellings[0]})" for known_unit in units)
    problem = "has no unit" if unit is None else "has an unknown unit"
    raise InputDataError(f"{path}: column {number}, {_name(variable)}, {problem}; write {first} behind its name")


def _read_cell(path: Path, column: _Column, cell: str, row: int) -> float:
    """The cell in the variable's unit, NaN when it is empty."""
    if not cell.strip():
        return math.nan
    where = f"{path}: row {row}, {_name(column.variable)}"
    try:
        value = float(cell) * column.scale + column.offset
    except ValueError:
        raise InputDataError(f"{where}: is not a number; correct it or leave the cell empty") from None
    if not math.isfinite(value):
        raise InputDataError(f"{where}: is not a finite number; correct it or leave the cell empty")
    if column.variable is not None:
        low, high = column.variable.plausible
        if not np.float32(low) <= np.float32(value) <= np.float32(high):
            raise InputDataError(
                f"{where}: implausible value (expected {low:g} to {high:g} {column.variable.unit}); check value and "
                "unit"
            )
    return value


def _variables_by_name(vocabulary: Vocabulary) -> dict[str, Variable]:
    return {name: variable for variable in vocabulary.variables for name in names_of(variable)}


def _name(variable: Variable | None) -> str:
    return "hours" if variable is None else variable.name


def _squeeze(unit: str) -> str:
    return "".join(unit.casefold().split())
