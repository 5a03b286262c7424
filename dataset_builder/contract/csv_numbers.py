"""Numbers in the cells of a CSV file, with decimal points or decimal commas; one file has one of them."""

from __future__ import annotations

import math
import re

from dataset_builder.contract.csv_file import CsvFile
from modeling_clinragen.errors import InputDataError

# Narrower than Python's float: "1_0", "0x1", "nan" and the digits of other scripts are no measurements.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")


def decimal_mark(file: CsvFile) -> str:
    """The decimal mark of a file, "." or ",".

    Raises:
        InputDataError: Some cells have a decimal point and others a comma, or the commas can be thousands separators.
    """
    point = comma = certain = None
    for number, cells in file.rows:
        for cell in map(str.strip, cells):
            if "," in cell and (_NUMBER.fullmatch(cell) or _THOUSANDS.fullmatch(cell)):
                comma = comma or number
                if not _THOUSANDS.fullmatch(cell):
                    certain = certain or number
            elif "." in cell and _NUMBER.fullmatch(cell):
                point = point or number
    if comma is None:
        return "."
    if point is not None:
        raise InputDataError(
            f"{file.path}: row {point} has a decimal point and row {comma} a comma; use one decimal mark, and no "
            "separators of thousands"
        )
    # Between semicolons or tabs a comma is decimal; between commas, in quotation marks, it may part thousands.
    if certain is None and file.separator == ",":
        raise InputDataError(
            f"{file.path}: row {comma} has a comma that can be a decimal mark or part thousands; write a decimal point"
        )
    return ","


def read_number(cell: str, mark: str, where: str) -> float:
    """The number in a cell, NaN for a blank one.

    Raises `InputDataError` that begins with `where` for anything else, and for what is too large to be a number.
    """
    cell = cell.strip()
    if not cell:
        return math.nan
    other = "." if mark == "," else ","
    if other in cell or not _NUMBER.fullmatch(cell):
        raise InputDataError(f"{where}: is not a number; correct it or leave the cell empty")
    value = float(cell.replace(mark, "."))
    if not math.isfinite(value):
        raise InputDataError(f"{where}: is not a finite number; correct it or leave the cell empty")
    return value
