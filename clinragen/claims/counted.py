"""How many readings there are of a variable: "weight has 4 observations", "the series comprises ten values"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Meaning
from clinragen.claims.tokens import Token

_ENDS = frozenset(("stop", "break", "comma", "conjunction", "time"))
_BETWEEN = frozenset(("filler", "soft", "reading", "approximately", "only"))
_HAVE = frozenset(("has", "have", "had"))


def count_readings(tokens: list[Token]) -> list[Token]:
    """The tokens with "was measured" for a verb of having between a name and a number of readings.

    Where no number of readings follows, such a verb is a word that is not understood.
    """
    if not any(_has(token) for token in tokens):
        return tokens
    result: list[Token] = []
    for index, token in enumerate(tokens):
        if _has(token) and _counts(tokens, index):
            token = replace(token, kind="measured", meaning=Meaning("measured"))
        elif token.kind == "having":
            token = replace(token, kind="word", meaning=None)
        result.append(token)
    return result


def _has(token: Token) -> bool:
    return token.kind == "having" or (token.kind == "restart" and token.text.lower() in _HAVE)


def _counts(tokens: list[Token], index: int) -> bool:
    """Whether a name stands before and nothing but a number of readings behind."""
    before = [one for one in tokens[max(0, index - 3) : index] if one.kind not in _BETWEEN]
    named = bool(before) and before[-1].kind == "name" and before[-1].meaning is not None
    following = [one for one in tokens[index + 1 : index + 5] if one.kind not in _BETWEEN]
    counted = following[:1] != [] and following[0].kind == "quantifier" and _is_number(following[0])
    return named and counted and (len(following) < 2 or following[1].kind in _ENDS)


def _is_number(token: Token) -> bool:
    quantifier = token.meaning.quantifier if token.meaning is not None else None
    return quantifier is not None and quantifier.count is not None and quantifier.total is None
