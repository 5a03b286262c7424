"""Abbreviations that a text itself defines: "acute kidney injury (AKI)" or "AKI (acute kidney injury)".

The method is Schwartz and Hearst's (Pacific Symposium on Biocomputing 2003): read from the end, each letter of the
short form must occur in the long form, in order, and its first letter must begin a word there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clinragen.text.normal_form import normal_form

_PARENTHESIS = re.compile(r"\(([^()\n]{2,80})\)")
# A long form does not reach across these; a full stop counts only before a space.
_BREAK = re.compile(r"[.;:!?](?=\s|$)|[()\n]")
_SHORT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9/+.-]| (?=[A-Za-z0-9])){1,9}")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Definition:
    """A short form and its long form, both as the text writes them."""

    short: str
    long: str


def find_definitions(text: str) -> list[Definition]:
    """The definitions in a text, in order."""
    found = []
    for match in _PARENTHESIS.finditer(text):
        before = _BREAK.split(text[max(0, match.start() - 200) : match.start()])[-1]
        # "(AKI, also ARF)": only the part before the first comma is the short form.
        inside = re.split(r"[,;]", match.group(1))[0].strip()
        words = list(_WORD.finditer(before))
        if _is_short(inside):
            long = _long_form(inside, before)
            if long is not None:
                found.append(Definition(inside, long))
        elif words and stands_for(words[-1].group(), inside):
            found.append(Definition(words[-1].group(), inside))
    return found


def stands_for(short: str, long: str) -> bool:
    """Whether `short` can be an abbreviation of the whole of `long`, such as "AKI" of "acute kidney injury"."""
    return _is_short(short) and _long_form(short, long) == long


def _is_short(text: str) -> bool:
    """Whether a text can be a short form: two to ten characters, at most two words, a capital in it."""
    return _SHORT.fullmatch(text) is not None and text.count(" ") < 2 and any(letter.isupper() for letter in text)


def _long_form(short: str, before: str) -> str | None:
    """The shortest end of `before` that contains the letters of `short`; None where there is none."""
    letters = [letter for letter in short.lower() if letter.isalnum()]
    max_words = min(len(letters) + 5, 2 * len(letters))
    words = list(_WORD.finditer(before))[-max_words:]
    if not words:
        return None
    lower = before.lower()
    index = len(before)
    for number in range(len(letters) - 1, -1, -1):
        index = lower.rfind(letters[number], words[0].start(), index)
        while number == 0 and index > words[0].start() and lower[index - 1].isalnum():
            index = lower.rfind(letters[0], words[0].start(), index)
        if index < 0:
            return None
    long = before[index:].strip()
    # A long form that is not longer, or contains the short form itself, explains nothing.
    if len(long) <= len(short) or short.lower() in (word.strip(",").lower() for word in long.split()):
        return None
    return long


class Abbreviations:
    """Short forms with their meanings. A short form with several meanings has the most frequent one.

    A short form whose meanings are equally frequent is ambiguous and left out.
    """

    def __init__(self, definitions: Iterable[Definition]) -> None:
        counts: dict[str, Counter[tuple[str, ...]]] = {}
        written: dict[tuple[str, ...], str] = {}
        for definition in definitions:
            meaning = normal_form(definition.long)
            counts.setdefault(definition.short, Counter())[meaning] += 1
            written.setdefault(meaning, definition.long)
        self._long: dict[str, str] = {}
        for short, meanings in counts.items():
            (best, times), *others = meanings.most_common(2)
            if not others or others[0][1] < times:
                self._long[short] = written[best]

    @property
    def long_forms(self) -> Mapping[str, str]:
        """The meaning of each short form."""
        return self._long

    def expand(self, text: str) -> str:
        """`text` with each short form in it replaced, also one with a plural s; case matters."""

        def long(match: re.Match[str]) -> str:
            word = match.group()
            return self._long.get(word) or self._long.get(word.removesuffix("s")) or word

        return re.sub(r"[A-Za-z0-9][A-Za-z0-9/+-]*", long, text)
