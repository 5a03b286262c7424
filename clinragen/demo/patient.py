"""The one patient that a page is about: a patient of the cohort as recorded, or the reader's own note and values.

Whoever is chosen is the whole patient. A chosen patient with another note or other measurements would be a third one
who does not exist, so that is refused here, whatever a browser or a program sends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.demo.limits import LARGEST_FILE
from clinragen.demo.tab import PageState
from clinragen.demo.uploads import remove_upload
from dataset_builder.contract.csv_file import text_of
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import ClinRaGenError, InputDataError, ModelInputError, SettingsError

OWN = "My own note and measurements"
TYPED = "the measurements"
_LONGEST_NAME = 80


@dataclass(frozen=True)
class OnePatient:
    """A patient.

    Args:
        name: Who it is: a patient of the cohort, or `OWN`.
        note: The note.
        series: The measurements.
    """

    name: str
    note: str
    series: LabSeries


def patient_of(state: PageState, name: Any, note: Any = "", table: Any = None, typed: Any = "") -> OnePatient:
    """The patient that somebody asks about, from what a browser or a program sent.

    Args:
        state: The model, and the patients of the page.
        name: One of these patients, or `OWN`.
        note: The note; for a patient of the cohort the recorded one, or nothing.
        table: An uploaded CSV (gradio's description of it, or a path), which is removed once it is read, or None.
        typed: The measurements as CSV text, where there is no file.

    Raises:
        InputDataError: The measurements cannot be read, or are too many; the message has the file's name, no path.
        ModelInputError: A patient of the cohort was given another note or other measurements.
        SettingsError: There is no such patient, or something is not text.
    """
    try:
        return _one_patient(state, name, _text(note, "the note"), table, _text(typed, TYPED))
    finally:
        _remove(state, table)


def _one_patient(state: PageState, name: Any, note: str, table: Any, typed: str) -> OnePatient:
    if name == OWN:
        if table is not None and typed.strip():
            raise ModelInputError("the measurements are given twice: give the file or the text, not both")
        series = read_typed(state, typed) if table is None else read_file(state, table)
        return OnePatient(OWN, note.strip(), series)
    row = recorded(state, name)
    # A browser may change line breaks.
    other = note.strip() and note.split() != row["note"].split()
    if other or table is not None or typed.strip():
        raise ModelInputError(
            f"a patient of the cohort is explained as recorded; for another note or other measurements choose '{OWN}'"
        )
    return OnePatient(str(name), row["note"].strip(), LabSeries.from_example(state.explainer.vocabulary, row))


def recorded(state: PageState, name: Any) -> Mapping[str, Any]:
    """The row of a patient of the cohort. Raises `SettingsError` where the page has no such patient."""
    row = state.patients.get(name) if isinstance(name, str) else None
    if row is None:
        # Not the list: it has the cohort's identifiers.
        raise SettingsError(f"there is no such patient on this page; choose one of its list, or '{OWN}'")
    return row


def read_file(state: PageState, table: Any) -> LabSeries:
    """Read an uploaded CSV, and remove it. Raises `InputDataError` with the name it has on the reader's machine."""
    return _taken(state, table)[1]


def text_of_file(state: PageState, table: Any) -> str:
    """The text of an uploaded CSV that can be read, which is removed. Raises `InputDataError` as `read_file` does."""
    return _taken(state, table)[0]


def read_typed(state: PageState, text: str) -> LabSeries:
    """Read measurements that were typed. Raises `InputDataError`."""
    if not text.strip():
        return LabSeries.empty(state.explainer.vocabulary)
    # In the folder of uploads: a page that is killed here leaves nothing behind.
    with tempfile.TemporaryDirectory(dir=state.uploads) as folder:
        path = Path(folder) / "measurements.csv"
        path.write_text(text, encoding="utf-8", newline="")
        with _named(path, TYPED):
            return state.explainer.read_labs(path)


def _taken(state: PageState, table: Any) -> tuple[str, LabSeries]:
    path = _path_of(table)
    if path is None or not (state.uploads is None or path.resolve().is_relative_to(state.uploads.resolve())):
        raise InputDataError("the file of measurements is not an uploaded file; upload it again")
    given = table.get("orig_name") if isinstance(table, Mapping) else None
    name = _shown(given if isinstance(given, str) else path.name)
    if not path.is_file():
        raise InputDataError(f"{name}: is not there any more; upload it again")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputDataError(f"{name}: has more than {LARGEST_FILE:,} bytes; give the values of one stay")
        with _named(path, name):
            return text_of(path), state.explainer.read_labs(path)
    finally:
        _remove(state, table)


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    """Name a file in errors as the reader knows it: the path is the server's, and has a hash."""
    try:
        yield
    except ClinRaGenError as error:
        raise InputDataError(str(error).replace(str(path), name)) from error


def _text(given: Any, what: str) -> str:
    if given is None:
        return ""
    if not isinstance(given, str):
        raise SettingsError(f"{what}: is not text; send text, or nothing")
    return given


def _shown(name: str) -> str:
    plain = "".join(character for character in Path(name).name if character.isprintable())
    return plain[:_LONGEST_NAME] or "the file"


def _path_of(table: Any) -> Path | None:
    given = table.get("path") if isinstance(table, Mapping) else table
    return Path(given) if isinstance(given, str | Path) else None


def _remove(state: PageState, table: Any) -> None:
    path = _path_of(table)
    if path is not None and state.uploads is not None:
        remove_upload(path, state.uploads)
