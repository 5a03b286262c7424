"""The parts of a clause as segments: predicates that share their quantifier, times and negation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Clause, Part
from clinragen.claims.lexer import Token
from clinragen.claims.types import Predicate, Quantifier, Quantity, When

# Times with which a bare extreme ("peaked at hour 20") is complete.
_EXTREME_TIMES = ("at", "window", "start", "end", "final", "early", "later")
# How far ahead a predicate is looked for that a qualifier may belong to.
_LOOKAHEAD = 8


@dataclass
class Segment:
    """Predicates with their shared qualifiers; `end` is the last character of the last one, -1 for the clause's."""

    predicates: list[Predicate] = field(default_factory=list)
    quantifier: Quantifier | None = None
    times: list[When] = field(default_factory=list)
    negation: str = ""
    hedged: bool = False
    stays: bool = False
    unmeasured: bool = False
    end: int = -1

    def qualify(self, token: Token) -> None:
        """Add one qualifier."""
        meaning = token.meaning
        if token.kind == "hedge":
            self.hedged = True
        elif token.kind == "stay":
            self.stays = True
        elif meaning is None:
            return
        elif token.kind == "negation" and meaning.word != "none":
            self.negation = "never" if "never" in (meaning.word, self.negation) else "plain"
            if meaning.word == "ended":
                self.times.append(When("end"))
        elif token.kind == "time" and meaning.when is not None:
            self.times.append(meaning.when)
        elif token.kind == "quantifier" and meaning.quantifier is not None:
            self.quantifier = meaning.quantifier
        self.end = max(self.end, token.end)


def segments_of(clause: Clause) -> list[Segment]:
    """The segments of a clause in order, each with its own qualifiers; those before the names hold for all."""
    first = Segment()
    shared = Segment()
    for token in clause.leads:
        shared.qualify(token)
    for token in clause.before:
        if token.kind in QUALIFIERS:
            (shared if token.kind in ("negation", "hedge", "time") else first).qualify(token)
        elif token.meaning is None or (
            clause.conditions and token.meaning.word in ("high", "low", "rising", "falling")
        ):
            continue  # "spiked a fever", "high fever": the condition says it already
        elif token.kind in ("level", "trend", "extreme"):
            first.predicates.append(Predicate(token.kind, token.meaning.word))
    if clause.conditions or any(own is not None for _, own in clause.subjects):
        first.predicates.append(Predicate("own"))
    if clause.readings and not clause.parts and not first.predicates and shared.negation:
        first.predicates.append(Predicate("measured"))  # "no pH measurements"
    builder = _SegmentBuilder(first)
    for index, part in enumerate(clause.parts):
        builder.add(part, clause.parts, index)
    segments = builder.finish()
    for segment in segments:
        segment.quantifier = segment.quantifier or shared.quantifier
        segment.negation = segment.negation or shared.negation
        segment.hedged = segment.hedged or shared.hedged
        segment.stays = segment.stays or shared.stays
        if not segment.times or any(when.kind == "outside" for when in shared.times):
            segment.times = [*shared.times, *segment.times]
        segment.predicates = [one for one in segment.predicates if _is_complete(one, segment)]
    return segments


def _is_complete(predicate: Predicate, segment: Segment) -> bool:
    if predicate.kind == "extreme" and predicate.first is None:
        return any(when.kind in _EXTREME_TIMES for when in segment.times)
    if predicate.kind == "compare":
        return predicate.first is not None
    if predicate.kind == "measured":
        return len(segment.predicates) == 1
    return not (predicate.kind == "trend" and predicate.word == "ranging")


class _SegmentBuilder:
    """Reads the parts behind the names one after the other."""

    def __init__(self, first: Segment) -> None:
        self._done: list[Segment] = []
        self._now = first
        self._boundary = False
        self._held: list[Token] = []
        self._open_compare: str | None = None
        self._approximate = False
        self._after_copula = False

    def finish(self) -> list[Segment]:
        """All segments, in order."""
        self._release()
        return [*self._done, self._now]

    def add(self, part: Part, parts: list[Part], index: int) -> None:
        """Read the next part, which is `parts[index]`."""
        if part.kind == "boundary":
            self._release()
            self._boundary = True
            self._open_compare, self._approximate = None, False
        elif part.kind == "copula":
            self._after_copula = True
            return
        elif part.kind == "approximately":
            self._approximate = True
            return
        elif part.kind in QUALIFIERS:
            if self._boundary and self._now.predicates and _predicate_next(parts, index):
                self._held.append(part.token)
            else:
                self._now.qualify(part.token)
        else:
            self._add_predicate(part)
        self._after_copula = False

    def _release(self) -> None:
        for token in self._held:
            self._now.qualify(token)
        self._held = []

    def _begin(self, token: Token) -> None:
        """Make room for a predicate: a new segment if a comma or "and" separates it from the last one."""
        if self._boundary and self._now.predicates:
            self._done.append(self._now)
            self._now = Segment(end=token.end)
            for held in self._held:
                self._now.qualify(held)
            self._held = []
        self._boundary = False
        self._now.end = max(self._now.end, token.end)

    def _last(self) -> Predicate | None:
        """The predicate that what follows may complete."""
        return self._now.predicates[-1] if self._now.predicates and not self._boundary else None

    def _add_predicate(self, part: Part) -> None:
        token, meaning = part.token, part.token.meaning
        if part.kind in NUMBERS:
            self._add_number(part)
            return
        if meaning is None:
            return
        if part.kind == "compare":
            if self._boundary and self._now.predicates:
                self._begin(token)
            self._open_compare = meaning.word
        elif part.kind == "level":
            self._begin(token)
            # "Heart rate increased" is a change, "heart rate is increased" a level.
            moved = token.other is not None and token.other.kind == "trend" and not self._after_copula
            if moved and token.other is not None:
                self._now.predicates.append(Predicate("trend", token.other.word))
            else:
                self._now.predicates.append(Predicate("level", meaning.word))
        elif part.kind in ("trend", "extreme"):
            last = self._last()
            if part.kind == "extreme" and last is not None and last.kind == "trend" and last.first is None:
                # "climbed as high as", "falls down to": the extreme is what is stated.
                self._now.predicates[-1] = Predicate("extreme", meaning.word)
                self._now.end = max(self._now.end, token.end)
                return
            if part.kind == "trend" and last is not None and last.kind == "trend" and last.second is None:
                self._now.predicates.pop()  # "continues to rise", "began falling": one change, named last
            self._begin(token)
            self._now.predicates.append(Predicate(part.kind, meaning.word))
        elif part.kind in ("measured", "unmeasured"):
            self._begin(token)
            self._now.predicates.append(Predicate("measured"))
            self._now.unmeasured = part.kind == "unmeasured"

    def _add_number(self, part: Part) -> None:
        token = part.token
        quantities = tuple(replace(one, approximate=one.approximate or self._approximate) for one in token.numbers)
        word, self._open_compare, self._approximate = self._open_compare, None, False
        last = self._last()
        if part.kind == "pair":
            if last is not None and last.kind == "trend" and last.first is None:
                self._now.predicates.pop()  # "fell from 128/70 to 78/44": two variables with two values each
            self._begin(token)
            self._now.predicates.append(Predicate("pair", word or "", *quantities))
        elif word is not None:
            self._add_compare(token, word, quantities[0], last)
        elif part.kind == "span":
            self._add_span(token, quantities, last)
        elif last is not None and last.kind == "extreme" and last.first is None:
            self._now.predicates[-1] = replace(last, first=quantities[0])
            self._now.end = max(self._now.end, token.end)
        elif last is not None and last.kind == "trend" and part.preposition in ("to", "by", "from", "at", ""):
            self._add_to_trend(token, part.preposition, quantities[0], last)
        else:
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", quantities[0]))

    def _add_compare(self, token: Token, word: str, number: Quantity, last: Predicate | None) -> None:
        if last is not None and last.first is None and last.kind in ("extreme", "trend") and last.word != "stable":
            # "fell below 65", "peaking above 130": the limit is what is stated.
            self._now.predicates.pop()
            least = last.kind == "extreme" and (last.word, word) in (("min", "above"), ("max", "below"))
            self._now.stays = self._now.stays or least
        self._begin(token)
        self._now.predicates.append(Predicate("compare", word, number))

    def _add_span(self, token: Token, both: tuple[Quantity, ...], last: Predicate | None) -> None:
        kind, word = "between", ""
        if last is not None and last.kind == "trend" and last.first is None:
            kind, word = ("range", "") if last.word in ("erratic", "ranging") else ("trend", last.word)
            if last.word != "stable":
                self._now.predicates.pop()
            else:
                kind, word = "between", ""
        elif last is not None and last.kind == "extreme" and last.first is None:
            self._now.predicates.pop()
            joined = Quantity(both[0].low, both[1].high, both[0].decimals, both[0].unit, both[0].approximate)
            self._begin(token)
            self._now.predicates.append(Predicate("extreme", last.word, joined))
            return
        elif both[0].decimals < 0:
            # "in the 120s to 130s": some readings are there, as with "in the 120s".
            joined = replace(both[0], high=both[1].high)
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", joined))
            return
        elif token.joined == "from":
            kind, word = ("range", "") if both[0].low <= both[1].low else ("trend", "falling")
        self._begin(token)
        self._now.predicates.append(Predicate(kind, word, *both))

    def _add_to_trend(self, token: Token, preposition: str, number: Quantity, last: Predicate) -> None:
        if last.word in ("erratic", "ranging", "stable"):
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", number))
            return
        if preposition == "by":
            completed = replace(last, by=number)
        elif preposition == "from":
            completed = replace(last, first=number)
        else:
            completed = replace(last, second=number)
        self._now.predicates[-1] = completed
        self._now.end = max(self._now.end, token.end)


def _predicate_next(parts: list[Part], index: int) -> bool:
    """Whether a predicate follows before the next comma or conjunction."""
    for part in parts[index + 1 : index + 1 + _LOOKAHEAD]:
        if part.kind == "boundary":
            return False
        if part.kind not in QUALIFIERS and part.kind not in ("copula", "approximately"):
            return True
    return False
