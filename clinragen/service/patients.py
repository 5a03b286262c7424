"""A patient of a request, read by the rules by which a CSV of measurements is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinragen.claims.sentences import Patient
from clinragen.service.schema import PatientData
from dataset_builder.contract.csv_file import CsvFile
from dataset_builder.contract.definition_entries import names_of, plain_name
from dataset_builder.contract.lab_csv import read_table
from modeling_clinragen.errors import ClinRaGenError, InputDataError, ModelInputError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

if TYPE_CHECKING:
    from clinragen.inference import Explainer

Column = Sequence[float | None] | Sequence[tuple[float, float]]

LABS = Path("labs")
"""What messages call the measurements."""
HOURS = "hours"


def read_patient(explainer: Explainer, data: PatientData, where: str) -> Patient:
    """One patient as the model can read it.

    Args:
        explainer: The model.
        data: The patient, as given.
        where: What messages begin with.

    Raises:
        ModelInputError: As `Explainer.patient` and `read_table`; no message has a value or a word of the note.
    """
    try:
        series = None
        if data.labs is not None:
            table = _table(data.labs, explainer.vocabulary)
            series = read_table(table, explainer.vocabulary, at_most=explainer.processor.feature_extractor.max_steps)
        return explainer.patient(data.note, series)
    except ClinRaGenError as error:
        raise ModelInputError(f"{where}: {error}") from error


def _table(labs: Mapping[str, Column], vocabulary: Vocabulary) -> CsvFile:
    """The measurements as cells, a row per time."""
    units = {name: one.unit for one in vocabulary.variables if not one.unitless for name in names_of(one)}
    titles = [_with_unit(title, units.get(plain_name(title))) for title in labs]
    columns = list(labs.values())
    if any(isinstance(cell, tuple) for column in columns for cell in column[:1]):
        return _of_pairs(titles, columns)
    if not any(columns):
        return CsvFile(LABS, ",", titles if any(map(_is_hours, labs)) else [HOURS, *titles], [])
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise InputDataError(
            f"{LABS}: the columns have from {min(lengths):,} to {max(lengths):,} values; give one for each of the "
            f"{HOURS}, null where nothing was measured"
        )
    rows = [list(map(_cell, row)) for row in zip(*columns, strict=True)]
    return CsvFile(LABS, ",", titles, list(enumerate(rows, start=1)))


def _of_pairs(titles: Sequence[str], columns: Sequence[Column]) -> CsvFile:
    """As `_table`, where each variable has hours of its own."""
    rows: dict[float, list[str]] = {}
    for place, column in enumerate(columns, start=1):
        for pair in column:
            if not isinstance(pair, tuple):
                raise InputDataError(
                    f"{LABS}: some columns are pairs of hour and value and column {place} is not; without {HOURS} "
                    "give pairs only, with them a value for each"
                )
            # Hours are kept in single precision: what is one hour there is one row.
            with np.errstate(over="ignore"):
                hour = float(np.float32(pair[0]))
            row = rows.setdefault(hour, ["" for _ in columns])
            if row[place - 1]:
                raise InputDataError(f"{LABS}: column {place} has two values for one hour; keep the one that counts")
            row[place - 1] = _cell(pair[1])
    ordered = enumerate(sorted(rows.items()), start=1)
    return CsvFile(LABS, ",", [HOURS, *titles], [(number, [_cell(hour), *row]) for number, (hour, row) in ordered])


def _with_unit(title: str, unit: str | None) -> str:
    """The title of a column: a variable without a unit is in the model's."""
    return title if unit is None else f"{title} ({unit})"


def _is_hours(title: str) -> bool:
    return plain_name(title) == HOURS


def _cell(value: float | tuple[float, float] | None) -> str:
    return "" if value is None else repr(value)
