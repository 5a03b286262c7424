"""Words that belong together: "more than halved", "no episode of", "rose from its nadir of 87 % to 98 %"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Meaning
from clinragen.claims.tokens import Token
from clinragen.claims.types import Quantifier

_NUMBERS = frozenset(("number", "pair"))
_HAD = frozenset(("pronoun", "copula", "restart"))
# So far around a word the others of its phrase stand.
_REACH = 10
# With a change: from each reading to the next.
_EACH_STEP = (
    "every",
    "each",
    *(f"{word} {each}" for word in ("at", "on", "in", "with") for each in ("each", "every")),
)
# Beside a change: it does not go back by much. So far from it such a word stands.
_STEADILY = frozenset(("steadily", "gradually", "progressively", "smoothly", "continually", "inexorably"))
_BEHIND, _AHEAD = 2, 3
_BECOMING = frozenset(("became", "becomes", "become", "turned", "went", "developed", "develops"))
_DESPITE = frozenset(("despite", "in spite of", "notwithstanding", "even though on"))
_PAIRED = ("extreme", "conjunction", "extreme", "name", "copula", "number", "conjunction")
_OWN_VALUE = frozenset(("number", "pair", "span", "copula", "compare"))
_VALUES = frozenset(("number",))
_SIGNS = {"above": ">", "at_least": ">", "below": "<", "at_most": "<"}
# Before one of these "no" is "never": a single reading would be one.
_RUNS = frozenset(
    (
        "episode",
        "episodes",
        "bout",
        "bouts",
        "spell",
        "spells",
        "instance",
        "instances",
        "dip",
        "dips",
        "spike",
        "spikes",
    )
)


def join_words(tokens: list[Token]) -> list[Token]:
    """The tokens with "more than halved", "no episode of" and "lower than it had been" as one or without the rest."""
    result: list[Token] = []
    value: Token | None = None  # the number that was said last in the sentence
    for index, token in enumerate(tokens):
        before = result[-1] if result else None
        if token.kind == "factor" and before is not None and before.kind == "compare" and token.meaning is not None:
            sign = _SIGNS.get(before.meaning.word if before.meaning is not None else "")
            if sign:
                meaning = replace(token.meaning, word=f"{sign}{token.meaning.word}")
                result[-1] = replace(token, start=before.start, meaning=meaning)
                continue
        if token.kind == "reading" and token.text.lower() in _RUNS:
            # "no episode of hypoxia", "no hypoxic episodes"
            place = len(result) - 1 - (before is not None and before.kind == "condition")
            if place >= 0 and _is_plain(result[place]):
                result[place] = replace(result[place], meaning=Meaning("negation", "never"))
        if token.kind in _VALUES:
            value = token
        elif token.kind == "stop":
            value = None
        if value is not None and before is not None and before.kind == "compare" and _stands_for(tokens, index):
            token = replace(value, start=token.start, end=token.end)  # "and has stayed above that since"
        if token.kind in _HAD and _is_then_time(tokens, index):
            continue
        if token.kind == "name" and _is_limited(result) and _kind(tokens, index + 1) not in _OWN_VALUE:
            result[-2:-2] = [token]  # "Under 90 systolic at hour 4"
            continue
        if token.kind == "compare" and _is_arrow(tokens, index) and _of_change(result[:-1][-_REACH:]):
            token = replace(token, kind="arrow", meaning=Meaning("arrow"))  # "improved 137 > 84"
        if token.kind == "quantifier" and _is_each(token) and _of_change(result[-_REACH:]):
            token = replace(token, meaning=Meaning("quantifier", quantifier=Quantifier("monotonic")))
        if token.kind == "span" and token.joined == "to" and _is_from_extreme(result):
            first, last = token.numbers  # "rose from its nadir of 87 % to 98 %"
            result += [
                replace(token, kind="number", end=token.start + 1, numbers=(first,), joined=""),
                Token("filler", token.start + 1, token.start + 1, text="to"),
            ]
            token = replace(token, kind="number", start=token.start + 1, numbers=(last,), joined="")
        result.append(token)
    return result


def _is_each(token: Token) -> bool:
    """Whether it is said of each reading ("at every check", "every", of "with every successive gas")."""
    return token.text.lower().startswith(_EACH_STEP)


def _stands_for(tokens: list[Token], index: int) -> bool:
    """Whether "that" behind a comparison is the number said before, not the value of another time."""
    if tokens[index].text.lower() not in ("that", "this", "it"):
        return False
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None or following.kind in ("stop", "break", "comma", "conjunction"):
        return True
    when = following.meaning.when if following.kind == "time" and following.meaning is not None else None
    return when is not None and when.kind in ("window", "from", "whole", "future")


def _is_limited(before: list[Token]) -> bool:
    """Whether a limit opens this part of the sentence, with nothing before it."""
    kinds = [token.kind for token in before[-3:]]
    return kinds[-2:] == ["compare", "number"] and (len(kinds) < 3 or kinds[0] in ("stop", "break", "comma"))


def _is_arrow(tokens: list[Token], index: int) -> bool:
    around = [one.kind for one in (*tokens[index - 1 : index], *tokens[index + 1 : index + 2])]
    return index > 0 and around == ["number", "number"] and tokens[index].start + 1 == tokens[index].end


def mark_steady(tokens: list[Token]) -> list[Token]:
    """ "Fell steadily", "gradually declining": the change is marked, the word itself says nothing more."""
    result = list(tokens)
    for index, token in enumerate(tokens):
        if token.kind != "filler" or token.text.lower() not in _STEADILY:
            continue
        around = [*range(index - 1, max(-1, index - 1 - _BEHIND), -1), *range(index + 1, index + 1 + _AHEAD)]
        place = next((at for at in around if 0 <= at < len(tokens) and _is_change(tokens[at])), None)
        if place is not None:
            result[place] = replace(tokens[place], joined="steadily")
    return result


def mark_onsets(tokens: list[Token]) -> list[Token]:
    """ "Became febrile": the condition is marked, it was not there before."""
    result = list(tokens)
    for index, token in enumerate(tokens):
        if token.text.lower() not in _BECOMING:
            continue
        place = next(
            (at for at in range(index + 1, index + 1 + _AHEAD) if at < len(tokens) and tokens[at].kind != "filler"),
            None,
        )
        if place is not None and tokens[place].kind == "condition":
            result[place] = replace(tokens[place], joined="became")
    return result


def _is_change(token: Token) -> bool:
    return token.kind == "trend" or (token.other is not None and token.other.kind == "trend")


def pair_extremes(tokens: list[Token]) -> list[Token]:
    """ "lowest and highest MAP were 55 and 90" as two statements."""
    result = list(tokens)
    for index in range(len(tokens) - 7):
        part = [one for one in tokens[index : index + 10] if one.kind not in ("filler", "approximately")]
        if tuple(one.kind for one in part[:7]) == _PAIRED and part[0].meaning != part[2].meaning:
            first, _, second, name, copula, low, joint = part[:7]
            if part[7:8] and part[7].kind == "number":
                end = tokens.index(part[7])
                result[index : end + 1] = [
                    first,
                    name,
                    copula,
                    low,
                    replace(joint, kind="comma"),
                    second,
                    name,
                    copula,
                    part[7],
                ]
                return result
    return result


def _of_change(before: list[Token]) -> bool:
    """Whether a change is said in the same part of the sentence."""
    for token in reversed(before):
        if token.kind in ("stop", "break", "comma", "conjunction") and token.text.lower() != "with":
            return False
        if token.kind in ("trend", "level", "number", "compare"):
            return token.kind == "trend"
    return False


def _is_from_extreme(before: list[Token]) -> bool:
    kinds = [token.kind for token in before[-5:] if token.kind not in ("approximately", "pronoun")]
    fillers = [token.text.lower() for token in before[-5:] if token.kind == "filler"]
    return kinds[-1:] == ["extreme"] and "from" in fillers and "trend" in kinds


def _is_plain(token: Token) -> bool:
    if token.kind != "negation" or token.meaning is None or token.meaning.word != "plain":
        return False
    return token.text.lower().split()[-1:] in (["no"], ["any"], ["without"])


def _is_then_time(tokens: list[Token], index: int) -> bool:
    """Whether the token belongs to "it had been" between a comparison and the time that it is with."""
    first = last = index
    while first > max(0, index - _REACH) and tokens[first - 1].kind in _HAD:
        first -= 1
    while last + 1 < min(len(tokens), index + _REACH) and tokens[last + 1].kind in _HAD:
        last += 1
    before = tokens[first - 1] if first else None
    compares = before is not None and (before.kind == "than" or before.text.lower().endswith(" than"))
    return compares and last + 1 < len(tokens) and tokens[last + 1].kind == "time"


def keep_circumstances(tokens: list[Token]) -> list[Token]:
    """ "febrile despite antipyretics through hour 16": the time is that of what stands before "despite"."""
    result = list(tokens)
    for index, token in enumerate(tokens):
        if token.kind != "break" or token.text.lower() not in _DESPITE:
            continue
        end = index + 1
        while end < len(tokens) and tokens[end].kind in ("word", "soft", "filler"):
            end += 1
        if end < len(tokens) and tokens[end].kind == "time" and index + 1 < end <= index + _REACH:
            result[index:end] = [replace(one, kind="filler", text="") for one in tokens[index:end]]
    return result


def _kind(tokens: list[Token], index: int) -> str:
    return tokens[index].kind if index < len(tokens) else ""
