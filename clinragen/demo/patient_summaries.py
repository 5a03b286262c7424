"""A cohort's patients in one line each, so that one can be found by typing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.checking.checked import count_words
from clinragen.checking.printable import one_line
from dataset_builder.contract.groups import GROUPS, read_groups

LONGEST = 60
"""So many characters of a note stand in a line."""
_SEX = {"F": "woman", "M": "man"}
# Where a note says why somebody came, that is what a reader looks for.
_COMPLAINT = re.compile(r"^\s*chief complaint:?[ \t]*\n?(?P<words>[^\n]+)", re.IGNORECASE | re.MULTILINE)


def summaries_of(cohort: Path | None, patients: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A line for each patient: its name, sex and age where the cohort has them, readings, and words of the note.

    Args:
        cohort: The cohort; one without a file of groups says nothing of sex and age.
        patients: Rows of the data contract, by name.

    Raises:
        InputDataError: The file of groups is damaged.
    """
    known = cohort is not None and (cohort / GROUPS).is_file()
    groups = read_groups(cohort) if cohort is not None and known else {}
    return {name: f"{name} · {summary_of(row, groups.get(row['example_id'], {}))}" for name, row in patients.items()}


def summary_of(row: Mapping[str, Any], groups: Mapping[str, str | None]) -> str:
    """One patient in a line."""
    sex, age = groups.get("sex"), groups.get("age")
    readings = sum(map(sum, row["lab_observed"]))
    parts = [" ".join(part for part in (_SEX.get(sex or "", sex), age) if part)]
    parts += [count_words(readings, "reading"), _words(row["note"])]
    return " · ".join(part for part in parts if part)


def _words(note: str) -> str:
    found = _COMPLAINT.search(note)
    return shortened(one_line(found["words"] if found is not None else note), LONGEST)


def shortened(text: str, longest: int) -> str:
    """A text of at most so many characters, cut between words where it can be, and three points."""
    return text if len(text) <= longest else f"{text[:longest].rpartition(' ')[0] or text[:longest]}..."
