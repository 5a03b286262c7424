"""Composite readings of a clause: values in the course of time, and comparisons between two times.

The kinds of a clause's parts are written as one letter each, and the composites are patterns over these letters. What
matches becomes one part with its whole predicate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from clinragen.claims.clauses import NUMBERS, Part
from clinragen.claims.tokens import Token
from clinragen.claims.types import Point, Predicate, Quantity, When

# Times that a value can be "at"; "by hour 16" is the window from 0 to 16.
_POINT_TIMES = frozenset(("at", "start", "admission", "end", "now"))
_LETTERS = {
    **{"pair": "n", "number": "n", "span": "s", "arrow": "a", "comparative": "r", "compare": "c", "than": "k"},
    **{"ratio": "i"},
    **{"trend": "d", "extreme": "x", "boundary": "b", "approximately": "~", "quantifier": "q", "negation": "!"},
}
# A number by the preposition before it, and an extreme behind "to" ("to a nadir of 78").
_BEHIND = {("n", "from"): "F", ("n", "to"): "O", ("n", "by"): "Y", ("n", "into"): "O", ("x", "to"): "X"}
_VALUE = "x?~?[nFO]t?"
_NEXT = f"(?:b?a+{_VALUE}|b?~?Ot?|b?d~?Ot?|b?d?X~?[nO]t?|b?Xt?~?[nO])"
# "from 124 at hour 0 to 78 at hour 16", "92 -> 132 -> 90", "92 at hour 0, 132 at hour 16" without the comma.
_FORWARD = re.compile(rf"(?:s|{_VALUE}){_NEXT}+|(?:~?nt){{2,}}")
# "from 92 to 132 at hour 16": the second value's time.
_SPAN = re.compile(r"(?<!d)st")
# "92, 104 and 118 at hours 0, 4 and 8".
_ROW = re.compile(r"(?P<values>~?n(?:b+~?n)+)(?P<times>t{2,})")
# "at hours 8 and 12 (188 and 201)".
_ROW_BEHIND = re.compile(r"(?P<times>t{2,})(?P<values>~?n(?:b+~?n)+)")
# "132 at hour 16, up from 92 at hour 0", "down to 160 from 280".
_BACKWARD = re.compile(r"(?P<last>[xX]?~?[nO]t?)b?d?(?P<first>~?Ft?)")
# "20 higher at hour 16 than at hour 4", "10 above baseline".
_VERSUS = re.compile(r"(?P<by>~?[nY])?(?P<how>[rc])(?P<at>[tw]*)(?:k(?P<than>[tw])|(?P<direct>(?<=c)[tw]))")
_AGAINST = re.compile(r"[nO]t?k(?=~?n)")
# "half of what it was at hour 16", "twice as high at hour 16 as at hour 0".
_VERSUS_BY = re.compile(r"(?P<how>[rc])(?P<at>)k?(?P<than>[tw])(?P<by>~?Y)")
_RATIO = re.compile(r"(?P<by>)(?P<how>i)(?P<at>[tw]*)k?(?P<than>[tw])")
# "the same at hour 4 as at hour 32", "matched that at hour 4".
_SAME = re.compile(r"(?P<by>)(?P<how>e)(?P<at>[tw]?)k?(?P<than>[tw])")
_BY_VERSUS = re.compile(r"(?P<how>d)(?P<by>~?Y)(?P<at>[tw]*)k(?P<than>[tw])")


@dataclass(frozen=True)
class Composite(Part):
    """Several parts that make one predicate."""

    predicate: Predicate


def composed(parts: list[Part]) -> list[Part]:
    """The parts with each course and each comparison as one part."""
    kinds = "".join(map(_letter, parts))
    for found in _AGAINST.finditer(kinds):
        # "18 at hour 0 vs 32 at hour 16": two values, side by side
        place = found.end() - 1
        parts = [*parts[:place], replace(parts[place], kind="boundary"), *parts[place + 1 :]]
        kinds = f"{kinds[:place]}b{kinds[place + 1 :]}"
    if not {"k", "c", "i", "e"}.isdisjoint(kinds):
        for pattern in (_VERSUS_BY, _VERSUS, _BY_VERSUS, _RATIO, _SAME):
            parts, kinds = _replace(parts, kinds, pattern, _versus)
    if kinds.count("n") + kinds.count("O") + kinds.count("F") + kinds.count("s") > 1:
        for pattern in (_ROW, _ROW_BEHIND):
            parts, kinds = _replace(parts, kinds, pattern, _row)
        parts, kinds = _replace(parts, kinds, _FORWARD, _forward)
        parts, kinds = _replace(parts, kinds, _BACKWARD, _backward)
    if "s" in kinds:
        parts, kinds = _replace(parts, kinds, _SPAN, _span)
    return parts


def _letter(part: Part) -> str:
    if part.kind == "time":
        when = part.token.meaning.when if part.token.meaning is not None else None
        return "t" if when is not None and _is_point(when) else "w" if when is None or when.kind != "unread" else "u"
    letter = _LETTERS.get(part.kind, ".")
    if letter == "r" and part.token.meaning is not None and part.token.meaning.word == "same":
        return "e"
    if letter == "x" and part.token.text.lower().endswith(" to"):
        return "X"  # "down to 78"
    return _BEHIND.get((letter, part.preposition), letter)


def _is_point(when: When) -> bool:
    return when.kind in _POINT_TIMES or (when.kind == "window" and when.first == 0 and when.last < float("inf"))


def _replace(
    parts: list[Part],
    kinds: str,
    pattern: re.Pattern[str],
    make: Callable[[list[Part], re.Match[str]], Predicate | None],
) -> tuple[list[Part], str]:
    result: list[Part] = []
    letters: list[str] = []
    free = 0
    for found in pattern.finditer(kinds):
        start, end = found.span()
        predicate = make(parts, found)
        if predicate is None:
            continue
        first, last = parts[start].token, parts[end - 1].token
        token = Token("composite", first.start, max(first.end, last.end))
        result += [*parts[free:start], Composite(token, "", "composite", predicate)]
        letters += [kinds[free:start], "."]
        free = end
    return [*result, *parts[free:]], "".join(letters) + kinds[free:]


def _forward(parts: list[Part], found: re.Match[str]) -> Predicate | None:
    points = _points(parts[found.start() : found.end()])
    plain = not any(point.times or point.extreme for point in points) and "a" not in found.group()
    if plain and len(points) < 3:
        return None  # "from 92 to 132": a trend with its two numbers
    course = _course(points)
    turns = course is not None and "d" in found.group()  # "78 at hour 16, back up to 122"
    return replace(course, word="turning") if course is not None and turns else course


def _backward(parts: list[Part], found: re.Match[str]) -> Predicate | None:
    if "d" in found.group() and "t" not in found.group():
        return None  # "130, up from 90": a trend with its first number
    number = parts[found.start("last")]
    led = found.start() > 0 and parts[found.start() - 1].kind == "trend"
    if found["last"] == "n" and led and number.token.numbers[0].unit is not None:
        return None  # "climbed 40 mmHg from 98": by how much
    last, first = (_points(parts[found.start(name) : found.end(name)]) for name in ("last", "first"))
    if parts[found.start()].token.text.lower().endswith(" to"):
        last = [replace(point, extreme="") for point in last]  # "down to 160 from 280"
    return _course([*first, *last])


def _row(parts: list[Part], found: re.Match[str]) -> Predicate | None:
    points = _points(parts[slice(*found.span("values"))])
    times = _whens(parts[slice(*found.span("times"))])
    if len(points) != len(times):
        return None
    return _course([replace(point, times=(when,)) for point, when in zip(points, times, strict=True)])


def _span(parts: list[Part], found: re.Match[str]) -> Predicate | None:
    if parts[found.start()].token.joined != "from":
        return None
    return _course(_points(parts[found.start() : found.end()]))


def _course(points: list[Point]) -> Predicate | None:
    sizes = {len(point.numbers) for point in points}
    return Predicate("course", points=tuple(points)) if len(sizes) == 1 and len(points) > 1 else None


def _points(parts: list[Part]) -> list[Point]:
    points: list[Point] = []
    extreme, approximate = "", False
    for part in parts:
        meaning = part.token.meaning
        if part.kind == "approximately":
            approximate = True
        elif part.kind == "extreme" and meaning is not None:
            extreme = "" if points and part.token.text.lower().endswith(" to") else meaning.word
        elif part.kind == "span":
            points += [Point((number,)) for number in part.token.numbers]
        elif part.kind in NUMBERS:
            numbers = tuple(_about(number, approximate) for number in part.token.numbers)
            points.append(Point(numbers, (), extreme))
            extreme, approximate = "", False
        elif part.kind == "time" and points and meaning is not None and meaning.when is not None:
            points[-1] = replace(points[-1], times=(*points[-1].times, meaning.when))
    return points


def _about(number: Quantity, approximate: bool) -> Quantity:
    return replace(number, approximate=number.approximate or approximate)


def _versus(parts: list[Part], found: re.Match[str]) -> Predicate | None:
    how = parts[found.start("how")].token.meaning
    if how is None:
        return None
    words = {"at_least": "", "at_most": "", "rising": "above", "falling": "below"}
    word = words.get(how.word, how.word)
    name = "direct" if "direct" in found.re.groupindex and found["direct"] else "than"
    ratio = how.kind == "ratio"
    numbers = tuple(
        _about(number, "~" in (found["by"] or ""))
        for part in parts[slice(*found.span("by"))]
        if part.kind == "number"
        for number in part.token.numbers
    )
    if not (ratio or word in ("above", "below", "same")) or len(numbers) > 1:
        return None
    at = _whens(parts[slice(*found.span("at"))])
    return Predicate("versus", word, points=(Point(numbers, at), Point((), _whens(parts[slice(*found.span(name))]))))


def _whens(parts: list[Part]) -> tuple[When, ...]:
    return tuple(part.token.meaning.when for part in parts if part.token.meaning and part.token.meaning.when)
