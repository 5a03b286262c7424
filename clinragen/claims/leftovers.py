"""The words that the parser did not take up: none that could change the meaning of a statement is passed over.

A negation, a count, a superlative, a comparison or a word such as "hardly" is either part of a statement or about
something else. Where neither can be seen, the statement beside it is left open: nothing is supported by half a
sentence.
"""

from __future__ import annotations

from bisect import bisect_left

from clinragen.claims.clauses import Clause
from clinragen.claims.lexicon import CAUSE
from clinragen.claims.tokens import Token
from clinragen.claims.unread import WORDS, ZONE_ENDS, leave_unread

_CHARGED = frozenset(
    (
        "negation",
        "quantifier",
        "extreme",
        "comparative",
        "ratio",
        "factor",
        "charged",
        "determiner",
        "onset",
        "ordinal",
    )
)
# So many words a cause has at most.
_REACH = 20
_SAID = frozenset(("word", "soft", "blank", "name", "condition"))
_AGENT = frozenset(("word", "soft", "condition"))
_AGENTS = frozenset(("by", "from"))
# What may stand between "a normal temperature is" and its range.
_BESIDE_RANGE = frozenset(("quantifier", "filler", "hedge", "approximately"))
# "Other than a dip, SpO2 was normal": the rest of the sentence does not hold as it stands.
_EXCLUSIONS = frozenset(("other than", "apart from", "aside from", "except", "except for", "excepting"))


def leave_open(tokens: list[Token], clauses: list[Clause]) -> None:
    """Leave the clauses open that stand beside a word of one sentence which no clause has taken up."""
    if not clauses:
        return
    if any(token.kind == "general" for token in tokens):
        for clause in clauses:
            clause.scope = "hypothetical"
    _give_away(tokens, clauses)
    _leave_other(tokens, clauses)
    _leave_exclusive(clauses)
    _leave_causes(tokens, clauses)
    leave_unread(tokens, clauses)
    if not any(token.kind in _CHARGED for token in tokens):
        return
    taken = {one.start for clause in clauses for one in clause.tokens}
    if any(token.kind == "charged" and token.text.lower() in _EXCLUSIONS for token in tokens):
        for clause in clauses:
            clause.scope = "unread" if clause.scope == "now" else clause.scope
    first = 0
    for index in range(len(tokens) + 1):
        if index < len(tokens) and tokens[index].kind not in ZONE_ENDS:
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


def _give_away(tokens: list[Token], clauses: list[Clause]) -> None:
    """ "The heart rate of the neighbour", "normal SpO2 is 95-100 %": it is not about this patient."""
    for index, token in enumerate(tokens):
        before = [one for one in tokens[max(0, index - 3) : index] if one.text.lower() != "the"]
        others = token.kind == "others" and [one.kind for one in before[-2:]] == ["name", "filler"]
        following = [one.kind for one in tokens[index + 1 : index + 6] if one.kind not in _BESIDE_RANGE]
        following = following[:3]
        normal = token.kind == "level" and token.meaning is not None and token.meaning.word == "normal"
        if others or (normal and following in (["name", "copula", "span"], ["name", "copula", "compare"])):
            for clause in clauses:
                if clause.start <= token.start:
                    clause.scope = "past" if others else "hypothetical"


def _leave_other(tokens: list[Token], clauses: list[Clause]) -> None:
    """ "Rather tachycardic than bradycardic": the second condition is not said to be there."""
    for index, token in enumerate(tokens):
        following = [one for one in tokens[index + 1 : index + 4] if one.kind not in ("filler", "soft")]
        if token.kind == "than" and [one.kind for one in following[:1]] == ["condition"]:
            place = bisect_left(clauses, following[0].start + 1, key=_start) - 1
            if place >= 0 and clauses[place].start > token.start:
                clauses[place].scope = "unread"


def _leave_exclusive(clauses: list[Clause]) -> None:
    """ "Only the heart rate was abnormal": that nothing else was is not checked."""
    for clause in clauses:
        only = any(one.kind == "only" for one in clause.before)
        if only and not any(one.kind in ("time", "quantifier") for one in clause.tokens):
            clause.unknown = True


def _leave_causes(tokens: list[Token], clauses: list[Clause]) -> None:
    """A cause that no reading shows ("due to dehydration"): what it is the cause of may be wrong, but not right.

    A cause that is a disease of the vocabulary is judged elsewhere.
    """
    for index, token in enumerate(tokens):
        if token.kind == "interpretation" and token.meaning is not None and token.meaning.word == CAUSE:
            named = _is_named(tokens, index)
        elif token.kind == "filler" and token.text.lower() in _AGENTS and _leads_to_agent(tokens, index):
            named = False
        else:
            continue
        place = bisect_left(clauses, token.start, key=_start)
        if place and not named:
            clauses[place - 1].unknown = True


def _start(clause: Clause) -> int:
    return clause.start


def _is_named(tokens: list[Token], index: int) -> bool:
    """Whether the cause behind `index` is a disease or a quotation, or nothing that is said in words."""
    words = False
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind in ("stop", "break", "comma", "colon"):
            break
        if token.kind == "blank" and not token.text:
            return True
        words = words or token.kind in _SAID
    return not words


def _leads_to_agent(tokens: list[Token], index: int) -> bool:
    """ "brought down by paracetamol", "tachycardic from pain"; not "measured by the nurse", "by hour 16"."""
    before = tokens[index - 1].kind if index else "stop"
    said = {"by": ("trend", "soft", "word", "factor"), "from": ("condition", "level", "trend")}[
        tokens[index].text.lower()
    ]
    following = next(
        (one for one in tokens[index + 1 : index + _REACH] if one.kind not in ("filler", "approximately")), None
    )
    if before not in said or following is None or following.kind not in _AGENT:
        return False
    known = following.kind in WORDS and following.meaning is not None
    return not known or (following.meaning is not None and following.meaning.word == "agent")


def _is_extreme(zone: list[Token], place: int) -> bool:
    """Whether an extreme with its number stands there, of a variable that is not named beside it."""
    if any(one.kind in ("word", "foreign") for one in zone[:place]):
        return False
    following = [one.kind for one in zone[place + 1 :] if one.kind not in ("soft", "filler", "approximately")]
    return zone[place].kind == "extreme" and following[:1] == ["number"]


def _changes(zone: list[Token], place: int, clause: Clause) -> bool:
    """Whether the word may belong to the clause: "HR 130 without rash" denies the rash."""
    token = zone[place]
    following = zone[place + 1].kind if place + 1 < len(zone) else ""
    if token.start < clause.start:
        kinds = [one.kind for one in zone[place + 1 :] if one.kind not in ("soft", "filler")]
        return not (token.kind == "negation" and kinds[:2] == ["word", "copula"])  # "no insulin was needed as ..."
    answers = following == "" and token.kind == "negation"  # "fever: no"
    return not answers and following not in ("word", "soft", "blank", "foreign", "filler")
