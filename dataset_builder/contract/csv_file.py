"""A CSV file as people save it: its encoding and the sign between its cells are found, and it is read as text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

RESOURCES = files("dataset_builder.contract") / "resources"

# The first line that Excel writes and reads: it says how the cells are parted.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\n|\r|$)', re.IGNORECASE)
_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Excel's "CSV" is in the system's old encoding: in western Europe and America this one.
_WITHOUT_MARK = ("utf-8", "cp1252")
# Where quotation marks do not match, the parser goes on to the end of the file for the end of a cell.
_QUOTES_OPEN = "has a cell without end, or one that is too long; check the quotation marks"


@dataclass(frozen=True)
class CsvFile:
    """The cells of a file. `rows` are those that are not blank, each with its number in the file."""

    path: Path
    separator: str
    header: list[str]
    rows: list[tuple[int, list[str]]]


@lru_cache(maxsize=1)
def csv_rules() -> Mapping[str, Any]:
    """The content of `resources/lab_csv.yaml`."""
    content: Mapping[str, Any] = read_yaml(RESOURCES / "lab_csv.yaml")
    return content


def read_csv_file(path: Path, is_title: Callable[[str], bool]) -> CsvFile:
    """Read the header and the rows that are not blank.

    Read are UTF-8, UTF-16 with a byte order mark, and Windows-1252; cells parted by commas, semicolons, tabs or
    vertical bars, with or without Excel's first line "sep=;".

    Args:
        path: The file.
        is_title: Whether a cell of the header names a known column; by this the separator is found.

    Raises:
        InputDataError: The file cannot be read, is too large, no text, empty, or has no rows below its header; the
            message names the file and never repeats a cell.
    """
    text = text_of(path)
    found = _SEPARATOR_LINE.match(text)
    first = 1 if found is None else 2
    body = text if found is None else text[found.end() :]
    separator = _separator_of(body, is_title) if found is None else found[1]
    rows: list[tuple[int, list[str]]] = []
    most = csv_rules()["limits"]["rows"]
    for number, row in _rows_of(path, body, separator, first):
        if len(rows) > most:
            raise InputDataError(
                f"{path}: has more than {most:,} rows; give one stay's series, with a row for every few minutes"
            )
        rows.append((number, row))
    if not rows:
        raise InputDataError(
            f"{path}: is empty; it needs a header (hours and variables with units) and a row per time"
        )
    if len(rows) == 1:
        raise InputDataError(f"{path}: has a header but no rows; give no lab file when nothing was measured")
    header = [title.strip() for title in rows[0][1]]
    while len(header) > 1 and not header[-1]:
        header.pop()  # what a spreadsheet writes for a column that was emptied
    return CsvFile(path, separator, header, [(number, _without_end(row, len(header))) for number, row in rows[1:]])


def text_of(path: Path) -> str:
    """The text of a CSV file, whatever its encoding. Raises `InputDataError` as `read_csv_file` does."""
    limit = csv_rules()["limits"]["bytes"]
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(content) > limit:
        raise InputDataError(
            f"{path}: has more than {limit // 10**6} MB; give one stay's series, with a row for every few minutes"
        )
    for kind in csv_rules()["other_kinds"]:
        if content.startswith(bytes.fromhex(kind["begins"])):
            raise InputDataError(f"{path}: is {kind['name']}, not CSV; save the sheet as CSV")
    encodings = next((codec for mark, codec in _MARKED if content.startswith(mark)), None)
    for encoding in _WITHOUT_MARK if encodings is None else (encodings,):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
        break
    raise InputDataError(f"{path}: is not text in UTF-8 or Windows-1252; save it as CSV in UTF-8")


def _rows_of(path: Path, text: str, separator: str, first: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for number, row in enumerate(reader, start=first):
            if any(map(str.strip, row)):
                yield number, row
    except csv.Error as error:
        raise InputDataError(f"{path}: {_QUOTES_OPEN}") from error


def _separator_of(text: str, is_title: Callable[[str], bool]) -> str:
    """The separator with which the header has the most known columns; the most cells where none has more."""

    def fit(separator: str) -> tuple[int, int]:
        try:
            header = next((row for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))), [])
        except csv.Error:
            return 0, 0
        return sum(map(is_title, header)), len(header)

    lines = text[: csv.field_size_limit()].splitlines(keepends=True)
    separators: Sequence[str] = csv_rules()["separators"]
    return max(separators, key=fit)


def _without_end(row: list[str], width: int) -> list[str]:
    """The row without blank cells beyond the header."""
    return row[:width] if len(row) > width and not any(map(str.strip, row[width:])) else row
