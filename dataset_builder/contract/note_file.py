"""A note as a text file that people save: read in one way wherever a file with a note is given."""

from __future__ import annotations

import codecs
from pathlib import Path

from modeling_clinragen.errors import InputDataError
from modeling_clinragen.note_clinragen import clean_note, has_words

MAX_BYTES = 1_000_000
# How files begin that are not plain text, though some of them are written in its characters.
_OTHER_KINDS = {
    b"%pdf": "a PDF",
    b"pk\x03\x04": "a Word document or an archive",
    b"\xd0\xcf\x11\xe0": "a Word document",
    b"{\\rtf": "rich text",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}
# UTF-32 first: its mark begins with that of UTF-16.
_REFUSED_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# In a text that is read in the wrong encoding every second character is null; in a damaged one a few are.
_MANY_NULLS = 0.1


def read_note(path: Path | str) -> str:
    """Read a note from a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Returns:
        The cleaned note (see `clean_note`), the text that the model and the checker of claims read.

    Raises:
        InputDataError: The file can't be read, is too large, is not plain text, has another encoding, or says nothing.
            The message names the file and the cure, never a word of the text.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            # Never more than is needed, whatever the file is.
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(content) > MAX_BYTES:
        raise InputDataError(f"{path}: has more than {MAX_BYTES:,} bytes; give the text of one stay's note")
    begun = content.removeprefix(codecs.BOM_UTF8).lstrip()
    for mark, kind in _OTHER_KINDS.items():
        if begun[: len(mark)].lower() == mark:
            raise InputDataError(f"{path}: is {kind}, not plain text; save its text as UTF-8")
    note = clean_note(_decoded(content, path))
    if not has_words(note):
        raise InputDataError(f"{path}: is empty, or has no letter or digit; give a note, or leave it out")
    return note


def _decoded(content: bytes, path: Path) -> str:
    refused = InputDataError(f"{path}: is not UTF-8 text; save it as UTF-8")
    if content.startswith(_REFUSED_MARKS):
        raise refused
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused from error
    if text.count("\0") > _MANY_NULLS * len(text):
        raise refused
    return text
