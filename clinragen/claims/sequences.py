"""Changes one after the other: "rose to 132 and then fell", "fell after peaking at 132"."""

from __future__ import annotations

from clinragen.claims.segment import Segment
from clinragen.claims.types import Predicate, When

_BACK = ("resolving", "improving")
_ENDS = ("at", "until")


def in_sequence(segments: list[Segment]) -> None:
    """Give each of two opposite changes its part of the time: up to the turning point, and from there on."""
    for place in range(len(segments) - 1):
        first, second = segments[place], segments[place + 1]
        if second.backwards:
            first, second = second, first
        turn = _turn(first)
        if not turn or first.negation or second.negation or not _returns(second, turn):
            continue
        ends = [when for when in first.times if when.kind in _ENDS]
        if first.times and not ends:
            continue
        if not first.times and first.predicates[-1].kind == "trend":
            first.times = [When(f"until {turn}")]
        if not second.times:
            second.times = [When("from", ends[0].first) if ends else When(f"since {turn}")]


def _only(segment: Segment) -> Predicate | None:
    stated = [one for one in segment.predicates if one.kind != "own"]
    return stated[0] if len(stated) == 1 else None


def _turn(segment: Segment) -> str:
    """The extreme at which the change ends that a segment states."""
    predicate = _only(segment)
    if predicate is None:
        return ""
    if predicate.kind == "extreme":
        return predicate.word if predicate.word in ("max", "min") else ""
    return {"rising": "max", "falling": "min"}.get(predicate.word, "") if predicate.kind == "trend" else ""


def _returns(segment: Segment, turn: str) -> bool:
    predicate = _only(segment)
    if predicate is None or predicate.kind != "trend":
        return False
    return predicate.word in _BACK or predicate.word == ("falling" if turn == "max" else "rising")
