"""Brings free word orders into the one that the parser reads: "none of the MAP readings", "132 was the fastest HR"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.counted import count_readings
from clinragen.claims.fronted import drop_lead, front
from clinragen.claims.joins import join_words, keep_circumstances, mark_onsets, mark_steady, pair_extremes
from clinragen.claims.lexicon import Meaning
from clinragen.claims.patterns import UNREAD
from clinragen.claims.references import refer_back
from clinragen.claims.rivals import compare_variables
from clinragen.claims.tokens import Token
from clinragen.claims.types import Quantifier

_BETWEEN = frozenset(("filler", "soft", "reading", "approximately", "word"))
_LIMITS = {
    **dict.fromkeys(("better", "more", "above", "higher", "greater", "over", "up", "upwards"), "at_least"),
    **dict.fromkeys(("less", "below", "lower", "under", "fewer", "beneath"), "at_most"),
}
_NUMBERS = frozenset(("number", "pair"))
_SAME = Meaning("comparative", "same")
_TO_LIMIT = {"down to": "falling", "up to": "rising"}
_OF_NAMES = frozenset(("trend", "values", "levels"))
_TO_TIME = frozenset(("filler", "pronoun", "soft", "than", "copula", "reading", "word", "name", "restart"))
_PERSONS = frozenset(("her", "him", "them", "me", "us", "someone", "anyone", "somebody"))
_UNREAD = Meaning("time", when=UNREAD)
_REPEATED = frozenset(("after", "before", "with", "following"))
_LIMITED = frozenset(("compare", "number", "level", "extreme", "approximately"))
_ONCE = Meaning("quantifier", quantifier=Quantifier(count=1))
_ARTICLES = frozenset(("the", "this", "his", "her", "their", "its", "a"))
_REACH = 6
_ENDS_CLAUSE = frozenset(("time", "stop", "break", "comma", "conjunction", ""))
# Extents that hold of a single name as well ("each temperature"); the others need several readings.
_OF_ONE = frozenset(("every", "none"))
# Behind "none" these go on about the readings; else "none" answers a finding ("fever: none").
_GOES_ON = frozenset(("compare", "copula", "level", "trend", "extreme"))


def rewrite(tokens: list[Token]) -> list[Token]:
    """The tokens with determiners as quantifiers, and numbers behind the names that they stand before."""
    tokens = _turned(
        _limited(
            pair_extremes(
                _explained(_determined(keep_circumstances(count_readings(mark_onsets(mark_steady(tokens))))))
            )
        )
    )
    return compare_variables(join_words(refer_back(tokens)))


def _limited(tokens: list[Token]) -> list[Token]:
    """ "97 % or better": the comparison goes before its number."""
    result: list[Token] = []
    skipped = 0
    for index, token in enumerate(tokens):
        if skipped:
            skipped -= 1
            continue
        following = tokens[index + 1 : index + 3]
        words = [one.text.lower() for one in following]
        if token.kind in _NUMBERS and [one.kind for one in following[:1]] == ["mark"] and words[:1] == ["+"]:
            if following[0].start == token.end:  # "39+"
                result.append(replace(following[0], kind="compare", meaning=Meaning("compare", "at_least")))
                skipped = 1
        elif token.kind in _NUMBERS and words[:1] in (["or"], ["and"]) and words[1:] and words[1] in _LIMITS:
            ends = index + 3 >= len(tokens) or tokens[index + 3].kind not in (*_NUMBERS, "than", "span")
            if ends:
                result.append(replace(following[1], kind="compare", meaning=Meaning("compare", _LIMITS[words[1]])))
                skipped = 2
        result.append(token)
    return result


def _explained(tokens: list[Token]) -> list[Token]:
    """ "HR 110, but that was in the ED": when and where is a part of what stands before."""
    result: list[Token] = []
    for index, token in enumerate(tokens):
        following = [one.kind for one in tokens[index + 1 : index + 4]]
        if token.kind in ("break", "comma") and following == ["pronoun", "copula", "time"]:
            when = tokens[index + 3].meaning
            if when is not None and when.when is not None and when.when.kind == "outside":
                tokens[index + 1] = replace(tokens[index + 1], kind="filler", text="that")
                tokens[index + 2] = replace(tokens[index + 2], kind="filler", text="was")
                continue
        result.append(token)
    return result


def _determined(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    dropped: set[int] = set()
    for index, token in enumerate(tokens):
        if index in dropped:
            continue
        before = tokens[index - 1] if index else None
        if token.kind == "name" and token.text.lower() == "sat" and before is not None and before.kind == "name":
            token = replace(token, kind="copula")  # "MAP sat below 65"
        elif token.kind == "stay" and token.text.lower() == "stay" and _is_noun(tokens, index):
            token = replace(token, kind="filler")  # "the hospital stay was marked by hypotension"
        elif token.kind == "time" and token.text.lower() == "initial" and _is_over(tokens, index):
            token = replace(token, kind="filler", meaning=None)  # "after an initial rise to 137"
        elif token.kind == "time" and token.text.lower() == "first" and _goes_back(tokens, index):
            token = replace(token, kind="filler", meaning=None)  # "first fell to 46 and then rose"
        elif token.kind == "time" and token.text.lower() in ("first", "last") and _of_verb(tokens, index):
            token = replace(token, kind="onset")  # "first fell below 65 at hour 12"
        elif token.kind == "break" and token.text.lower() == "except" and _limits_time(tokens, index):
            token = replace(token, kind="charged")
        elif token.text.lower() in ("before", "after") and _kind(tokens, index + 1) in (
            *("trend", "extreme", "soft", "filler"),
        ):
            if _changes(tokens, index):
                token = replace(token, kind="conjunction", meaning=Meaning("conjunction", token.text.lower()))
        elif token.kind == "pronoun" and _is_both(tokens, index):
            token = replace(token, kind="filler")  # "the absence of both fever and tachycardia"
        elif token.kind == "extreme" and token.text.lower() in _TO_LIMIT and _is_moved(before):
            token = replace(token, kind="filler", text="to", meaning=None)  # "fell down to 143"
        elif token.kind == "extreme" and token.text.lower() in _TO_LIMIT and _is_brought(tokens, index):
            token = replace(token, kind="trend", meaning=Meaning("trend", _TO_LIMIT[token.text.lower()]))
        elif token.kind == "compare" and token.text.lower() == "cleared" and _kind(tokens, index + 1) in _ENDS_CLAUSE:
            token = replace(token, kind="trend", meaning=Meaning("trend", "resolving"))
        elif token.kind == "extreme" and token.text.lower() in _TO_LIMIT and _is_then(before):
            way = _TO_LIMIT[token.text.lower()]  # "up to 280 at hour 16, then down to 160"
            token = replace(token, kind="trend", meaning=Meaning("trend", way))
        elif (
            token.kind == "pronoun"
            and token.text.lower() in _OF_NAMES
            and before is not None
            and before.kind == "name"
        ):
            token = replace(token, kind="filler")  # "HR trend: up"
        elif token.kind == "break" and token.text.lower() == "until" and _kind(tokens, index + 1) in _NUMBERS:
            token = replace(token, kind="filler", text="to")  # "fell until 78"
        elif token.kind == "comparative" and token.meaning == _SAME and not _compares(tokens, index):
            token = replace(token, kind="filler")
        elif token.kind == "ordinal":
            token = _ordinal(tokens, index)
        elif token.kind == "copula" and token.text == "=" and result and result[-1].kind in ("extreme", "time"):
            result.insert(-1, Token("comma", result[-1].start, result[-1].start))  # "max=132 last=90"
        elif token.kind == "compare" and token.text.lower() == "over" and _spans(tokens, index):
            token = replace(token, kind="filler", meaning=None)  # "the mean over all readings"
        elif token.kind == "unmeasured" and _kind(tokens, index + 1) in _LIMITED:
            never = "never" in token.text.lower()  # "was never measured above 39"
            token = replace(token, kind="negation", meaning=Meaning("negation", "never" if never else "plain"))
        elif token.kind == "compare" and _bounds_name(tokens, index):
            token = replace(token, kind="charged")  # "At most the HR was 129"
        elif token.text.lower() in _PERSONS and _is_own_measure(tokens, index):
            token = replace(token, kind="charged")  # "fine for her"
        elif token.kind == "filler" and token.text.lower() == "one" and _is_single(tokens, index):
            token = replace(token, kind="quantifier", meaning=_ONCE)  # "one low glucose"
        elif token.kind == "determiner":
            token = _determiner(tokens, index, dropped)
        elif token.kind == "denied" and token.text.lower() == "none" and _goes_on(tokens, index):
            token = _quantifier(token, "none")
        result.append(token)
    return result


def _spans(tokens: list[Token], index: int) -> bool:
    """Whether all readings, or a time, follow."""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None or following.meaning is None:
        return False
    every = following.meaning.quantifier is not None and following.meaning.quantifier.name == "every"
    return every or following.kind == "time" or (following.kind == "determiner" and following.meaning.word == "every")


def _bounds_name(tokens: list[Token], index: int) -> bool:
    """Whether a bound opens the sentence before a name, with its number behind that."""
    bound = tokens[index].meaning is not None and tokens[index].meaning.word in ("at_least", "at_most")  # type: ignore[union-attr]
    following = [one.kind for one in tokens[index + 1 : index + 3] if one.text.lower() != "the"]
    return bound and (index == 0 or tokens[index - 1].kind in ("stop", "break")) and following[:1] == ["name"]


def _is_own_measure(tokens: list[Token], index: int) -> bool:
    """ "fine for her": measured by what is usual for a person."""
    leads = index > 0 and tokens[index - 1].text.lower() == "for"
    return leads and (index + 1 >= len(tokens) or tokens[index + 1].kind in _ENDS_CLAUSE)


def _is_single(tokens: list[Token], index: int) -> bool:
    """Whether a level and its name, or a condition, follow at the head of a part of the sentence."""
    heads = index == 0 or tokens[index - 1].kind in ("stop", "break", "comma", "colon", "restart")
    following = [one.kind for one in tokens[index + 1 : index + 4] if one.kind not in ("soft", "word")]
    return heads and following[:2] in (["level", "name"], ["condition", "name"], ["condition", "reading"])


def _is_then(token: Token | None) -> bool:
    return token is not None and token.kind == "conjunction" and token.text.lower() in ("then", "and then")


def _is_moved(token: Token | None) -> bool:
    return token is not None and token.kind == "trend" and token.meaning is not None


def _is_brought(tokens: list[Token], index: int) -> bool:
    """ "insulin brought the glucose down to 143": a change, whatever the extreme is."""
    before = tokens[max(0, index - 4) : index]
    return (
        any(one.text.lower().endswith(("brought", "pushed", "drove")) for one in before) and before[-1].kind == "name"
    )


def _kind(tokens: list[Token], index: int) -> str:
    return tokens[index].kind if index < len(tokens) else ""


def _is_noun(tokens: list[Token], index: int) -> bool:
    """Whether an article or a possessive leads to the word; "of the stay" is a part of it that was not understood."""
    for place in range(index - 1, max(-1, index - 4), -1):
        token = tokens[place]
        if token.kind == "filler":
            part = place > 0 and tokens[place - 1].text.lower() == "of"
            return token.text.lower() in _ARTICLES and not part
        if token.kind not in ("word", "soft"):
            return False
    return False


def _is_both(tokens: list[Token], index: int) -> bool:
    return tokens[index].text.lower() == "both" and _kind(tokens, index + 1) in ("name", "condition")


def _compares(tokens: list[Token], index: int) -> bool:
    """Whether "the same" is followed by the time that it is compared with."""
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind == "time":
            return True
        if token.kind not in _TO_TIME:
            return False
    return False


def _ordinal(tokens: list[Token], index: int) -> Token:
    """ "the second heart rate": a reading by its place."""
    token = tokens[index]
    for following in tokens[index + 1 : index + 1 + _REACH]:
        if following.kind in ("name", "reading"):
            return replace(token, kind="time")
        if following.kind not in ("filler", "word", "soft"):
            break
    return replace(token, kind="charged")


def _changes(tokens: list[Token], index: int) -> bool:
    """Whether a change of what was named before follows ("before slowly recovering")."""
    following = [token.kind for token in tokens[index + 1 : index + 4] if token.kind not in ("soft", "filler")]
    return following[:1] in (["trend"], ["extreme"])


def _limits_time(tokens: list[Token], index: int) -> bool:
    """ "above 65 except at hour 16", not "Except for hour 16, it was ..."."""
    following = [token.kind for token in tokens[index + 1 : index + 3] if token.kind != "filler"]
    return index > 0 and tokens[index - 1].kind != "stop" and following[:1] == ["time"]


def _of_verb(tokens: list[Token], index: int) -> bool:
    around = [token.kind for token in (*tokens[index - 1 : index], *tokens[index + 1 : index + 2])]
    return index > 0 and around[:1] in (["name"], ["copula"]) and around[1:] in (["trend"], ["compare"], ["level"])


def _is_over(tokens: list[Token], index: int) -> bool:
    """Whether what follows was before the rest of the sentence."""
    before = [one.text.lower() for one in tokens[max(0, index - 2) : index]]
    return _kind(tokens, index + 1) == "trend" and not {"after", "following"}.isdisjoint(before)


def _goes_back(tokens: list[Token], index: int) -> bool:
    """Whether a change follows, and another one behind "then"."""
    rest = tokens[index + 1 : index + 1 + 2 * _REACH]
    then = next((place for place, one in enumerate(rest) if one.text.lower() in ("then", "and then")), None)
    return [one.kind for one in rest[:1]] == ["trend"] and then is not None and _kind(rest, then + 1) == "trend"


def _goes_on(tokens: list[Token], index: int) -> bool:
    """Whether "none" is about the readings named before it ("MAP readings: none below 65")."""
    named = any(token.kind == "name" for token in tokens[max(0, index - 3) : index])
    return named and index + 1 < len(tokens) and tokens[index + 1].kind in _GOES_ON


def _quantifier(token: Token, extent: str, counted: Token | None = None) -> Token:
    total = None
    if counted is not None and counted.meaning is not None and counted.meaning.quantifier is not None:
        total = counted.meaning.quantifier.count  # "on all twelve checks"
    said = Quantifier(extent, total=total)
    return replace(token, kind="quantifier", meaning=Meaning("quantifier", "of all", quantifier=said))


def _determiner(tokens: list[Token], index: int, dropped: set[int]) -> Token:
    """ "most heart rates": in most readings. Where no readings follow, it is about something else."""
    token = tokens[index]
    extent = token.meaning.word if token.meaning is not None else ""
    counted: list[int] = []
    for place in range(index + 1, min(index + 1 + _REACH, len(tokens))):
        following = tokens[place]
        if following.kind in _NUMBERS or (following.kind == "quantifier" and not following.text):
            counted.append(place)  # "all twelve"
        elif following.kind == "time" and not counted and _of_place(following):
            continue  # "none of the first three"
        elif following.kind == "reading" and not counted and tokens[place - 1].kind == "word":
            counted.append(place - 1)
            dropped.update((place - 1, place))
            return _quantifier(token, extent)
        elif following.kind == "reading" and extent != "some" and not _name_ahead(tokens, place):
            dropped.update(counted)
            return _quantifier(token, extent)  # "in the majority of samples"
        elif following.kind == "name":
            if _several(tokens, place, extent):
                dropped.update(counted)
                return _quantifier(token, extent)
            break
        elif following.kind not in _BETWEEN or (following.kind == "word" and place > index + 1):
            break
    if counted and tokens[counted[-1]].kind == "quantifier":
        dropped.update(counted)
        return _quantifier(token, extent, tokens[counted[-1]])  # "on all twelve checks"
    if extent in ("every", "nearly_all", "most") and _floats(tokens, index):
        return _quantifier(token, extent)  # "the temperatures were all above 38"
    if extent == "every":
        # "with each dose" says when, "each temperature" does not
        repeated = index > 0 and tokens[index - 1].text.lower() in _REPEATED
        return replace(token, kind="time", meaning=_UNREAD) if repeated else replace(token, kind="filler")
    kind = "approximately" if extent == "some" else "charged"
    return replace(token, kind=kind)


def _of_place(token: Token) -> bool:
    when = token.meaning.when if token.meaning is not None else None
    return when is not None and when.kind in ("first readings", "last readings")


def _name_ahead(tokens: list[Token], place: int) -> bool:
    """Whether the name of the readings follows ("all values of the MAP")."""
    following = [token for token in tokens[place + 1 : place + 4] if token.kind != "filler" or token.text != "of"]
    return bool(following) and following[0].kind in ("name", "filler")


def _several(tokens: list[Token], place: int, extent: str) -> bool:
    """Whether a name stands for its readings."""
    name = tokens[place]
    subjects = name.meaning.subjects if name.meaning is not None else ()
    if len(subjects) != 1 or subjects[0].everything:
        return False
    return extent in _OF_ONE or _is_plural(tokens, place)


def _is_plural(tokens: list[Token], place: int) -> bool:
    following = tokens[place + 1 : place + 2]
    return bool(following and following[0].kind == "reading") or tokens[place].text.endswith("s")


def _floats(tokens: list[Token], index: int) -> bool:
    kinds = [token.kind for token in tokens[max(0, index - 3) : index]]
    if kinds[-2:] not in (["name", "copula"], ["reading", "copula"]):
        return False
    place = index - 2 if kinds[-2] == "name" else index - 3
    meaning = tokens[place].meaning if place >= 0 else None
    subjects = meaning.subjects if meaning is not None else ()
    return len(subjects) == 1 and not subjects[0].everything and _is_plural(tokens, place)


def _turned(tokens: list[Token]) -> list[Token]:
    """ "132 was the fastest heart rate" as "the fastest heart rate was 132"."""
    tokens = front(drop_lead(tokens))
    result = list(tokens)
    for index, token in enumerate(tokens):
        if token.kind not in _NUMBERS or (index and tokens[index - 1].kind not in ("stop", "break", "comma")):
            continue
        rest = tokens[index + 1 : index + 1 + _REACH]
        kinds = [one.kind for one in rest]
        if kinds[:1] != ["copula"] or "name" not in kinds or "extreme" not in kinds:
            continue
        name, extreme = kinds.index("name"), kinds.index("extreme")
        if extreme < name and set(kinds[1:extreme] + kinds[extreme + 1 : name]) <= _BETWEEN:
            moved = [*rest[1 : name + 1], rest[0], token]
            result[index : index + name + 2] = moved
    return result
