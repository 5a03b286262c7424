"""Which parts of a note the model reads, where the whole has more tokens than it takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .errors import ModelInputError
from .note_clinragen import BLANK, clean_note, has_words

LONGEST_NOTE = 1_000_000
"""Characters of the longest note that is taken; a longer one is not one stay's."""
NOTE_CUTS = ("middle", "end")
OMISSION = f"\n\n{BLANK}\n\n"
"""Stands for what was left out between the parts of a note."""
HEAD_SHARE = 2 / 3
# Fewest tokens that a note may have, as a multiple of the mark's, for a mark to be set.
_SMALLEST = 8
# A part may give up this share of its room so that it ends with a whole section, line or sentence.
_SLACK = 1 / 8
_BORDERS = tuple(map(re.compile, (r"\n\n", r"\n", r"(?<=[.!?;])\s", r"\s")))
# Words whose spelling a tokenizer can know: of letters, and of more than one.
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class TokenizedNote:
    """A cleaned note, its tokens, and the (start, end) characters of each."""

    text: str
    ids: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Reading:
    """The part of one note that the model reads.

    Args:
        text: The text that is read: the cleaned note, or parts of it joined by `OMISSION`.
        ids: Its tokens.
        spans: The read parts, as (start, end) characters of the cleaned note.
        total: Tokens of the whole note.
    """

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    total: int


@dataclass(frozen=True)
class ReadReport:
    """How much the model reads of one patient, and how well it knows the words. Counts only, no text.

    Args:
        tokens_read: Tokens of the note that the model reads.
        tokens_total: Tokens of the whole note.
        spans: The read parts, as (start, end) characters of the cleaned note.
        words: Words of the whole note.
        known_words: Share of its words of letters that one token holds whole (the unknown token holds none); None
            where it has no such word.
        unknown_tokens: Share of its tokens that are the unknown token; None for an empty note.
        measured: Keys of the variables that were measured.
        readings: Number of measured values.
    """

    tokens_read: int
    tokens_total: int
    spans: tuple[tuple[int, int], ...]
    words: int
    known_words: float | None
    unknown_tokens: float | None
    measured: tuple[str, ...]
    readings: int

    @property
    def whole(self) -> bool:
        """Whether the whole note is read."""
        return self.tokens_read >= self.tokens_total

    @property
    def sentence(self) -> str:
        """How much is read, such as "read 256 of 1,018 tokens"."""
        return f"read {self.tokens_read:,} of {self.tokens_total:,} tokens"


def shared_spans(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The characters that are in both lists of spans, as spans in order; each list is in order and its spans apart."""
    found = []
    for start, end in first:
        for low, high in second:
            if max(start, low) < min(end, high):
                found.append((max(start, low), min(end, high)))
    return found


def require_input(note: str | None, series: Mapping[str, Any] | None) -> None:
    """Refuse a patient of whom nothing is known, and a text that is too long to be a note.

    Args:
        note: The note, or None.
        series: A mapping with `values` `(steps, variables)`, NaN or None where nothing was measured; or None.

    Raises:
        ModelInputError: The note has no letter or digit and nothing was measured, or the note is too long.
    """
    text = note or ""
    require_length(text)
    measured = series is not None and bool(_observed(series["values"]).any())
    if not measured and not has_words(clean_note(text)):
        raise ModelInputError("nothing to go on: give a note, measurements or both")


def require_length(note: str) -> None:
    """Raises `ModelInputError` for a note of more than `LONGEST_NOTE` characters."""
    if len(note) > LONGEST_NOTE:
        raise ModelInputError(
            f"the note has {len(note):,} characters, at most {LONGEST_NOTE:,} are taken; give the text of one stay"
        )


def read_note(tokenized: TokenizedNote, tokenizer: Any, room: int, cut: str) -> Reading:
    """The part of a note that is read, and its tokens.

    With `cut` "middle" two thirds of the room go to the head of the note and the rest to its tail, whose parts end
    and begin with a whole section, line or sentence where there is one near enough. The text that is read is a note
    itself: read alone, it gives the same tokens. With "end", and where the room is too small for two parts, the tokens
    that are too many are left out at the end.

    Args:
        tokenized: A cleaned note.
        tokenizer: The model's tokenizer.
        room: Tokens that the note may have.
        cut: One of `NOTE_CUTS`.
    """
    note, ids, places = tokenized.text, tokenized.ids, tokenized.places
    if len(ids) <= room:
        return Reading(note, ids, ((0, len(note)),) if note else (), len(ids))
    # The mark between the parts has to be worth its own tokens.
    mark = len(_ids(OMISSION, tokenizer))
    budget = room - mark if cut == "middle" and room >= _SMALLEST * mark else 0
    while budget > 1:
        head, tail = _parts(note, places, budget)
        text = note[slice(*head)] + OMISSION + note[slice(*tail)]
        read = _ids(text, tokenizer)
        if len(read) <= room:
            return Reading(text, tuple(read), (head, tail), len(ids))
        # Beside the new borders stand other tokens than there were in the note.
        budget -= len(read) - room
    end = places[room - 1][1]
    return Reading(note[:end], ids[:room], ((0, end),), len(ids))


def read_report(
    tokenized: TokenizedNote, reading: Reading, unknown_id: int | None, variables: Sequence[str], series: Any
) -> ReadReport:
    """Describe what is read of a patient.

    Args:
        tokenized: The cleaned note.
        reading: What is read of it.
        unknown_id: The tokenizer's unknown token, if it has one.
        variables: Keys of the variables.
        series: A mapping with `values` `(steps, variables)`, or None.

    Raises:
        ModelInputError: The values are of another number of variables.
    """
    observed = np.zeros((0, len(variables)), dtype=bool) if series is None else _observed(series["values"])
    if observed.size and observed.shape[1:] != (len(variables),):
        raise ModelInputError(f"values have the shape {observed.shape}; expected (steps, {len(variables)} variables)")
    observed = observed.reshape(-1, len(variables))
    total = len(tokenized.ids)
    return ReadReport(
        tokens_read=len(reading.ids),
        tokens_total=total,
        spans=reading.spans,
        words=len(tokenized.text.split()),
        known_words=_known_words(tokenized, unknown_id),
        unknown_tokens=tokenized.ids.count(unknown_id) / total if total else None,
        measured=tuple(key for key, column in zip(variables, observed.T, strict=True) if column.any()),
        readings=int(observed.sum()),
    )


def tokenize(text: str, tokenizer: Any) -> TokenizedNote:
    """A cleaned note with its tokens and their places, which are guessed within a word where a tokenizer can't say."""
    if not text:
        return TokenizedNote("", (), ())
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return TokenizedNote(text, tuple(encoded["input_ids"]), tuple(encoded["offset_mapping"]))
    ids = tuple(_ids(text, tokenizer))
    places: list[tuple[int, int]] = []
    for start, end in (found.span() for found in re.finditer(r"\S+", text)):
        number = len(_ids(text[start:end], tokenizer))
        # Rounded up, so that no token ends where its word begins.
        places += pairwise(start + -((start - end) * piece // number) for piece in range(number + 1)) if number else ()
    places = places[: len(ids)]
    return TokenizedNote(text, ids, (*places, *[(len(text), len(text))] * (len(ids) - len(places))))


def _ids(text: str, tokenizer: Any) -> list[int]:
    # A tokenizer's own remark that a text is long is about another limit than the processor's.
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []


def _parts(note: str, places: Sequence[tuple[int, int]], budget: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Head and tail of a note that have about `budget` tokens together, at least 2."""
    most = max(1, int(budget * HEAD_SHARE))
    end = _head_end(note, places[max(1, most - int(most * _SLACK)) - 1][1], places[most - 1][1])
    # What the head gives up is the tail's.
    left = budget - max(1, sum(place[1] <= end for place in places[:most]))
    first = len(places) - left
    start = _tail_start(note, max(end, places[first][0]), max(end, places[first + int(left * _SLACK)][0]))
    return (0, end), (start, len(note))


def _head_end(note: str, low: int, high: int) -> int:
    """The last place of the best kind from `low` to `high` where a part may end; the blanks behind it are not its."""
    found = high
    for border in _BORDERS:
        places = [match.start() for match in border.finditer(note, low, high + 2) if match.start() <= high]
        if places:
            found = places[-1]
            break
    return len(note[:found].rstrip())


def _tail_start(note: str, low: int, high: int) -> int:
    """The first place of the best kind from `low` to `high` where a part may begin; nor are the blanks before it."""
    found = low
    for border in _BORDERS:
        places = [match.end() for match in border.finditer(note, max(0, low - 2), high) if match.end() >= low]
        if places:
            found = places[0]
            break
    return len(note) - len(note[found:].lstrip())


def _observed(values: Any) -> np.ndarray:
    return ~np.isnan(np.asarray(values, dtype=np.float64))


def _known_words(tokenized: TokenizedNote, unknown_id: int | None) -> float | None:
    words = [found.span() for found in _WORD.finditer(tokenized.text)]
    if not words:
        return None
    # Several tokens in one place are pieces of what stands there.
    tokens_at = Counter(tokenized.places)
    pairs = zip(tokenized.ids, tokenized.places, strict=True)
    whole = [place for token, place in pairs if token != unknown_id and tokens_at[place] == 1]
    known = position = 0
    for start, end in words:
        while position < len(whole) and whole[position][1] <= start:
            position += 1
        known += position < len(whole) and whole[position][0] <= start and end <= whole[position][1]
    return known / len(words)


__all__ = [
    "LONGEST_NOTE",
    "NOTE_CUTS",
    "OMISSION",
    "ReadReport",
    "Reading",
    "TokenizedNote",
    "read_note",
    "read_report",
    "require_input",
    "require_length",
    "shared_spans",
    "tokenize",
]
