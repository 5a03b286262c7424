"""The parts of a clause as segments: predicates that share their quantifier, times and negation."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Clause, Part
from clinragen.claims.segment import Segment, begin_late, begin_there, by_then, is_complete, spanned, take_time
from clinragen.claims.segment_builder import SegmentBuilder
from clinragen.claims.sequences import in_sequence
from clinragen.claims.shapes import composed
from clinragen.claims.tokens import Token
from clinragen.claims.types import Predicate, When


def segments_of(clause: Clause) -> list[Segment]:
    """The segments of a clause in order, each with its own qualifiers; those before the names hold for all."""
    first = Segment()
    shared = Segment()
    for token in clause.leads:
        shared.qualify(token)
    parts = composed([*_comparatives(clause), *clause.parts])
    for token in clause.before:
        if token.kind in QUALIFIERS:
            wide = token.kind in ("negation", "hedge", "time") or (token.meaning and token.meaning.word == "of all")
            (shared if wide else first).qualify(token)
        else:
            _describe(first.predicates, token, clause)
    owns = [own.meaning.says for _, own in clause.subjects if own is not None and own.meaning is not None]
    if len(owns) == len(clause.subjects) == 1 and owns[0] is not None and owns[0].kind == "extreme":
        first.predicates.append(owns[0])  # "Tmax 39.4"
    elif clause.conditions or owns:
        first.predicates.append(Predicate("own"))
    if clause.readings and not clause.parts and not first.predicates and shared.negation:
        first.predicates.append(Predicate("measured"))  # "no pH measurements"
    builder = SegmentBuilder(first)
    for index, part in enumerate(parts):
        builder.add(part, parts, index)
    segments = builder.finish()
    for place, segment in enumerate(segments):
        segment.quantifier = segment.quantifier or shared.quantifier
        if not (place and clause.conditions and clause.before) or segment.alternative:
            segment.negation = segment.negation or shared.negation  # not in "without fever, maximum 37.0"
        segment.hedged = segment.hedged or shared.hedged
        segment.stays = segment.stays or shared.stays
        if segment.reversed or shared.reversed:
            segment.negation = "" if segment.negation else "plain"
        segment.only = segment.only or shared.only
        segment.episode = segment.episode or shared.episode
        segment.lasting = segment.lasting or shared.lasting
        segment.taking = segment.taking or shared.taking
        take_time(segment)
        segment.unread = segment.unread or shared.unread
        if not segment.times or any(when.kind == "outside" for when in shared.times):
            segment.times = [*shared.times, *segment.times]
        if segment.level and any(when.kind == "admission" for when in segment.times):
            _state(segment)
        if segment.ended or shared.ended:
            segment.times = [by_then(when) for when in segment.times] or [When("end")]
        if segment.onset or shared.onset:
            begin_there(segment, segment.onset or shared.onset)
        complete = [one for one in segment.predicates if is_complete(one, segment)]
        # "fastest" without its number changes what is said beside it
        left = [one for one in segment.predicates if one not in complete]
        segment.unread = segment.unread or any(one.kind == "extreme" and one.word != "either" for one in left)
        segment.predicates = complete
        if segment.quantifier is not None and any(one.word == "either" for one in complete):
            segment.unread = True  # "none of the first three reached 92 %": from which side is not said
        if segment.lasting is not None and segment.quantifier is not None and segment.quantifier.name == "few":
            segment.quantifier = None  # "brief, lasting less than 4 hours"
        segment.times = spanned(segment.times)
        if segment.negation and (segment.delayed or shared.delayed):
            begin_late(segment)
        if segment.negation and any(when.kind == "until" for when in segment.times):
            # "did not normalize until hour 36" says that it did so then
            segment.unread = segment.unread or all(one.kind == "trend" for one in segment.predicates)
    in_sequence(segments)
    return segments


def _state(segment: Segment) -> None:
    """ "On admission the saturation was reduced": nothing changes at the beginning, it is a level."""
    last = segment.predicates[-1:]
    if last and last[0].kind == "trend" and last[0].first is last[0].second is last[0].by is None:
        segment.predicates[-1] = Predicate("level", segment.level)


def _describe(predicates: list[Predicate], token: Token, clause: Clause) -> None:
    """Add the predicate that stands before the name ("low heart rate", "with 86 % saturation")."""
    meaning = token.meaning
    if token.kind in NUMBERS:
        if predicates and _awaits(predicates[-1]):
            predicates[-1] = replace(predicates[-1], first=token.numbers[0])  # "nadir 78 systolic"
            return
        kind = {"pair": "pair", "span": "between"}.get(token.kind, "near")
        predicates.append(Predicate(kind, "", token.numbers[0], token.numbers[1] if len(token.numbers) > 1 else None))
        return
    # "spiked a fever", "high fever": the condition says it already
    said = clause.conditions and meaning is not None and meaning.word in ("high", "low", "rising", "falling")
    if token.kind == "trend" and predicates and predicates[-1].kind == "trend":
        predicates.pop()  # "a steady decline in MAP"
    if meaning is not None and token.kind in ("level", "trend", "extreme") and not said:
        predicates.append(Predicate(token.kind, meaning.word))


def _awaits(predicate: Predicate) -> bool:
    return predicate.kind == "extreme" and predicate.first is None


def _comparatives(clause: Clause) -> list[Part]:
    """ "a higher heart rate at hour 16 than at hour 4": what stands before the name is completed behind it."""
    return [Part(token, "", token.kind) for token in clause.before if token.kind == "comparative"]
