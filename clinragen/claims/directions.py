"""The direction that a statement gives a variable: high, low, rising, falling, erratic, or none of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import read_band
from clinragen.claims.types import Quantity, Statement
from modeling_clinragen.vocabulary_clinragen import RangeSet

# What speaks against a sign. "Not high" is what "no fever" says.
OPPOSITES: Mapping[str, frozenset[str]] = {
    "high": frozenset(("low", "falling")),
    "low": frozenset(("high", "rising")),
    "rising": frozenset(("falling", "low")),
    "falling": frozenset(("rising", "high")),
    "normal": frozenset(("high", "low")),
    "not high": frozenset(("high",)),
    "not low": frozenset(("low",)),
    "not abnormal": frozenset(("high", "low")),
    "not rising": frozenset(("rising",)),
    "not falling": frozenset(("falling",)),
    "not erratic": frozenset(("erratic",)),
    "stable": frozenset(("rising", "falling", "erratic")),
}
_TRENDS = ("rising", "falling", "erratic", "stable")


def directions_of(statements: Iterable[Statement], variable: str, range_set: RangeSet, lexicon: Lexicon) -> set[str]:
    """The directions, as signs have them or as keys of `OPPOSITES`, that statements give one of their variables.

    Numbers count by their level: "falls to 70" is falling and, where 70 is below the range, low.
    """
    found: set[str] = set()
    for statement in statements:
        if not (statement.unread or statement.subject.difference) and (
            variable in statement.subject.variables or statement.predicate.kind == "pair"
        ):
            found |= _directions(statement, variable, range_set, lexicon)
    # "Normal at first, then high" is high.
    abnormal = found & {"high", "low"}
    return found - {"normal"} if abnormal else found


def _directions(statement: Statement, variable: str, range_set: RangeSet, lexicon: Lexicon) -> set[str]:
    predicate, denied = statement.predicate, bool(statement.negation)
    kind, word = predicate.kind, predicate.word
    numbers = [one for one in (predicate.first, predicate.second) if one is not None]
    if kind == "level":
        return _level(word, denied)
    if kind == "trend":
        if denied:
            return {f"not {word}"} & set(OPPOSITES)
        trend = {word} & set(_TRENDS)
        # A fall from a high value is not low: only the ends on the way that it goes, and where it comes from.
        ends = {
            level
            for number, fitting in zip((predicate.first, predicate.second), _ends(word), strict=True)
            if number is not None and (level := _of_number(number, variable, range_set, lexicon)) == fitting
        }
        return trend | {end for end in ends if end is not None}
    if denied or not numbers:
        return set()
    if kind == "pair":
        number = numbers[lexicon.pair.index(variable)] if variable in lexicon.pair[: len(numbers)] else None
        level = None if number is None else _of_number(number, variable, range_set, lexicon)
        return {level} if level is not None else set()
    levels = {level for number in numbers if (level := _of_number(number, variable, range_set, lexicon)) is not None}
    if kind == "compare":
        # "Above 90" says high only where 90 is high already.
        return levels & ({"high"} if word in ("above", "at_least") else {"low"})
    if kind == "extreme" and word in ("max", "min"):
        return levels - ({"low"} if word == "max" else {"high"})
    return levels


def _level(word: str, denied: bool) -> set[str]:
    if not denied:
        return {"high", "low"} if word == "abnormal" else {word}
    if word == "normal":
        return {"high", "low"}
    return {word.removeprefix("not ")} if word.startswith("not ") else {f"not {word}"}


def _ends(word: str) -> tuple[str | None, str | None]:
    return {"rising": ("low", "high"), "falling": ("high", "low")}.get(word, (None, None))


def _of_number(number: Quantity, variable: str, range_set: RangeSet, lexicon: Lexicon) -> str | None:
    band = read_band(number, lexicon.variables[variable], lexicon) if variable in lexicon.variables else None
    if band is None:
        return None
    slack = band.tolerance if number.approximate else 0.0
    # "Up to about 140" may stand for a reading on either side of the limit.
    found = {
        range_set.level(variable, value) for value in (band.low - slack, (band.low + band.high) / 2, band.high + slack)
    }
    return found.pop() if len(found) == 1 or not slack else None
