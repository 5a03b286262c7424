"""The words that the parser did not take up: none that could change the meaning of a statement is passed over.

A negation, a count, a superlative, a comparison or a word such as "hardly" is either part of a statement or about
something else. Where neither can be seen, the statement beside it is left open: nothing is supported by half a
sentence.
"""

from __future__ import annotations

from clinragen.claims.clauses import Clause
from clinragen.claims.lexer import Token

_CHARGED = frozenset(("negation", "quantifier", "extreme", "comparative", "ratio", "factor", "charged", "determiner"))
_ZONE_ENDS = frozenset(("stop", "break", "comma", "colon", "interpretation", "conjunction"))
# "Other than a dip, SpO2 was normal": the rest of the sentence does not hold as it stands.
_EXCLUSIONS = frozenset(("other than", "apart from", "aside from", "except", "except for", "excepting"))


def leave_open(tokens: list[Token], clauses: list[Clause]) -> None:
    """Leave the clauses open that stand beside a word of one sentence which no clause has taken up."""
    if not clauses or not any(token.kind in _CHARGED for token in tokens):
        return
    taken = {one.start for clause in clauses for one in _tokens_of(clause)}
    if any(token.kind == "charged" and token.text.lower() in _EXCLUSIONS for token in tokens):
        for clause in clauses:
            clause.scope = "unread" if clause.scope == "now" else clause.scope
    first = 0
    for index in range(len(tokens) + 1):
        if index < len(tokens) and tokens[index].kind not in _ZONE_ENDS:
            continue
        zone = tokens[first:index]
        first = index + 1
        left = [place for place, token in enumerate(zone) if token.kind in _CHARGED and token.start not in taken]
        if not left:
            continue
        if _is_extreme(zone, left[0]):
            # "Heart rate is high, in keeping with shock, peaking near 180": it goes on with what was named last.
            before = [clause for clause in clauses if clause.start < zone[left[0]].start]
            if before and before[-1].scope == "now":
                before[-1].scope = "unread"
        for clause in clauses:
            beside = clause.scope == "now" and zone[0].start < clause.end and clause.start < zone[-1].end
            if beside and any(_changes(zone, place, clause) for place in left):
                clause.scope = "unread"


def _is_extreme(zone: list[Token], place: int) -> bool:
    """Whether an extreme with its number stands there, of a variable that is not named beside it."""
    if any(one.kind in ("word", "foreign") for one in zone[:place]):
        return False
    following = [one.kind for one in zone[place + 1 :] if one.kind not in ("soft", "filler", "approximately")]
    return zone[place].kind == "extreme" and following[:1] == ["number"]


def _tokens_of(clause: Clause) -> list[Token]:
    owns = [own for _, own in clause.subjects if own is not None]
    return [*clause.leads, *clause.before, *owns, *(part.token for part in clause.parts)]


def _changes(zone: list[Token], place: int, clause: Clause) -> bool:
    """Whether the word may belong to the clause: "HR 130 without rash" denies the rash."""
    token = zone[place]
    following = zone[place + 1].kind if place + 1 < len(zone) else ""
    if token.start < clause.start:
        kinds = [one.kind for one in zone[place + 1 :] if one.kind not in ("soft", "filler")]
        return not (token.kind == "negation" and kinds[:2] == ["word", "copula"])  # "no insulin was needed as ..."
    answers = following == "" and token.kind == "negation"  # "fever: no"
    return not answers and following not in ("word", "soft", "blank", "foreign", "filler")
