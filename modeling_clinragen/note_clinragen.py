"""The text of a note: how it is cleaned before anybody reads it, and where words stand in it."""

from __future__ import annotations

import re

BLANK = "___"
"""The one mark of everything that was taken out to protect the patient."""

# Byte order marks, zero-width and direction marks, soft hyphens, tags: nobody sees them, a tokenizer does.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Control characters, and the halves of characters that a damaged file leaves.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]+")
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_UNDERLINE = re.compile(r"_{3,}")
_BRACKETS = re.compile(r"(\[\*\*|\*\*\]|\n\n)")


def clean_note(text: str) -> str:
    """The note as the model, the teachers and the checker of claims read it; places in a note are places in this text.

    - Line ends of any system are "\\n"; control characters and unusual blanks are spaces; invisible characters, such
      as a byte order mark, are left out.
    - There are no trailing or repeated blanks, and no repeated empty lines.
    - Every de-identified blank, "[** ... **]" within a paragraph or a line of "_", is `BLANK`.

    A cleaned note stays as it is. The time grows with the length alone, whatever the text is.
    """
    text = _CONTROL.sub(" ", _LINE_END.sub("\n", _INVISIBLE.sub("", text)))
    text = "\n".join(line.strip() for line in _SPACES.sub(" ", text).split("\n"))
    text = _EMPTY_LINES.sub("\n\n", text).strip()
    return _UNDERLINE.sub(BLANK, _without_brackets(text))


def _without_brackets(text: str) -> str:
    """The text with one mark for each "[** ... **]"; brackets without a partner in their paragraph are left."""
    if "[**" not in text:
        return text
    parts: list[str] = []
    opened: list[int] = []
    for piece in _BRACKETS.split(text):
        if piece == "**]" and opened:
            del parts[opened.pop() :]
            piece = BLANK
        elif piece == "[**":
            opened.append(len(parts))
        elif piece == "\n\n":
            opened.clear()
        parts.append(piece)
    return "".join(parts)


def has_words(text: str) -> bool:
    """Whether a note says anything: it has a letter or a digit."""
    return any(character.isalnum() for character in text)


def find_spans(note: str, words: str) -> list[tuple[int, int]]:
    """Where a quotation stands in a note, as (start, end) characters.

    Any white space stands for any other, case does not matter, and a quotation neither begins nor ends inside a word
    or a decimal number.
    """
    parts = words.split()
    if not parts:
        return []
    left = r"(?<!\w)" if parts[0][:1].isalnum() else ""
    left += r"(?<!\d\.)" if parts[0][:1].isdigit() else ""
    right = r"(?!\w)" if parts[-1][-1:].isalnum() else ""
    right += r"(?!\.\d)" if parts[-1][-1:].isdigit() else ""
    pattern = re.compile(left + r"\s+".join(map(re.escape, parts)) + right, re.IGNORECASE)
    return [found.span() for found in pattern.finditer(note)]


__all__ = ["BLANK", "clean_note", "find_spans", "has_words"]
