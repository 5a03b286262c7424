"""The hand-written admissions of data/admissions.yaml, read and checked, for admissions.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

ADMISSIONS = Path(__file__).resolve().parent / "data" / "admissions.yaml"
KINDS = ("typical", "ambiguous", "negated")
POINTS_TO = "~"
"""Begins words that point to a disease without naming it."""
_REQUIRED = {"id", "kind", "note", "series", "present", "named"}
_OPTIONAL = {"absent"}


@dataclass(frozen=True, eq=False)
class Admission:
    """One invented admission with the labels of its one reader.

    Args:
        id: Identifier.
        kind: One of `KINDS`.
        note, series: The data.
        present: Names of the diseases that the reader finds.
        named: By present disease, the note's words that name it; empty where the note only points to it, or not even
            that.
        absent: By disease that the note denies, or has in the past or in the family only, the tempting words.
    """

    id: str
    kind: str
    note: str
    series: LabSeries
    present: tuple[str, ...]
    named: Mapping[str, tuple[str, ...]]
    absent: Mapping[str, str]


def load_admissions(vocabulary: Vocabulary, path: Path = ADMISSIONS) -> list[Admission]:
    """Read and check a file of admissions.

    Args:
        vocabulary: The variables of the series and the diseases; more of either than the file uses do no harm.
        path: The file.

    Raises:
        InputDataError: The file is missing or not YAML; or, with every fault of it in the message: a name is not in
            the vocabulary, words are not in the note, columns of a series are not equally long, or the like.
    """
    content = read_yaml(path)
    entries = content.get("admissions") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputDataError(f"{path}: has no list of `admissions`; give the file of the hand-written set")
    faults = [
        f"{_name(entry, place)}: {fault}"
        for place, entry in enumerate(entries, start=1)
        for fault in _faults(entry, vocabulary)
    ]
    names = [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
    faults += [f"{name}: is given more than once" for name in sorted({one for one in names if names.count(one) > 1})]
    if faults:
        raise InputDataError(f"{path}: correct {len(faults)} fault(s): " + "; ".join(faults))
    return [_admission(entry, vocabulary) for entry in entries]


def _admission(entry: Mapping[str, Any], vocabulary: Vocabulary) -> Admission:
    plain = {
        disease: tuple(words for words in found if not words.startswith(POINTS_TO))
        for disease, found in entry["named"].items()
    }
    series = _series(entry["series"], vocabulary)
    absent = dict(entry.get("absent") or {})
    return Admission(entry["id"], entry["kind"], entry["note"], series, tuple(entry["present"]), plain, absent)


def _series(columns: Mapping[str, Any], vocabulary: Vocabulary) -> LabSeries:
    values = np.full((len(columns["hours"]), len(vocabulary.variables)), np.nan, dtype=np.float32)
    for place, key in enumerate(vocabulary.variable_keys):
        if key in columns:
            values[:, place] = [np.nan if value is None else value for value in columns[key]]
    return LabSeries.from_values(vocabulary, np.array(columns["hours"]), values)


def _name(entry: Any, place: int) -> str:
    return str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"admission {place}"


def _faults(entry: Any, vocabulary: Vocabulary) -> Iterator[str]:
    if not isinstance(entry, dict) or not _REQUIRED <= set(entry) <= _REQUIRED | _OPTIONAL:
        yield f"needs {', '.join(sorted(_REQUIRED))}, and may have {', '.join(sorted(_OPTIONAL))}"
        return
    if entry["kind"] not in KINDS:
        yield f"unknown kind '{entry['kind']}' (one of {', '.join(KINDS)})"
    yield from _label_faults(entry, vocabulary)
    yield from _word_faults(entry)
    yield from _series_faults(entry["series"], vocabulary)


def _label_faults(entry: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    present, absent = entry["present"], entry.get("absent") or {}
    for name in sorted({*present, *entry["named"], *absent} - set(vocabulary.disease_names)):
        yield f"'{name}' is not a disease of the vocabulary"
    if len(set(present)) < len(present):
        yield "a disease is present twice"
    if set(entry["named"]) != set(present):
        yield "`named` needs an entry for each present disease, and for no other"
    for name in sorted(set(present) & set(absent)):
        yield f"'{name}' is both present and absent"


def _word_faults(entry: Mapping[str, Any]) -> Iterator[str]:
    note = _folded(entry["note"])
    spoken = [words.removeprefix(POINTS_TO) for found in entry["named"].values() for words in found]
    for words in (*spoken, *(entry.get("absent") or {}).values()):
        if not _folded(words) or _folded(words) not in note:
            yield f"'{words}' is not in the note"


def _series_faults(columns: Any, vocabulary: Vocabulary) -> Iterator[str]:
    if not isinstance(columns, dict) or not isinstance(columns.get("hours"), list):
        yield "the series has no `hours`"
        return
    hours = columns["hours"]
    if any(later <= earlier for earlier, later in pairwise(hours)):
        yield "the hours of the series do not rise"
    plausible = {variable.key: variable.plausible for variable in vocabulary.variables}
    for key, values in columns.items():
        if key == "hours":
            continue
        if key not in plausible:
            yield f"'{key}' is not a variable of the vocabulary"
        elif len(values) != len(hours):
            yield f"{key} has {len(values)} values for {len(hours)} hours"
        elif any(value is not None and not plausible[key][0] <= value <= plausible[key][1] for value in values):
            yield f"{key} has an implausible value (expected {plausible[key][0]:g} to {plausible[key][1]:g})"


def _folded(text: str) -> str:
    return " ".join(text.split())
