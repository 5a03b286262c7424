"""Statements that are tied to the time of another one: "135 when the SBP was 77", "febrile before hypotensive".

A reading of the first variable is not enough then: it has to be one of the time at which the second statement holds.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np

from clinragen.claims.clauses import Clause
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import HALF_HOUR, Readings, holds, window_of
from clinragen.claims.tokens import Token
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Statement, is_absence

# By the word between two clauses, how the first is related to the second in time.
_RELATIONS = {
    **dict.fromkeys(("when", "at the time of", "at the time that", "at the time when", "during"), "when"),
    **dict.fromkeys(("while", "whilst", "as"), "while"),
    **dict.fromkeys(("whenever", "every time", "each time", "any time", "always when"), "whenever"),
    **dict.fromkeys(("before", "prior to", "ahead of"), "before"),
    **dict.fromkeys(("after", "following"), "after"),
}
_TOGETHER = frozenset(("at the same time", "at the same hour", "in the same hour", "simultaneously"))
# What may stand between such a word and the name behind it.
_BESIDE = frozenset(
    ("filler", "soft", "restart", "pronoun", "copula", "reading", "extreme", "level", "negation", "only")
)
_STEPS = ("before", "after", "later", "earlier")
_AT = frozenset(("level", "compare", "crossing", "near", "between"))
# So many tokens stand between a name and the word that joins its clause to another, at most.
_REACH = 12


@dataclass(frozen=True)
class Link:
    """The clauses `main` and `other`, by their place, and how the first is related to the second in time."""

    main: int
    other: int
    relation: str


def link_clauses(tokens: list[Token], clauses: list[Clause]) -> list[Link]:
    """The clauses of a text that a conjunction of time joins; a step of time between two leaves the first one open."""
    links: list[Link] = []
    ends = [clause.end for clause in clauses]
    stops = [token.start for token in tokens if token.kind == "stop"]
    for index, token in enumerate(tokens):
        words = token.text.lower()
        step = token.kind == "time" and token.meaning is not None and token.meaning.when is not None
        if step and words.endswith(_STEPS) and token.meaning.when.kind == "unread":  # type: ignore[union-attr]
            place = bisect_right(ends, token.end)
            if 0 < place < len(clauses) and _leads_on(tokens, index, clauses[place]):
                clauses[place - 1].unknown = True  # "an hour after the temperature hit 39.7"
            continue
        if words in _TOGETHER:
            place = bisect_right(ends, token.start) - 1
            if place > 0 and not _ended(stops, clauses[place - 1], clauses[place]):
                links.append(Link(place, place - 1, "when"))  # "HR 135 and T 39.7 at the same time"
            continue
        relation = _RELATIONS.get(words)
        if relation is None:
            continue
        place = bisect_right(ends, token.end)
        if place == len(clauses) or not _leads_on(tokens, index, clauses[place]):
            continue
        if _opens(tokens, index):
            found = Link(place + 1, place, relation)
        else:
            only = index > 0 and tokens[index - 1].kind == "only" and relation == "when"
            found = Link(place - 1, place, "only when" if only else relation)
        if 0 <= found.main < len(clauses) and not _ended(stops, clauses[found.main], clauses[found.other]):
            links.append(found)
    return [one for one in links if _differ(clauses[one.main], clauses[one.other])]


def relate(stated: list[list[Statement]], links: list[Link]) -> None:
    """Give the statements of each clause those that they are related to in time."""
    for link in links:
        other = tuple(replace(one, span=(0, 0), beside=("", ())) for one in stated[link.other])
        stated[link.main] = [replace(one, beside=(link.relation, other)) for one in stated[link.main]]


def _leads_on(tokens: list[Token], index: int, clause: Clause) -> bool:
    """Whether nothing but small words stands between a token and the name of a clause."""
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind in ("name", "condition"):
            return token.start < clause.end
        if token.kind not in _BESIDE:
            return False
    return False


def _opens(tokens: list[Token], index: int) -> bool:
    return index == 0 or tokens[index - 1].kind in ("stop", "break")


def _ended(stops: list[int], one: Clause, other: Clause) -> bool:
    """Whether a sentence ends between two clauses."""
    first, last = sorted((one.start, other.start))
    return bisect_right(stops, first) != bisect_right(stops, last)


def _differ(one: Clause, other: Clause) -> bool:
    keys = [{key for subject, _ in clause.subjects for key in subject.variables} for clause in (one, other)]
    return keys[0].isdisjoint(keys[1]) and not (_timed(one) and _timed(other))


def _timed(clause: Clause) -> bool:
    parts = (*clause.leads, *clause.before, *(part.token for part in clause.parts))
    return any(token.kind == "time" for token in parts)


def moments(statement: Statement, readings: Readings, lexicon: Lexicon) -> np.ndarray | None:
    """Which readings a statement holds of; None where it is about several of them at once."""
    predicate = statement.predicate
    at: np.ndarray | None
    if predicate.kind in _AT:
        at = holds(readings, predicate, lexicon)
    elif predicate.kind == "extreme" and predicate.word == "either":
        at = holds(readings, replace(predicate, kind="near"), lexicon)  # "when it reached 135"
    elif predicate.kind == "extreme" and predicate.word in ("max", "min") and len(readings):
        values = readings.values
        at = np.asarray(values == (values.max() if predicate.word == "max" else values.min()))
    else:
        return None
    window = window_of(readings, statement.times, lexicon)
    if at is None or window.unknown:
        return None
    return (~at if statement.negation else at) & window.mask


def coincide(relation: str, mine: np.ndarray, hours: np.ndarray, theirs: np.ndarray, their_hours: np.ndarray) -> str:
    """Whether what holds of some readings stands in a relation of time to what holds of others.

    Args:
        relation: "when", "while", "whenever", "only when", "before" or "after".
        mine, theirs: Which readings of the one and of the other variable it holds of.
        hours, their_hours: Of these readings.
    """
    if not mine.any() or not theirs.any():
        return UNVERIFIABLE
    if relation in ("before", "after"):
        turn = float(their_hours[theirs][0])
        agrees = hours[mine][0] < turn if relation == "before" else hours[mine][-1] > turn
        return SUPPORTED if agrees else CONTRADICTED
    if relation == "only when":
        seen = mine & _near(hours, their_hours)
        inside = _near(hours, their_hours[theirs])
        return UNVERIFIABLE if not seen.any() else SUPPORTED if inside[seen].all() else CONTRADICTED
    then = _near(hours, their_hours[theirs])
    if not then.any():
        return UNVERIFIABLE
    agrees = mine[then].all() if relation == "whenever" else mine[then].any()
    # "While" may contrast two things that are not of the same time.
    return SUPPORTED if agrees else UNVERIFIABLE if relation == "while" else CONTRADICTED


def is_universal(statement: Statement) -> bool:
    """Whether it is said of all readings, so that it may be so at the other's time only."""
    return bool(statement.negation) or is_absence(statement.predicate)


def _near(hours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which hours lie within half an hour of one of the others."""
    return np.asarray(np.abs(hours[:, None] - others[None, :]).min(axis=1, initial=np.inf) <= HALF_HOUR)
