"""Comparisons of two variables: "at hour 6 the heart rate exceeded the systolic pressure"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Meaning
from clinragen.claims.tokens import Token

_NUMBERS = frozenset(("number", "pair", "span"))
# What may stand between the first name and the comparison, and behind the comparison before the second name.
_BETWEEN = frozenset(
    (
        *("copula", "filler", "hedge", "stay", "restart", "number", "time", "negation", "quantifier", "trend"),
        *("soft", "onset", "approximately", "reading", "charged"),
    )
)
_ARTICLES = frozenset(("filler", "approximately"))
_ENDS = frozenset(("stop", "break", "comma", "conjunction", "time", "quantifier", "reading"))
_REACH = 8


def compare_variables(tokens: list[Token]) -> list[Token]:
    """The tokens with a comparison and the second name as one; the second value becomes a statement of its own."""
    result: list[Token] = []
    index = 0
    while index < len(tokens):
        found = _comparison(tokens, index) if _is_single(tokens[index]) else None
        if found is None:
            result.append(tokens[index])
            index += 1
            continue
        place, other = found
        result += tokens[index:place]
        name, sign = tokens[other], tokens[place]
        assert sign.meaning is not None
        assert name.meaning is not None
        word = {"at_least": "above", "at_most": "below"}.get(sign.meaning.word, sign.meaning.word)
        result.append(
            Token("against", sign.start, name.end, Meaning("against", word, name.meaning.subjects), text=sign.text)
        )
        index = other + 1
        if index < len(tokens) and tokens[index].kind in _NUMBERS:
            value = tokens[index]
            index += 1
            times: list[Token] = []
            while index < len(tokens) and tokens[index].kind == "time":
                times.append(tokens[index])
                index += 1
            result += [*times, Token("comma", value.start, value.start), name, value]
            result += [replace(time, start=value.end, end=value.end) for time in times]
    return result


def _is_single(token: Token) -> bool:
    """Whether a token names one variable and says nothing of it."""
    meaning = token.meaning
    if token.kind != "name" or meaning is None or meaning.says is not None or len(meaning.subjects) != 1:
        return False
    return len(meaning.subjects[0].variables) == 1 and not meaning.subjects[0].everything


def _comparison(tokens: list[Token], index: int) -> tuple[int, int] | None:
    """The places of the comparison and of the second name, where nothing else stands around them."""
    place = index + 1
    while place < len(tokens) and place - index <= _REACH and tokens[place].kind in _BETWEEN:
        place += 1
    if place >= len(tokens):
        return None
    sign = tokens[place]
    other = place + 1
    if sign.kind == "comparative" and other < len(tokens) and tokens[other].kind == "than":
        other += 1
    elif sign.kind != "compare":
        return None
    if sign.meaning is None or sign.meaning.word not in ("above", "below", "at_least", "at_most"):
        return None
    while other < len(tokens) and tokens[other].kind in _ARTICLES:
        other += 1
    if other >= len(tokens) or not _is_single(tokens[other]):
        return None
    first, second = tokens[index].meaning, tokens[other].meaning
    if first is None or second is None or first.subjects == second.subjects:
        return None
    behind = other + 1
    valued = behind < len(tokens) and tokens[behind].kind in _NUMBERS
    ends = behind + valued >= len(tokens) or tokens[behind + valued].kind in _ENDS
    # "HR above SBP 90": the value of the second is said where the first has one as well.
    plain = not valued or any(token.kind in _NUMBERS for token in tokens[index + 1 : place])
    return (place, other) if ends and plain else None
