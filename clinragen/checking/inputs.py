"""Reads the inputs of a check: the rationale, the patient, the listed diagnoses, and the standards to check by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clinragen.claims.check import Checking
from clinragen.claims.sentences import Patient
from clinragen.knowledge.base import KnowledgeBase
from clinragen.knowledge.reader import KNOWLEDGE, load_knowledge, parse_knowledge
from dataset_builder.contract.definitions import FILE, Definitions, load_definitions, read_definitions
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, Vocabulary

MAX_CHARACTERS = 100_000
"""A longer text is refused: a rationale is a few sentences, and a wrong file must not be read for minutes."""
MAX_BYTES = 4 * MAX_CHARACTERS + 3
"""The most that a text of that length takes in UTF-8, with a byte order mark."""
_SHOWN = 40


def read_standards(
    vocabulary: Path | None = None, knowledge: Path | None = None, range_set: str = DEFAULT_RANGE_SET
) -> Checking:
    """The standards to check by.

    Args:
        vocabulary: A folder with a vocabulary of one's own, or a cohort or knowledge folder, which has its own; None
            for that of the knowledge folder, or else the shipped one.
        knowledge: A knowledge folder or file; None for the terms of the vocabulary itself, which are the shipped
            knowledge base where the vocabulary is the shipped one. A vocabulary without terms has none.
        range_set: What is low, normal and high.

    Raises:
        InputDataError: A file is missing or malformed.
        SettingsError: The vocabulary has no such range set.
    """
    file = knowledge / KNOWLEDGE if knowledge is not None and knowledge.is_dir() else knowledge
    if vocabulary is None and file is not None and (file.parent / FILE).is_file():
        vocabulary = file.parent
    definitions = _definitions(vocabulary)
    ranges = definitions.vocabulary.range_set(range_set)
    return Checking(definitions.vocabulary, ranges, _knowledge(file, definitions, shipped=vocabulary is None))


def _definitions(folder: Path | None) -> Definitions:
    if folder is not None and not folder.is_dir():
        raise InputDataError(f"{folder}: is not a folder; give the folder of a vocabulary or a cohort")
    return read_definitions(folder) if folder is not None and (folder / FILE).is_file() else load_definitions(folder)


def _knowledge(file: Path | None, definitions: Definitions, *, shipped: bool) -> KnowledgeBase | None:
    if file is not None or shipped:
        return load_knowledge(file, definitions.vocabulary)
    written = (*definitions.diseases.values(), *definitions.variables.values())
    if not all(entry.get("terms") for entry in written):
        return None
    from clinragen.knowledge.assemble import base_of

    return parse_knowledge(base_of(definitions), "the vocabulary", definitions.vocabulary)


def rationale_of(content: bytes, name: str) -> str:
    """The text of a file or of standard input.

    Args:
        content: Its bytes; `MAX_BYTES` and one more suffice.
        name: What it is called in messages.

    Raises:
        InputDataError: It is not UTF-8, empty, or longer than `MAX_CHARACTERS`.
    """
    if len(content) > MAX_BYTES:
        raise _too_long(name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputDataError(f"{name}: is not UTF-8 text; save it as UTF-8") from error
    return checked_length(text.replace("\r\n", "\n").replace("\r", "\n"), name)


def checked_length(text: str, name: str) -> str:
    """The text. Raises `InputDataError` where it is blank or longer than `MAX_CHARACTERS`."""
    if len(text) > MAX_CHARACTERS:
        raise _too_long(name)
    if not text.strip():
        raise InputDataError(f"{name}: is empty; give the rationale to check")
    return text


def read_rationale(path: Path) -> str:
    """The text of a file. Raises `InputDataError` as `rationale_of` does, and where the file cannot be read."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return rationale_of(content, str(path))


def patient_of(
    vocabulary: Vocabulary,
    note: str | None,
    hours: Sequence[float] = (),
    values: Sequence[Sequence[float | None]] = (),
) -> Patient:
    """A patient from a text and plain lists, as data sets have them.

    Args:
        vocabulary: Variables and their order.
        note: The note, which is cleaned; None or a blank text where there is none.
        hours: (steps,) since ICU admission, rising.
        values: (steps, variables) in the variables' units; None or NaN where nothing was measured.

    Raises:
        InputDataError: The hours do not rise, or are not as many as the rows.
        ModelInputError: A row has another number of values than there are variables, or an entry is not a number.
    """
    cleaned = clean_note(note) if note is not None else ""
    width = len(vocabulary.variables)
    wrong = next((len(row) for row in values if len(row) != width), None)
    if wrong is not None:
        keys = ", ".join(vocabulary.variable_keys)
        raise ModelInputError(f"values: a row has {wrong} values; it needs one for each of {keys}")
    try:
        given = np.array(hours, dtype=np.float32), np.array(values, dtype=np.float32).reshape(-1, width)
    except (TypeError, ValueError) as error:
        raise ModelInputError("hours and values must be numbers, or None where nothing was measured") from error
    return Patient(LabSeries.from_values(vocabulary, *given), cleaned or None)


def read_diagnoses(listed: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The diseases in a list such as "Shock; Pneumonia", by their names in the vocabulary.

    Names are separated by semicolons, commas or line breaks; one that has a semicolon itself is known as a whole. Case
    does not matter. An empty list is a list: no disease was found.

    Raises:
        SettingsError: There is another name in it.
    """
    names = sorted(vocabulary.disease_names, key=len, reverse=True)
    known = {name: re.compile(re.escape(name) + r"\s*(?:[;,\n]|\Z)", re.IGNORECASE) for name in names}
    between = re.compile(r"[\s;,]*")
    found: list[str] = []
    place = 0
    while (place := _end(between, listed, place)) < len(listed):
        name = next((name for name, pattern in known.items() if pattern.match(listed, place)), None)
        if name is None:
            odd = re.split(r"[;,\n]", listed[place:])[0].strip()
            shown = odd if len(odd) <= _SHOWN else f"{odd[:_SHOWN]}..."
            choices = ", ".join(f"'{name}'" for name in vocabulary.disease_names)
            raise SettingsError(f"--diagnoses: unknown disease '{shown}'; choose from {choices}")
        place = _end(known[name], listed, place)
        found.append(name)
    return tuple(dict.fromkeys(found))


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return place if found is None else found.end()


def _too_long(name: str) -> InputDataError:
    return InputDataError(f"{name}: is longer than {MAX_CHARACTERS:,} characters; check one rationale at a time")
