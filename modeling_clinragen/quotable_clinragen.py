"""The parts of a note that can be quoted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from .note_clinragen import clean_note
from .sentences_clinragen import QUOTATION_MARKS

_DECIMAL = re.compile(r"\d\.\d")


class Quotable:
    """The parts of one note that can be quoted, with every run of white space as one blank.

    Args:
        note: The note.
        spans: Its quotable parts; None for all of it.
        whole: Whether only whole parts can be quoted: half a phrase may mean something else ("portal hypertension").
    """

    def __init__(self, note: str, spans: Sequence[tuple[int, int]] | None = None, *, whole: bool = False) -> None:
        note = clean_note(note)
        parts = [note] if spans is None else [note[start:end] for start, end in spans]
        pieces = [piece for part in parts for piece in re.split(f"[{QUOTATION_MARKS}]", part)]
        # A part ends with a mark that can't be quoted, so that no quotation runs from one into the next.
        self.text = "\0".join(dict.fromkeys(" ".join(piece.split()) for piece in pieces)) + "\0"
        self._whole = whole
        self.starts = tuple(
            place
            for place, character in enumerate(self.text)
            if character not in " \0" and (self._borders(place) if whole else not self._inside(place))
        )

    def _inside(self, place: int) -> bool:
        """Whether a place lies inside a word or a decimal number."""
        around = self.text[max(0, place - 2) : place + 2]
        if place and self.text[place - 1].isalnum() and self.text[place].isalnum():
            return True
        return place > 0 and _DECIMAL.search(around) is not None and "." in self.text[place - 1 : place + 1]

    def _borders(self, place: int) -> bool:
        return place == 0 or self.text[place - 1] == "\0"

    def starts_in(self, wanted: Callable[[str], bool]) -> tuple[int, ...]:
        """The places where a quotation of one of the wanted parts may begin."""
        parts = [found for found in re.finditer("[^\0]+", self.text) if wanted(found.group())]
        return tuple(place for place in self.starts if any(part.start() <= place < part.end() for part in parts))

    def behind(self, places: Iterable[int], words: str) -> tuple[int, ...]:
        """The places behind more words of a quotation."""
        if "\0" in words:
            return ()
        return tuple(place + len(words) for place in places if self.text.startswith(words, place))

    def ends(self, places: Iterable[int]) -> bool:
        """Whether a quotation may end here: not inside a word, and not at a blank."""
        if self._whole:
            return any(self.text[place] == "\0" for place in places)
        return any(self.text[place - 1] != " " and not self._inside(place) for place in places)


__all__ = ["Quotable"]
