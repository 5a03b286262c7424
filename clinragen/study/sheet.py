"""The spreadsheet of a rater: a CSV file to fill in, one row for each rationale, and reading it back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.study.answers import Asked, RaterAnswers, parse_answer
from clinragen.study.criteria import Criteria
from dataset_builder.contract.csv_file import CsvFile, read_csv_file, text_of
from dataset_builder.storage.files import atomic_file
from modeling_clinragen.errors import InputDataError

SUFFIX = ".csv"
_PLACE = ("study", "rater", "case", "rationale", "place")
_MORE = ("overall", "wrong_sentences", "omissions", "omitted_diseases", "comment")
_YES = frozenset(("yes", "y", "true", "1"))
_NO = frozenset(("no", "n", "false", "0"))
_GAPS = re.compile(r"[\s,;]+")


def columns(criteria: Criteria) -> list[str]:
    """The header of the sheet."""
    return [*_PLACE, *criteria.item_keys, *_MORE]


def write_sheet(path: Path, form: Mapping[str, Any], criteria: Criteria) -> None:
    """Write an empty sheet for one rater.

    Args:
        path: The file.
        form: What the rater gets, in their order: `study` is its `id`, and `cases` have `rationales`.
        criteria: The questions.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns(criteria))
    empty = [""] * (len(criteria.item_keys) + len(_MORE))
    for number, case in enumerate(form["cases"], start=1):
        for place, one in enumerate(case["rationales"]):
            # As on the page: the second rationale of the first case is 1B.
            named = f"{number}{chr(ord('A') + place)}"
            writer.writerow([form["id"], form["rater"], case["case"], one["item"], named, *empty])
    with atomic_file(path, private=True) as beside:
        beside.write_text(written.getvalue(), encoding="utf-8")


def read_sheet(path: Path, asked: Asked) -> RaterAnswers:
    """A rater's answers from a filled sheet. Rows in which nothing was answered do not count.

    Statements are yes or no (also y, n, true, false, 1, 0). `wrong_sentences` has numbers from 1, as the page counts
    them; `omitted_diseases` has keys, with commas, semicolons or blanks between them.

    Raises:
        InputDataError: The file is not a sheet of this study, or a cell has a value that cannot be; the message names
            the row and the column.
    """
    names = columns(asked.criteria)
    if len(text_of(path).split()) < 2:
        raise InputDataError(f"{path}: has no row; fill in the study's own sheet")
    sheet = read_csv_file(path, lambda title: title.strip() in names)
    if missing := [name for name in names if name not in sheet.header]:
        raise InputDataError(f"{path}: has no column '{missing[0]}'; fill in the study's own sheet")
    answers, raters = {}, set()
    for number, cells in sheet.rows:
        row = _row(sheet, number, cells)
        here = f"{path}: row {number}"
        if row["study"] != asked.study:
            raise InputDataError(f"{here}: is of another study; give the sheets of study {asked.study}")
        raters.add(row["rater"])
        if row["rationale"] in answers:
            raise InputDataError(f"{here}: repeats a rationale; keep one row of it")
        if not any(row[name] for name in (*asked.criteria.item_keys, *_MORE)):
            continue
        answers[row["rationale"]] = parse_answer(_content(row, asked, here), row["rationale"], asked, here)
    if len(raters) != 1:
        raise InputDataError(f"{path}: has rows of {len(raters)} raters; keep one sheet for each rater")
    return RaterAnswers(raters.pop(), answers)


def _row(sheet: CsvFile, number: int, cells: list[str]) -> dict[str, str]:
    if len(cells) > len(sheet.header):
        raise InputDataError(f"{sheet.path}: row {number}: has more cells than columns; quote cells with separators")
    padded = [*cells, *[""] * (len(sheet.header) - len(cells))]
    return {name: cell.strip() for name, cell in zip(sheet.header, padded, strict=True)}


def _content(row: Mapping[str, str], asked: Asked, here: str) -> dict[str, Any]:
    checks = {key: _yes_or_no(row[key], key, here) for key in asked.criteria.item_keys if row[key]}
    return {
        "checks": checks,
        "overall": row["overall"].lower() or None,
        "wrong_sentences": [
            _number(one, "wrong_sentences", here) - 1 for one in _GAPS.split(row["wrong_sentences"]) if one
        ],
        "omissions": _number(row["omissions"], "omissions", here) if row["omissions"] else None,
        "omitted_diseases": [one for one in _GAPS.split(row["omitted_diseases"]) if one],
        "comment": row["comment"],
    }


def _yes_or_no(cell: str, column: str, here: str) -> bool:
    if cell.lower() in _YES:
        return True
    if cell.lower() in _NO:
        return False
    raise InputDataError(f"{here}, {column}: is neither yes nor no")


def _number(cell: str, column: str, here: str) -> int:
    # A spreadsheet may write 2 as 2.0.
    whole = cell.removesuffix(".0").removesuffix(",0")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 6):
        raise InputDataError(f"{here}, {column}: is not a whole number")
    return int(whole)
