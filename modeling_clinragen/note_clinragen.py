"""The text of a note: how it is cleaned before anybody reads it, and where words stand in it."""

from __future__ import annotations

import re

BLANK = "___"
"""The one mark of everything that was taken out to protect the patient."""

_NAMED_BLANK = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_BLANKS = re.compile(r"_{3,}")


def clean_note(text: str) -> str:
    """One mark for every de-identified blank ("___", "[** ... **]"), no trailing or repeated blanks or empty lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _BLANKS.sub(BLANK, _NAMED_BLANK.sub(BLANK, text))
    text = re.sub(r"[^\S\n]+", " ", text)
    text = "\n".join(line.strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def find_spans(note: str, words: str) -> list[tuple[int, int]]:
    """Where a quotation stands in a note, as (start, end) characters.

    Any white space stands for any other, case does not matter, and a quotation neither begins nor ends inside a word.
    """
    parts = words.split()
    if not parts:
        return []
    left = r"(?<!\w)" if parts[0][:1].isalnum() else ""
    right = r"(?!\w)" if parts[-1][-1:].isalnum() else ""
    pattern = re.compile(left + r"\s+".join(map(re.escape, parts)) + right, re.IGNORECASE)
    return [found.span() for found in pattern.finditer(note)]


__all__ = ["BLANK", "clean_note", "find_spans"]
