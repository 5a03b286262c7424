"""Sentences that begin with what is said of the name behind it: "After peaking at 132, the heart rate fell to 90"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.tokens import Token

_STARTS = frozenset(("stop", "break"))
_PREDICATES = frozenset(("number", "pair", "span", "extreme", "trend", "comparative"))
# What a leading phrase consists of; anything else is about something else.
_LEADING = _PREDICATES | frozenset(
    ("filler", "soft", "time", "approximately", "compare", "than", "conjunction", "arrow")
)
_SEQUENCE = frozenset(("after", "having", "once"))
_LEADS = frozenset(("following", "after", "despite", "given", "amid"))
# Of such a phrase: nothing with a number, a name or a time of its own.
_SILENT = frozenset(("filler", "soft", "word", "trend", "level", "time", "extreme"))
_REACH = 14


def front(tokens: list[Token]) -> list[Token]:
    """The tokens with such a phrase behind the name; one that only compares goes to the end of its clause."""
    result = list(tokens)
    for index in range(len(tokens)):
        if index and tokens[index - 1].kind not in _STARTS:
            continue
        found = _phrase(tokens, index)
        if found is None:
            continue
        comma, name = found
        lead, rest = tokens[index:comma], tokens[comma : name + 1]
        kinds = [one.kind for one in lead if one.kind != "filler"]
        if kinds[0] == "than":
            end = next(
                (at for at in range(name + 1, len(tokens)) if tokens[at].kind in (*_STARTS, "comma")), len(tokens)
            )
            result[index:end] = [*tokens[comma + 1 : end], *lead]
        elif set(kinds) & _PREDICATES:
            lead = [replace(one, kind="filler") if one.text.lower() in _SEQUENCE else one for one in lead]
            result[index : name + 1] = [tokens[name], *lead, *rest[:-1]]
    return result


def drop_lead(tokens: list[Token]) -> list[Token]:
    """The tokens with "Following initial deterioration, ..." as words that say nothing."""
    result = list(tokens)
    for index in range(len(tokens)):
        if tokens[index].text.lower() not in _LEADS or (index and tokens[index - 1].kind not in _STARTS):
            continue
        end = next((at for at in range(index, min(index + _REACH, len(tokens))) if tokens[at].kind == "comma"), None)
        lead = tokens[index:end] if end is not None else []
        kinds = {one.kind for one in lead}
        if not lead or not kinds & {"trend", "level"} or not kinds <= _SILENT | {tokens[index].kind}:
            continue
        if any(one.kind == "word" and one.meaning is None for one in lead[1:]):
            continue
        result[index:end] = [replace(one, kind="filler", meaning=None) for one in lead]
    return result


def _phrase(tokens: list[Token], index: int) -> tuple[int, int] | None:
    """The places of the comma behind the phrase that begins at `index`, and of the name behind the comma."""
    comma = None
    for place in range(index, min(index + _REACH, len(tokens))):
        token = tokens[place]
        if token.kind == "comma":
            comma = place
            break
        if token.kind not in _LEADING and not (place == index and token.text.lower() in _SEQUENCE):
            return None
    if comma is None or comma == index:
        return None
    lead = [token.kind for token in tokens[index:comma]]
    if not {"number", "pair", "span", "time", "than"} & set(lead) or set(lead) <= {"time", "filler", "soft"}:
        return None
    name = comma + 1
    while name < len(tokens) and tokens[name].kind in ("filler", "soft"):
        name += 1
    if name >= len(tokens):
        return None
    if tokens[name].kind == "time" and "than" in lead:  # "Compared with admission, the final heart rate"
        name += 1
    return (comma, name) if name < len(tokens) and tokens[name].kind == "name" else None
