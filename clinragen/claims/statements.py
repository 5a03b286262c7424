"""A clause as statements: each predicate of each segment, for each subject it is about."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.clauses import Clause
from clinragen.claims.lexer import Token
from clinragen.claims.segments import Segment, segments_of
from clinragen.claims.types import Predicate, Statement, Subject

# Times that are points: two of them are two statements.
_POINTS = frozenset(("at", "start", "admission", "end"))


def statements_of(clause: Clause) -> list[Statement]:
    """The statements of one clause, in the order of its predicates."""
    result: list[Statement] = []
    for segment in segments_of(clause):
        for predicate in segment.predicates:
            for subject, own in _addressed(clause, predicate):
                result += _statement(clause, segment, predicate, subject, own)
    return result


def _addressed(clause: Clause, predicate: Predicate) -> list[tuple[Subject, Token | None]]:
    # "febrile, tachycardic to 130": a number belongs to the last of several conditions.
    numbered = predicate.first is not None and predicate.kind != "own"
    return clause.subjects[-1:] if clause.conditions and numbered else clause.subjects


def _statement(
    clause: Clause, segment: Segment, predicate: Predicate, subject: Subject, own: Token | None
) -> list[Statement]:
    if predicate.kind == "own":
        meaning = own.meaning if own is not None else None
        if meaning is None or meaning.says is None:
            return []
        predicate = replace(meaning.says, first=predicate.first)
    negation, quantifier = segment.negation, segment.quantifier
    if predicate.kind == "measured" and segment.unmeasured:
        negation = "plain"
    points = [when for when in segment.times if when.kind in _POINTS]
    if len(points) > 1 and predicate.kind in ("level", "near", "compare"):
        # "at the start and at the end": it is stated of both.
        others = [when for when in segment.times if when not in points]
        parts = [replace(segment, times=[*others, when]) for when in points]
        return [one for part in parts for one in _statement(clause, part, predicate, subject, None)]
    span = (clause.start, max(clause.end if segment.end < 0 else segment.end, clause.start + 1))
    times = tuple(segment.times)
    resolving = any(one.word == "resolving" for one in segment.predicates)
    if own is not None and resolving and predicate.kind != "trend":
        times = ()  # "tachycardia resolved after hour 36": it was there, at some time
    return [
        Statement(
            subject,
            predicate,
            span,
            quantifier if predicate.kind not in ("trend", "extreme", "range") else None,
            times,
            negation,
            persistent=segment.stays,
            hedged=segment.hedged,
            scope="past" if any(when.kind == "outside" for when in segment.times) else clause.scope,
        )
    ]
