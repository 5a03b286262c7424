"""A clause as statements: each predicate of each segment, for each subject it is about."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.clauses import Clause
from clinragen.claims.patterns import JUST
from clinragen.claims.segments import Segment, segments_of
from clinragen.claims.tokens import Token
from clinragen.claims.types import Predicate, Quantifier, Statement, Subject, When, is_absence

# Times that are points: two of them are two statements.
_POINTS = frozenset(("at", "start", "admission", "end"))
_OF_CHANGES = frozenset(("every", "persistent", "monotonic"))
_KEPT_ON = frozenset(("every", "persistent"))
_AT_ONCE = frozenset(("near", "pair", "between", "compare"))
_VALUES = frozenset(("near", "pair", "between", "range"))
# Statements about several readings at once: a count of readings says nothing about them.
_WHOLE = frozenset(("trend", "extreme", "range", "spread", "course", "versus", "factor"))


def statements_of(clause: Clause) -> list[Statement]:
    """The statements of one clause, in the order of its predicates."""
    result: list[Statement] = []
    segments = _in_a_row(clause, segments_of(clause))
    if clause.header and len(clause.subjects) > 1:
        # "Vitals: 62, 192/104, 14": which number belongs to which variable is not read
        segments = [one for one in segments if not any(said.kind in _VALUES for said in one.predicates)]
    segments = _to_each(clause, segments)
    if _is_distributed(clause, segments):
        last = segments[-1]
        for (subject, own), segment in zip(clause.subjects, segments, strict=True):
            timed = segment if segment.times else replace(segment, times=last.times)
            result += _statement(clause, timed, segment.predicates[0], subject, own)
        return result
    for segment in segments:
        for predicate in segment.predicates:
            for subject, own in _addressed(clause, predicate):
                result += _statement(clause, segment, predicate, subject, own)
    return result


def _in_a_row(clause: Clause, segments: list[Segment]) -> list[Segment]:
    """ "At hours 12, 16 and 20 the MAP was 59, 54 and 57": to each time its value."""
    times = [token.meaning.when for token in (*clause.leads, *clause.before) if token.kind == "time" and token.meaning]
    points = [when for when in times if when is not None and when.kind == "at"]
    bare = all([one.kind for one in segment.predicates] in (["near"], ["pair"]) for segment in segments)
    if not bare or not len(points) == len(times) == len(segments) > 1:
        return segments
    return [replace(segment, times=[when]) for segment, when in zip(segments, points, strict=True)]


def _to_each(clause: Clause, segments: list[Segment]) -> list[Segment]:
    """ "SBP and DBP were lowest at hour 6 (82 and 42)": the extreme and its time are those of each number."""
    if clause.conditions or not len(segments) == len(clause.subjects) > 1:
        return segments
    first = segments[0]
    if [one.kind for one in first.predicates] != ["extreme"] or first.predicates[0].first is None:
        return segments
    if any([one.kind for one in rest.predicates] != ["near"] or rest.times for rest in segments[1:]):
        return segments
    word = first.predicates[0].word
    return [
        replace(
            segment,
            predicates=[Predicate("extreme", word, segment.predicates[0].first)],
            times=list(first.times),
        )
        for segment in segments
    ]


def _same_extreme(segments: list[Segment]) -> bool:
    return len({segment.predicates[0].word for segment in segments}) == 1


def _is_distributed(clause: Clause, segments: list[Segment]) -> bool:
    """ "Heart rate and MAP were 132 and 54": to each name its number."""
    kinds = [[one.kind for one in segment.predicates] for segment in segments]
    single = all(one == ["near"] for one in kinds)
    single = single or (all(one == ["extreme"] for one in kinds) and _same_extreme(segments))
    return not clause.conditions and single and len(segments) == len(clause.subjects) > 1


def _addressed(clause: Clause, predicate: Predicate) -> list[tuple[Subject, Token | None]]:
    # "febrile, tachycardic to 130": a number belongs to the last of several conditions.
    numbered = predicate.first is not None and predicate.kind != "own"
    return clause.subjects[-1:] if clause.conditions and numbered else clause.subjects


def _statement(
    clause: Clause, segment: Segment, predicate: Predicate, subject: Subject, own: Token | None
) -> list[Statement]:
    if predicate.kind == "own":
        meaning = own.meaning if own is not None else None
        limited = segment.negation and any(one.kind in ("compare", "near") for one in segment.predicates)
        if meaning is None or meaning.says is None or (limited and meaning.says.kind == "level"):
            return []  # "no fever above 39", "the tachycardia never exceeded 130"
        number = next((one.first for one in segment.predicates if one.kind == "near"), None)
        if meaning.says.kind == "trend" and number is not None:
            by = meaning.says.word in ("rising", "falling")  # "weight gain of 4 kg", "defervesced to 36.8"
            predicate = replace(meaning.says, by=number) if by else replace(meaning.says, second=number)
        elif meaning.says.kind != "compare":
            # "became febrile at hour 16"
            began = own is not None and own.joined == "became" and any(when.kind == "at" for when in segment.times)
            predicate = replace(meaning.says, first=predicate.first, moved=began and meaning.says.kind == "level")
        else:
            predicate = meaning.says  # "on room air"
    elif own is not None and own.meaning is not None and own.meaning.says is not None and _is_limit(own.meaning.says):
        return []  # "on room air at 98 %": the number is of something else
    elif predicate.kind == "near" and _is_change(own) and any(one.kind == "own" for one in segment.predicates):
        return []
    negation, quantifier = segment.negation, segment.quantifier
    if predicate.kind == "measured" and segment.unmeasured:
        negation = "plain"
    points = [when for when in segment.times if when.kind in _POINTS]
    if len(points) > 1 and predicate.kind in ("level", "near", "compare", "against"):
        # "at the start and at the end": it is stated of both.
        others = [when for when in segment.times if when not in points]
        parts = [replace(segment, times=[*others, when]) for when in points]
        return [one for part in parts for one in _statement(clause, part, predicate, subject, None)]
    times = tuple(_dated(when, predicate, negation) for when in segment.times)
    span = (clause.start, max(clause.end if segment.end < 0 else segment.end, clause.start + 1))
    # "now 110": a value that was there at another time only is not supported
    plain = not (negation or quantifier) and predicate.kind in _AT_ONCE
    now = plain and [when.kind for when in times] == ["now"]
    times = tuple(when for when in times if when.kind != "now")
    if clause.again:
        times = tuple(When("window", when.first, whole=True) if when.kind == "from" else when for when in times)
    moving = any(one.kind in ("trend", "course", "versus", "factor") for one in segment.predicates)
    if own is not None and moving and predicate.kind == "level":
        times = ()  # "tachycardia resolved after hour 36": it was there, at some time
    within = _within(segment, own) if predicate.kind in ("near", "pair") and not moving and not negation else None
    return [
        Statement(
            subject,
            predicate,
            span,
            _counted(quantifier, predicate, segment),
            times,
            negation,
            persistent=segment.stays,
            hedged=segment.hedged,
            scope=_scope(clause, segment),
            unread=segment.unread or _is_recounted(quantifier, predicate) or _is_led(clause, predicate, times),
            unknown=clause.unknown,
            beside_times=((When("end"),),) if now else (),
            lasting=segment.lasting,
            only=segment.only,
            episode=segment.episode,
            within=within,
            by_name=own is not None and _has_own(segment) and predicate.kind == "level" and not negation,
        )
    ]


def _counted(quantifier: Quantifier | None, predicate: Predicate, segment: Segment) -> Quantifier | None:
    """The count of readings, where it is said of this predicate."""
    if predicate.kind in _WHOLE:
        kept_on = segment.steady or (quantifier is not None and quantifier.name in _KEPT_ON)
        if kept_on and predicate.kind == "trend" and not _is_monotonic(quantifier):
            return Quantifier("steady")  # "fell continuously"
        return quantifier if _is_monotonic(quantifier) else None
    limits = {one.kind for one in segment.predicates} & {"compare", "level", "own"}
    if quantifier is not None and quantifier.count is not None and predicate.kind == "near" and limits:
        return None  # "below 90 in three readings (88, 82, 86)"
    return quantifier


def _is_limit(predicate: Predicate) -> bool:
    return predicate.kind == "compare"


def _is_recounted(quantifier: Quantifier | None, predicate: Predicate) -> bool:
    """Whether a change, or an extreme, is said to have happened so many times, which is not counted."""
    if predicate.kind == "extreme":
        return quantifier is not None and quantifier.count not in (None, 1)
    return predicate.kind == "trend" and quantifier is not None and quantifier.name not in _OF_CHANGES


def _is_led(clause: Clause, predicate: Predicate, times: tuple[When, ...]) -> bool:
    """Whether a change or an extreme has its point of time from the clause before, whose alone it may be."""
    return clause.led and predicate.kind in _WHOLE and any(when.kind in _POINTS for when in times)


def _is_monotonic(quantifier: Quantifier | None) -> bool:
    return quantifier is not None and quantifier.name == "monotonic"


def _scope(clause: Clause, segment: Segment) -> str:
    """Of what time it is said: a time outside the stay, before it or to come, decides."""
    kinds = {when.kind for when in segment.times}
    return "past" if "outside" in kinds else "hypothetical" if "future" in kinds else clause.scope


def _has_own(segment: Segment) -> bool:
    """Whether the name of a condition says something in this segment."""
    return any(one.kind == "own" for one in segment.predicates)


def _is_change(own: Token | None) -> bool:
    """Whether a condition says how something changed ("weight gain")."""
    meaning = own.meaning if own is not None else None
    return meaning is not None and meaning.says is not None and meaning.says.kind == "trend"


def _within(segment: Segment, own: Token | None) -> Predicate | None:
    """The condition that a value is part of: "tachycardic at 130"."""
    says = own.meaning.says if own is not None and own.meaning is not None else None
    if says is None or says.kind != "level" or is_absence(says):
        return None
    return says if any(one.kind == "own" for one in segment.predicates) else None


def _dated(when: When, predicate: Predicate, negation: str) -> When:
    """ "now afebrile" is about the end; what is abnormal "now" may have been so at any time."""
    level = predicate.kind == "level"
    if when.by and level and negation != "never" and bool(negation) != is_absence(predicate):
        return When("until then", when.last)  # "afebrile by hour 36"
    if when.kind == "until" and level and bool(negation) != is_absence(predicate):
        return When("window", 0.0, when.first - JUST)  # "no fever until hour 8"
    if when.kind == "now" and (negation or (predicate.kind == "level" and is_absence(predicate))):
        return When("end")
    return when
