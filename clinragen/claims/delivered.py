"""Names a treatment where only its effect is named: "sats 98 on 30 %", "O2 weaned from 60 % to room air"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Lexicon, Meaning
from clinragen.claims.tokens import Token
from clinragen.claims.types import Subject

_ENDS = frozenset(("stop", "break", "comma", "conjunction", "time", "interpretation"))
_PERCENT = frozenset(("%", "percent"))
_BETWEEN = frozenset(("filler", "copula", "soft", "restart"))
# So many tokens back the value stands that it is given for.
_REACH = 10


def name_delivered(tokens: list[Token], lexicon: Lexicon) -> list[Token]:
    """The tokens with the name of what is given where only its effect, or a word for both, is named."""
    if not any(token.kind == "name" and _effect(token, lexicon) for token in tokens):
        return tokens
    result: list[Token] = []
    for index, token in enumerate(tokens):
        key = _effect(token, lexicon) if token.kind == "name" else ""
        if key and token.text.lower() in lexicon.given_names and _is_given(tokens, index, lexicon):
            token = replace(token, meaning=Meaning("name", subjects=(Subject((key,)),)))
        elif token.kind == "number" and _is_percentage(tokens, index):
            key = _given_for(result, lexicon)
            if key:
                result.append(Token("name", token.start, token.start, Meaning("name", subjects=(Subject((key,)),))))
        result.append(token)
    return result


def _effect(token: Token, lexicon: Lexicon) -> str:
    """The key of what is given for the one variable that a token names, "" where nothing is."""
    subjects = token.meaning.subjects if token.meaning is not None else ()
    single = len(subjects) == 1 and len(subjects[0].variables) == 1
    return lexicon.given_for.get(subjects[0].variables[0], "") if single else ""


def _is_given(tokens: list[Token], index: int, lexicon: Lexicon) -> bool:
    """Whether a verb of giving follows ("O2 was weaned")."""
    following = next((one for one in tokens[index + 1 : index + 5] if one.kind not in _BETWEEN), None)
    return following is not None and following.text.lower() in lexicon.given_verbs


def _is_percentage(tokens: list[Token], index: int) -> bool:
    """Whether a percentage stands behind "on" with nothing behind it that it is of."""
    leads = index > 0 and tokens[index - 1].kind == "filler" and tokens[index - 1].text.lower() == "on"
    ends = index + 1 == len(tokens) or tokens[index + 1].kind in _ENDS
    return leads and ends and tokens[index].numbers[0].unit in _PERCENT


def _given_for(before: list[Token], lexicon: Lexicon) -> str:
    """The key of the treatment of the variable whose value stands before, in the same part of the sentence."""
    numbered = False
    for token in reversed(before[-_REACH:]):
        if token.kind in ("stop", "break", "comma"):
            break
        numbered = numbered or token.kind in ("number", "span")
        if token.kind == "name":
            return _effect(token, lexicon) if numbered else ""
    return ""
