"""A stay's series as a CSV that people write: `hours,heart rate (bpm),temperature (°F),FiO2 (%)`, a row per time."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset_builder.contract.csv_file import CsvFile, read_csv_file
from dataset_builder.contract.csv_numbers import decimal_mark, read_number
from dataset_builder.contract.definition_entries import names_of, plain_name
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.measurement_units import unit_of
from dataset_builder.contract.series_thinning import thin
from dataset_builder.contract.time_column import TimeColumn, is_time, read_times, time_column
from dataset_builder.contract.unit_doubt import refuse_unlikely_units
from dataset_builder.storage.files import atomic_file
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Unit, Variable, Vocabulary

# The unit is in round or square brackets, and may have brackets of its own: "SBP (mm[Hg])".
_TITLE = re.compile(r"(?P<name>[^()\[\]]+?)\s*(?:\((?P<round>.*)\)|\[(?P<square>.*)\])?")


@dataclass(frozen=True)
class _Column:
    """A column of a variable: its position in the header, and its unit (value * scale + offset is in the own one)."""

    position: int
    variable: Variable
    unit: Unit


def read_lab_csv(path: Path, vocabulary: Vocabulary, *, at_most: int | None = None) -> LabSeries:
    """Read a series from a CSV file (see `read_csv_file` for the encodings and separators).

    The header names `hours` (since ICU admission), or `time` with its unit or timestamps, and any of the vocabulary's
    variables by key, name or alias, with the unit in brackets; other units are converted. Decimal commas are read
    where no cell has a decimal point. An empty cell was not measured. Rows may be in any order, but no two for the
    same time: the writer must decide which of them counts.

    Args:
        path: The file.
        vocabulary: Whose variables are read.
        at_most: Number of rows above which the series is thinned (see `thin`); None keeps all.

    Returns:
        The series; its `remarks` say where rows were thinned, or hours counted from the first row.

    Raises:
        InputDataError: The file cannot be read as such a series. The message names the file, the column and the row,
            and never a value.
    """
    by_name = _by_name(vocabulary)
    return read_table(read_csv_file(Path(path), lambda title: _is_known(title, by_name)), vocabulary, at_most=at_most)


def read_table(file: CsvFile, vocabulary: Vocabulary, *, at_most: int | None = None) -> LabSeries:
    """Read a series from the cells of a file, or of another table of the same form; see `read_lab_csv`.

    Raises:
        InputDataError: As `read_lab_csv`.
    """
    path = file.path
    times, columns = _read_header(file, _by_name(vocabulary))
    mark = decimal_mark(file)
    for number, cells in file.rows:
        if len(cells) != len(file.header):
            cure = "correct it"
            if file.separator == "," and len(cells) > len(file.header):
                cure += ", and where commas are decimal marks, put semicolons between the cells"
            raise InputDataError(
                f"{path}: row {number} has {len(cells)} cells, the header has {len(file.header)}; {cure}"
            )
    hours, remark = read_times(file, times, mark)
    values = np.full((len(file.rows), len(vocabulary.variables)), np.nan, dtype=np.float32)
    for column in columns:
        values[:, vocabulary.variable_keys.index(column.variable.key)] = _read_column(file, column, mark)
    order = np.argsort(hours)
    series = LabSeries.from_values(vocabulary, hours[order], values[order])
    series = series if remark is None else replace(series, remarks=(remark,))
    return series if at_most is None else thin(series, at_most)


def csv_title(variable: Variable) -> str:
    """The title of a variable's column."""
    return f"{variable.name} ({variable.unit})"


def write_lab_csv(path: Path, series: LabSeries) -> None:
    """Write a series in the variables' own units; `read_lab_csv` reads the same series back unless it is empty."""
    variables = series.vocabulary.variables
    with atomic_file(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["hours", *map(csv_title, variables)])
        for hour, values, observed in zip(series.hours, series.values, series.observed, strict=True):
            cells = [_number(value) if seen else "" for value, seen in zip(values, observed, strict=True)]
            writer.writerow([_number(hour), *cells])


def _number(value: np.float32) -> str:
    return str(np.format_float_positional(value, unique=True, trim="-"))


def _by_name(vocabulary: Vocabulary) -> dict[str, Variable]:
    return {name: variable for variable in vocabulary.variables for name in names_of(variable)}


def _is_known(title: str, by_name: Mapping[str, Variable]) -> bool:
    name, _ = _name_and_unit(title.strip())
    return is_time(name) or plain_name(name) in by_name


def _name_and_unit(title: str) -> tuple[str, str | None]:
    match = _TITLE.fullmatch(title)
    if match is None:
        return "", None
    return match["name"], match["round"] if match["round"] is not None else match["square"]


def _read_header(file: CsvFile, by_name: Mapping[str, Variable]) -> tuple[TimeColumn, list[_Column]]:
    times: TimeColumn | None = None
    columns: list[_Column] = []
    for position, title in enumerate(file.header):
        name, unit = _name_and_unit(title)
        variable = by_name.get(plain_name(name))
        if variable is None and not is_time(name):
            raise _unknown(file, position, by_name)
        if variable is None:
            if times is not None:
                raise InputDataError(f"{file.path}: column {position + 1} repeats the times; keep one column of them")
            times = time_column(file.path, position, name, unit)
        elif any(variable == other.variable for other in columns):
            raise InputDataError(f"{file.path}: column {position + 1} repeats {variable.name}; keep one column of it")
        else:
            columns.append(_Column(position, variable, _unit_of(file.path, position, variable, unit)))
    if times is None:
        raise InputDataError(f"{file.path}: has no column 'hours' (since ICU admission); add it")
    if not columns:
        raise InputDataError(f"{file.path}: has no column of a variable; add for example 'heart rate (bpm)'")
    return times, columns


def _unknown(file: CsvFile, position: int, by_name: Mapping[str, Variable]) -> InputDataError:
    title = file.header[position]
    # A file without a header has values in its first row: a title is only repeated when it reads like a name.
    shown = f" ('{title}')" if re.fullmatch(r"[^\W\d]{1,20}[^\d]{0,20}", title) else ""
    known = ", ".join(["hours", *map(csv_title, dict.fromkeys(by_name.values()))])
    return InputDataError(
        f"{file.path}: column {position + 1}{shown} is unknown; the first row must name columns from: {known}"
    )


def _unit_of(path: Path, position: int, variable: Variable, unit: str | None) -> Unit:
    found = unit_of(unit, variable)
    if found is None:
        first = " or ".join(f"({known.spellings[0]})" for known in variable.units)
        problem = "has no unit" if unit is None else "has an unknown unit"
        raise InputDataError(
            f"{path}: column {position + 1}, {variable.name}, {problem}; write {first} behind its name"
        )
    return found


def _read_column(file: CsvFile, column: _Column, mark: str) -> np.ndarray:
    """The column in the variable's own unit, (rows,) float32, NaN where a cell is empty."""
    where = [f"{file.path}: row {number}, {column.variable.name}" for number, _ in file.rows]
    cells = [cells[column.position] for _, cells in file.rows]
    raw = np.array([read_number(cell, mark, at) for cell, at in zip(cells, where, strict=True)])
    refuse_unlikely_units(raw, column.unit, column.variable, where)
    return column.unit.to_own(raw).astype(np.float32)
