"""Variables that a text names by something else: a unit, a comparative ("lighter"), a change ("gained 4 kg")."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Lexicon, Meaning
from clinragen.claims.tokens import Token
from clinragen.claims.types import Subject

_ZONE_ENDS = frozenset(("stop", "break", "comma", "colon", "conjunction", "interpretation"))
_LEADING = frozenset(("approximately", "compare", "trend", "extreme", "filler", "change"))
_NUMBERS = frozenset(("number", "span"))
_PERCENT = frozenset(("%", "percent", "percent."))
# Units that contain what they are of.
_SAYS_WHAT = frozenset(
    ("beatsperminute", "beats/minute", "beats/min", "breathsperminute", "breaths/min", "breathsaminute")
)
# What may stand between "oxygen" and its percentage.
_TO_PERCENT = frozenset(("filler", "extreme", "trend", "copula", "approximately"))
_WORDS = frozenset(("word", "soft", "filler", "name", "trend"))
# "Spiked to 12" is not about a temperature.
_LEAST = 34.0


def name_implied(tokens: list[Token], lexicon: Lexicon) -> list[Token]:
    """The tokens with a name where one is implied; changes without an amount become words that say nothing."""
    if not any(_implies(token, lexicon) for token in tokens):
        return tokens
    tokens = _turned(tokens, [_behind_percent(tokens, index, lexicon) for index in range(len(tokens))])
    tokens = [_before_number(tokens, index, lexicon) for index in range(len(tokens))]
    result: list[Token] = []
    named = False
    for index, token in enumerate(tokens):
        if token.kind in _ZONE_ENDS:
            named = named and token.kind not in ("stop", "break", "colon", "interpretation")
        named = named or token.kind in ("name", "condition", "pronoun")
        meaning = token.meaning
        if token.kind == "implied" and meaning is not None:
            if not named:
                result.append(_name(token, meaning.subjects))
                named = True
            token = replace(token, kind="comparative", meaning=Meaning("comparative", meaning.word))
        elif token.kind == "change" and meaning is not None:
            amount = _amount(tokens, index)
            if amount is None:
                token = replace(token, kind="soft", meaning=None)
            else:
                key = lexicon.changed_by_unit.get(amount.numbers[0].unit or "")
                if key is not None and not named:
                    result.append(_name(token, (Subject((key,)),)))
                    named = True
                token = replace(token, kind="trend", meaning=Meaning("trend", meaning.word))
        elif token.kind == "trend" and token.text.lower() in lexicon.named_by_verb and not named:
            key = lexicon.named_by_verb[token.text.lower()]
            amount = _amount(tokens, index)
            low, high = lexicon.variables[key].plausible
            fits = amount is not None and amount.numbers[0].unit in (None, *lexicon.units[key])
            if amount is not None and fits and max(low, _LEAST) <= amount.numbers[0].low <= high:
                result.append(_name(token, (Subject((key,)),)))
                named = True
        elif token.kind in _NUMBERS and not named:
            key = lexicon.named_by_unit.get(token.numbers[-1].unit or "")
            if key is not None and (token.numbers[-1].unit in _SAYS_WHAT or _is_moved(result)):
                place = len(result)
                while place and result[place - 1].kind in _LEADING:
                    place -= 1
                if not place or result[place - 1].kind != "word" or result[place - 1].meaning is not None:
                    first = result[place] if place < len(result) else token
                    result.insert(place, _name(first, (Subject((key,)),)))
                    named = True
        result.append(token)
    return result


def _implies(token: Token, lexicon: Lexicon) -> bool:
    if token.kind in _NUMBERS:
        return token.numbers[-1].unit in lexicon.named_by_unit
    if token.kind not in _WORDS:
        return token.kind in ("implied", "change")
    word = token.text.lower()
    return word in lexicon.named_by_verb or word in lexicon.behind_percent


def _is_moved(before: list[Token]) -> bool:
    """Whether a verb of change leads to the number, and nothing unknown stands before it."""
    rest = [token.kind for token in reversed(before)]
    end = next((place for place, kind in enumerate(rest) if kind in _ZONE_ENDS), len(rest))
    leading = rest[:end]
    kinds = [kind for kind in leading if kind not in ("filler", "approximately")]
    return kinds[:1] in (["trend"], ["extreme"], ["compare"], ["stay"]) and not {"word", "foreign"} & set(leading)


def _turned(tokens: list[Token], named: list[Token]) -> list[Token]:
    """ "more than 60 % oxygen" as "oxygen more than 60 %"."""
    result: list[Token] = []
    for old, new in zip(tokens, named, strict=True):
        place = len(result)
        if new is not old:
            while place and result[place - 1].kind in (*_NUMBERS, "compare", "approximately"):
                place -= 1
            if not any(one.kind == "compare" for one in result[place:]):
                place = len(result)
        result.insert(place, new)
    return result


def _behind_percent(tokens: list[Token], index: int, lexicon: Lexicon) -> Token:
    """ "50 % oxygen": what the percentage is of."""
    token = tokens[index]
    before = tokens[index - 1] if index else None
    if token.kind not in ("word", "name") or before is None or before.kind not in _NUMBERS:
        return token
    key = lexicon.behind_percent.get(token.text.lower())
    following = tokens[index + 1].kind if index + 1 < len(tokens) else ""
    if key is None or before.numbers[-1].unit not in _PERCENT or following in ("name", "word"):
        return token
    return replace(token, kind="name", meaning=Meaning("name", subjects=(Subject((key,)),)))


def _before_number(tokens: list[Token], index: int, lexicon: Lexicon) -> Token:
    """ "breathing 32 a minute", "the oxygen up to 80 %": what the number is of."""
    token = tokens[index]
    word = token.text.lower()
    if word not in lexicon.named_by_verb and word not in lexicon.behind_percent:
        return token
    rest = tokens[index + 1 : index + 5]
    if word in lexicon.named_by_verb:
        leading = [
            one.kind for one in rest if one.kind not in ("filler", "approximately", "compare", "copula", "soft")
        ]
        plausible = leading[:1] in (["number"], ["span"]) and _is_plausible(word, rest, lexicon)
        if plausible and token.kind != "trend":
            subjects = (Subject((lexicon.named_by_verb[word],)),)
            return replace(token, kind="name", meaning=Meaning("name", subjects=subjects))
        return token
    kinds = [one.kind for one in rest]
    place = next((at for at, kind in enumerate(kinds) if kind in _NUMBERS), None)
    if token.kind != "word" or place is None or not set(kinds[:place]) <= _TO_PERCENT:
        return token
    number = rest[place]
    if number.numbers[0].unit not in _PERCENT:
        return token
    return replace(token, kind="name", meaning=Meaning("name", subjects=(Subject((lexicon.behind_percent[word],)),)))


def _is_plausible(word: str, rest: list[Token], lexicon: Lexicon) -> bool:
    """Whether the number behind a word may be one of the variable that it names."""
    number = next(one.numbers[0] for one in rest if one.kind in _NUMBERS)
    key = lexicon.named_by_verb[word]
    low, high = lexicon.variables[key].plausible
    return number.unit in (None, *lexicon.units[key]) and low <= number.low <= high


def _amount(tokens: list[Token], index: int) -> Token | None:
    """The number right behind a change."""
    for token in tokens[index + 1 : index + 5]:
        if token.kind == "number":
            return token
        if token.kind not in ("approximately", "filler", "soft"):
            return None
    return None


def _name(token: Token, subjects: tuple[Subject, ...]) -> Token:
    return Token("name", token.start, token.start, Meaning("name", subjects=subjects))
