"""Finds many phrases in a text in one pass over its words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_WORD = re.compile(r"\d+\.\d+|[A-Za-z0-9]+")
# What may stand between two words of one phrase: no comma, no colon, no empty line.
_GAP = re.compile(r"[ \t\-–/'’+%<>~=^]*(?:\n[ \t]*)?")
_SHORT = ("neg", "pos")
_KEPT_PLURALS = ("ss", "us", "is")
YEARS = range(1930, 2030)
ANY_YEAR = "1999"
"""Any year of `YEARS` in a phrase: no phrase is about a single one."""


@lru_cache(maxsize=65536)
def fold_word(word: str) -> str:
    """A word in lower case and without a plural s; all years are one word, `ANY_YEAR`."""
    word = word.lower()
    if len(word) == 4 and word.isdecimal():
        return ANY_YEAR if int(word) in YEARS else word
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(_KEPT_PLURALS) else word


class Word(NamedTuple):
    """One word of a text with its character positions."""

    text: str
    folded: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """A phrase in a text: character positions, and everything that was registered under the phrase."""

    start: int
    end: int
    owners: tuple[T, ...]


@dataclass(slots=True)
class _Node(Generic[T]):
    children: dict[str, _Node[T]] = field(default_factory=dict)
    owners: dict[T, bool] = field(default_factory=dict)  # owner -> whether the capitals of the text matter
    found: tuple[T, ...] | None = None  # the owners if capitals matter to none of them, once it has been found


def split_words(text: str) -> list[Word]:
    """The words and numbers of a text, in order."""
    return [Word(found.group(), fold_word(found.group()), *found.span()) for found in _WORD.finditer(text)]


def _capitals(word: str) -> int:
    return sum(letter.isupper() for letter in word)


class TermIndex(Generic[T]):
    """Phrases with their owners. Finds the longest phrase at each place, from left to right, without overlap.

    Case, plural and year do not matter, and hyphen, slash and line break count as a space. One exception: an
    abbreviation of up to three capitals ("MI", "PAF") needs at least two capitals in the text, since in lower case it
    is often another word.
    """

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for phrase, owner in phrases:
            words = _WORD.findall(phrase)
            if not words:
                continue
            node = self._root
            for word in map(fold_word, words):
                child = node.children.get(word)
                if child is None:
                    child = node.children[word] = _Node()
                node = child
            strict = len(words) == 1 and len(words[0]) <= 3 and words[0].isupper()
            node.owners[owner] = strict and node.owners.get(owner, True)

    def find(self, text: str, words: list[Word] | None = None, *, overlapping: bool = False) -> list[Match[T]]:
        """The phrases in `text`; `words` saves splitting it again.

        With `overlapping`, the longest phrase at each place is found even where it overlaps the one before.
        """
        words = split_words(text) if words is None else words
        matches: list[Match[T]] = []
        starts = self._root.children
        free = 0  # the first word that is not part of a match yet
        for position, word in enumerate(words):
            node = starts.get(word.folded)
            if node is None or position < free:
                continue
            if not node.owners and (position + 1 == len(words) or words[position + 1].folded not in node.children):
                continue
            found = self._longest(text, words, position)
            if found is not None:
                last, owners = found
                matches.append(Match(word.start, words[last].end, owners))
                free = position + 1 if overlapping else last + 1
        return matches

    def _longest(self, text: str, words: list[Word], position: int) -> tuple[int, tuple[T, ...]] | None:
        node: _Node[T] | None = self._root.children[words[position].folded]
        best = None
        last = position
        while node is not None:
            if node.found is not None:
                best = (last, node.found)
            elif node.owners:
                owners = tuple(
                    owner
                    for owner, strict in node.owners.items()
                    if not strict or _capitals(words[position].text) >= min(2, len(words[position].text))
                )
                best = (last, owners) if owners else best
                if not any(node.owners.values()):
                    node.found = owners
            if not node.children or last + 1 == len(words):
                break
            gap = text[words[last].end : words[last + 1].start]
            # "a. fib", "neg. for": a full stop joins only after a single letter and after these.
            joined = gap in (".", ". ") and (words[last].end - words[last].start == 1 or words[last].folded in _SHORT)
            if not joined and gap != " " and not _GAP.fullmatch(gap):
                break
            last += 1
            node = node.children.get(words[last].folded)
        return best
