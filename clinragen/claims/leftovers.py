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
_WORDS = frozenset(("word", "soft"))
_NUMBERS = frozenset(("number", "pair", "span"))
_PREPOSITIONS = frozenset(("on", "for", "in", "of", "to", "by", "from", "at", "with", "into", "within", "during"))
# So many words a cause has at most.
_REACH = 20
_SAID = frozenset(("word", "soft", "blank", "name", "condition"))
_AGENT = frozenset(("word", "soft", "condition"))
_AGENTS = frozenset(("by", "from"))
# What may stand between "a normal temperature is" and its range.
_BESIDE_RANGE = frozenset(("quantifier", "filler", "hedge", "approximately"))
_ZONE_ENDS = frozenset(("stop", "break", "comma", "colon", "interpretation", "conjunction"))
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
    _leave_unknown(tokens, clauses)
    _leave_numbers(tokens, clauses)
    if not any(token.kind in _CHARGED for token in tokens):
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
        if only and not any(one.kind in ("time", "quantifier") for one in _tokens_of(clause)):
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
    known = following.kind in _WORDS and following.meaning is not None
    return not known or (following.meaning is not None and following.meaning.word == "agent")


def _leave_unknown(tokens: list[Token], clauses: list[Clause]) -> None:
    """A clause with a word that is not known is never supported: it may say something else than it seems to."""
    if not any(token.kind in _WORDS and token.meaning is None for token in tokens):
        return
    first = 0
    for index in range(len(tokens) + 1):
        if index < len(tokens) and tokens[index].kind not in _ZONE_ENDS:
            continue
        zone = tokens[first:index]
        # "meets SIRS criteria given a temperature of 39": the words right behind the verb are its object.
        explained = first > 0 and tokens[first - 1].kind == "interpretation"
        first = index + 1
        unknown = _unknown_word(zone, behind=explained)
        if unknown is None:
            continue
        places = {token.start for token in zone}
        for clause in clauses:
            owned = [one for one in _tokens_of(clause) if one not in clause.leads]
            if any(one.start in places for one in owned) or _stands_in(clause, zone):
                clause.unknown = True


def _leave_numbers(tokens: list[Token], clauses: list[Clause]) -> None:
    """A number that no clause has taken up, and no other noun either, leaves the clause before it open."""
    taken: set[int] | None = None
    for index, token in enumerate(tokens):
        if token.kind not in _NUMBERS:
            continue
        taken = taken if taken is not None else {one.start for clause in clauses for one in _tokens_of(clause)}
        if token.start in taken:
            continue
        following = tokens[index + 1].kind if index + 1 < len(tokens) else ""
        if following in ("word", "name") or not _is_said(tokens, index):
            continue
        place = bisect_left(clauses, token.start, key=_start)
        behind = clauses[place] if place < len(clauses) else None
        if behind is not None and _is_beside(tokens, index, behind):
            behind.unknown = True  # "after a rise to 157 the heart rate came down"
        elif place:
            clauses[place - 1].unknown = True


def _is_beside(tokens: list[Token], index: int, clause: Clause) -> bool:
    """Whether a clause begins behind a token in the same part of the sentence."""
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind in _ZONE_ENDS:
            return False
        if token.start >= clause.start:
            return True
    return False


def _is_said(tokens: list[Token], index: int) -> bool:
    """Whether a verb of change leads to a number ("then cooled off to 38.8"), not a noun that is not known."""
    particles, said = 0, False
    for token in reversed(tokens[:index]):
        if token.kind in _ZONE_ENDS:
            break
        if token.kind in ("name", "condition"):
            return False
        if token.kind == "word" and token.meaning is not None and token.meaning.word == "adjunct":
            continue  # "after a rise to 157"
        if token.kind == "word" and said:
            return False  # "lactate peaking at 6.2"
        particles += token.kind == "word"
        said = said or token.kind in ("trend", "extreme", "compare") or (token.kind == "soft" and not token.meaning)
    return said and particles <= 1


def _stands_in(clause: Clause, zone: list[Token]) -> bool:
    return any(token.kind == "name" and clause.start <= token.start < clause.end for token in zone)


def _unknown_word(zone: list[Token], *, behind: bool) -> Token | None:
    """The first word that is neither known to change nothing nor behind a preposition, as the first one may be."""
    for place, token in enumerate(zone):
        if token.kind in _WORDS:
            known = token.meaning is not None
            behind = behind or (known and token.meaning is not None and token.meaning.word == "adjunct")
            if not known and not behind and not token.text.lower().endswith("ly"):
                return token
        elif token.kind == "filler" and token.text.lower() in _PREPOSITIONS:
            # "the heart rate of the neighbour": whose it is
            behind = not (token.text.lower() == "of" and place > 0 and zone[place - 1].kind == "name")
        elif token.kind not in ("filler", "foreign", "blank"):
            behind = False
    return None


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
