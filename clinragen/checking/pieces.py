"""A text with overlapping spans, cut into pieces of which each lies wholly in or wholly outside every span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Piece:
    """A piece of a text.

    Args:
        start, end: Its characters, the end exclusive.
        inside: Numbers of the spans that it lies in, in order.
        begins, ends: Those that begin with its first character, and those that end with its last one.
    """

    start: int
    end: int
    inside: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]


def pieces(start: int, end: int, spans: Iterable[tuple[int, int]]) -> Iterator[Piece]:
    """The pieces of the characters from `start` to `end`; what a span has outside them does not count.

    Args:
        start, end: The characters to cut, the end exclusive.
        spans: (first character, last character exclusive) of each span; it is known by its place in this order.
    """
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for number, (first, last) in enumerate(spans):
        first, last = max(first, start), min(last, end)
        if first < last:
            opening.setdefault(first, []).append(number)
            closing.setdefault(last, []).append(number)
    borders = sorted({start, end, *opening, *closing})
    inside: set[int] = set()
    for first, last in pairwise(borders):
        inside.difference_update(closing.get(first, ()))
        begins = opening.get(first, [])
        inside.update(begins)
        ends = tuple(closing.get(last, ()))
        yield Piece(first, last, tuple(sorted(inside)), tuple(begins), tuple(sorted(ends)))
