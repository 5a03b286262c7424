"""Conditions that something waits for: "extubation once FiO2 <= 0.4 and RR < 25", "to the ward when afebrile".

They say what is wanted, not what was measured. A sentence in the past tells what happened ("intubated when the SpO2
was 82 %").
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice, takewhile

from clinragen.claims.clauses import Clause
from clinragen.claims.tokens import Token

_WAITS = frozenset(("once", "when", "as soon as", "only when", "until", "after", "provided"))
# So many tokens the part has at most that waits.
_REACH = 12
_LEADING = frozenset(
    ("word", "soft", "filler", "foreign", "hypothetical", "blank", "denied", "goal", "only", "trend", "reading")
)
_ENDS_STAY = frozenset(("discharge", "by discharge"))
_PAST = frozenset(("was", "were", "had", "been", "had been", "has been", "have been", "did"))
# Past forms without -ed that tell of what was done.
_TOLD = frozenset(("began", "went", "came", "got", "gave", "took", "became", "saw", "found", "put", "brought", "left"))
_PLANS = frozenset(("planned", "scheduled", "needed", "intended", "proposed", "indicated", "required", "advised"))
_PAST_VERBS = frozenset(("fell", "rose", "sank", "went up", "went down", "came down", "came up", "shot up", "hit"))


def leave_wanted(tokens: list[Token], clauses: list[Clause]) -> None:
    """Leave open what a sentence without a statement of its own waits for."""
    ends = [clause.end for clause in clauses]
    first = 0
    for index, token in enumerate(tokens):
        if token.kind == "stop":
            first = index + 1
        if token.text.lower() not in _WAITS or token.kind in ("time", "quantifier"):
            continue
        if index - first > _REACH:
            continue
        main = tokens[first:index]
        words = [one for one in main if one.kind != "filler"]
        if not words or any(not _leads(one) or _tells(one) for one in main):
            continue
        said = list(takewhile(lambda one: one.kind != "stop", islice(tokens, index, None)))
        chosen = clauses[bisect_right(ends, token.end) : bisect_right(ends, said[-1].end)]
        if not any(_is_past(one) for one in said):
            for clause in chosen:
                clause.scope = "hypothetical" if clause.scope == "now" else clause.scope


def _leads(token: Token) -> bool:
    return token.kind in _LEADING or (token.kind == "time" and token.text.lower() in _ENDS_STAY)


def _tells(token: Token) -> bool:
    """Whether a word is a verb in the past, so that the sentence tells what happened."""
    word = token.text.lower()
    return word in _PAST or word in _TOLD or (word.endswith("ed") and len(word) > 4 and word not in _PLANS)


def _is_past(token: Token) -> bool:
    word = token.text.lower()
    return (
        word in _PAST
        or word in _PAST_VERBS
        or (token.kind in ("trend", "stay", "extreme", "soft") and word.endswith("ed") and word not in _PLANS)
    )
