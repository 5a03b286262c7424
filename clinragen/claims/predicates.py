"""What is said about a group of names: its items as predicates, each with its quantifier, times and negation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clinragen.claims.lexer import Item
from clinragen.claims.types import Predicate, Quantifier, Quantity, Statement, Subject, When


@dataclass(frozen=True)
class Part:
    """An item of a group, with the preposition right before it."""

    item: Item
    preposition: str
    kind: str


@dataclass
class Group:
    """Names that are spoken of together, what stood before them, and what follows them."""

    leads: list[Item]
    before: list[Item]
    scope: str = "now"
    subjects: list[tuple[Subject, Item | None]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    conditions: bool = False
    inherited: bool = False
    interpreting: bool = False
    same: bool = False
    copula: bool = False
    conjunction: str = ""
    readings: bool = False  # "pH measurements", "heart rate readings"
    start: int = -1
    end: int = -1

    def add(self, item: Item) -> None:
        """Another name. The same variable a second time ("heart rate (HR)") is no further subject."""
        assert item.entry is not None
        own = item if item.entry.says is not None else None
        self.conditions = item.kind == "condition"
        known = [subject for subject, _ in self.subjects]
        self.subjects += [(subject, own) for subject in item.entry.subjects if subject not in known]
        if self.start < 0:
            self.start = min([item.start, *(before.start for before in self.before)])
        self.end = max(self.end, item.end)
        self.conjunction = ""

    def parts_boundary(self, item: Item) -> None:
        """A comma or a conjunction after the names: what follows may be another predicate."""
        if self.parts:
            self.parts.append(Part(item, "", "boundary"))

    @property
    def plainly_negated(self) -> bool:
        """Negated by a word that reaches one adjective only ("not hypotensive and ...")."""
        return any(item.kind == "negation" and item.text.lower() in ("not", "never") for item in self.before)

    def stands_alone(self, known: tuple[Subject, ...]) -> bool:
        """Whether it is a statement even in an interpretation: a verb or a number, or the variable at hand."""
        told = {key for subject in known for key in subject.variables}
        named = any(told & set(subject.variables) for subject, _ in self.subjects)
        return self.copula or any(part.kind in ("number", "pair", "span") for part in self.parts) or named


@dataclass
class _Segment:
    """Predicates that share their qualifiers."""

    predicates: list[Predicate] = field(default_factory=list)
    quantifier: Quantifier | None = None
    times: list[When] = field(default_factory=list)
    negation: str = ""
    hedged: bool = False
    stays: bool = False
    unmeasured: bool = False
    end: int = -1

    def qualify(self, item: Item) -> None:
        """Take one qualifier."""
        entry = item.entry
        if item.kind == "hedge":
            self.hedged = True
        elif item.kind == "stay":
            self.stays = True
        elif entry is None:
            return
        elif item.kind == "negation" and entry.word != "none":
            self.negation = "never" if "never" in (entry.word, self.negation) else "plain"
            if entry.word == "ended":
                self.times.append(When("end"))
        elif item.kind == "time" and entry.when is not None:
            self.times.append(entry.when)
        elif item.kind == "quantifier" and entry.quantifier is not None:
            self.quantifier = entry.quantifier
        self.end = max(self.end, item.end)


_QUALIFIERS = frozenset(("time", "quantifier", "hedge", "negation", "stay"))
_POINTS = frozenset(("at", "start", "admission", "end"))


def statements_of(group: Group) -> list[Statement]:
    """The statements of one group, by subject."""
    result: list[Statement] = []
    segments = _segments(group)
    for number, segment in enumerate(segments):
        for predicate in segment.predicates:
            for subject, own in _addressed(group, predicate, number == 0):
                result += _statement(group, segment, predicate, subject, own)
    return result


def _addressed(group: Group, predicate: Predicate, first: bool) -> list[tuple[Subject, Item | None]]:
    # "febrile, tachycardic to 130": a number belongs to the last of several conditions.
    numbered = predicate.first is not None and predicate.kind != "own"
    return group.subjects[-1:] if group.conditions and numbered else group.subjects


def _statement(
    group: Group, segment: _Segment, predicate: Predicate, subject: Subject, own: Item | None
) -> list[Statement]:
    if predicate.kind == "own":
        entry = own.entry if own is not None else None
        if entry is None or entry.says is None:
            return []
        predicate = replace(entry.says, first=predicate.first)
    negation, quantifier = segment.negation, segment.quantifier
    if predicate.kind == "measured" and segment.unmeasured:
        negation = "plain"
    points = [when for when in segment.times if when.kind in _POINTS]
    if len(points) > 1 and predicate.kind in ("level", "near", "compare"):
        # "at the start and at the end": it is said of both.
        others = [when for when in segment.times if when not in points]
        parts = [replace(segment, times=[*others, when]) for when in points]
        return [told for part in parts for told in _statement(group, part, predicate, subject, None)]
    span = (group.start, max(group.end if segment.end < 0 else segment.end, group.start + 1))
    times = tuple(segment.times)
    if own is not None and any(item.word == "resolving" for item in segment.predicates) and predicate.kind != "trend":
        times = ()  # "tachycardia resolved after hour 36": it was there, at some time
    scope = group.scope
    if any(when.kind == "outside" for when in segment.times):
        scope = "past"
    return [
        Statement(
            subject,
            predicate,
            span,
            quantifier if predicate.kind not in ("trend", "extreme", "range") else None,
            times,
            negation,
            segment.stays,
            segment.hedged,
            scope,
        )
    ]


def _segments(group: Group) -> list[_Segment]:
    """The predicates of a group in order, each set with its own qualifiers; those before the names hold for all."""
    first = _Segment()
    shared = _Segment()
    for item in group.leads:
        shared.qualify(item)
    for item in group.before:
        if item.kind in _QUALIFIERS:
            (shared if item.kind in ("negation", "hedge", "time") else first).qualify(item)
        elif item.entry is None or (group.conditions and item.entry.word in ("high", "low", "rising", "falling")):
            continue  # "spiked a fever", "high fever": the condition says it already
        elif item.kind in ("level", "trend", "extreme"):
            first.predicates.append(Predicate(item.kind, item.entry.word))
    if group.conditions or any(own is not None for _, own in group.subjects):
        first.predicates.append(Predicate("own"))
    if group.readings and not group.parts and not first.predicates and shared.negation:
        first.predicates.append(Predicate("measured"))  # "no pH measurements"
    builder = _Builder(first)
    for place, part in enumerate(group.parts):
        builder.take(part, group.parts, place)
    segments = builder.finish()
    for segment in segments:
        segment.quantifier = segment.quantifier or shared.quantifier
        segment.negation = segment.negation or shared.negation
        segment.hedged = segment.hedged or shared.hedged
        segment.stays = segment.stays or shared.stays
        if not segment.times or any(when.kind == "outside" for when in shared.times):
            segment.times = [*shared.times, *segment.times]
        segment.predicates = [item for item in segment.predicates if _complete(item, segment)]
    return segments


def _complete(predicate: Predicate, segment: _Segment) -> bool:
    if predicate.kind == "extreme" and predicate.first is None:
        return any(when.kind in ("at", "window", "start", "end", "final", "early", "later") for when in segment.times)
    if predicate.kind == "compare":
        return predicate.first is not None
    if predicate.kind == "measured":
        return len(segment.predicates) == 1
    return not (predicate.kind == "trend" and predicate.word == "ranging")


class _Builder:
    """Turns the parts behind the names into segments."""

    def __init__(self, first: _Segment) -> None:
        self._done: list[_Segment] = []
        self._now = first
        self._boundary = False
        self._held: list[Item] = []
        self._open_compare: str | None = None
        self._approximate = False
        self._after_copula = False

    def finish(self) -> list[_Segment]:
        """All segments, in order."""
        self._release()
        return [*self._done, self._now]

    def take(self, part: Part, parts: list[Part], place: int) -> None:
        """The next part."""
        item = part.item
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
        elif part.kind in _QUALIFIERS:
            if self._boundary and self._now.predicates and _predicate_next(parts, place):
                self._held.append(item)
            else:
                self._now.qualify(item)
        else:
            self._predicate(part)
        self._after_copula = False

    def _release(self) -> None:
        for item in self._held:
            self._now.qualify(item)
        self._held = []

    def _begin(self, item: Item) -> None:
        """Make room for a predicate: a new segment if a comma or "and" parts it from the last one."""
        if self._boundary and self._now.predicates:
            self._done.append(self._now)
            self._now = _Segment(end=item.end)
            for held in self._held:
                self._now.qualify(held)
            self._held = []
        self._boundary = False
        self._now.end = max(self._now.end, item.end)

    def _predicate(self, part: Part) -> None:
        item, entry = part.item, part.item.entry
        if part.kind in ("number", "pair", "span"):
            self._number(part)
            return
        if entry is None:
            return
        if part.kind == "compare":
            if self._boundary and self._now.predicates:
                self._begin(item)
            self._open_compare = entry.word
        elif part.kind == "level":
            self._begin(item)
            # "Heart rate increased" tells a change, "heart rate is increased" a level.
            moved = item.other is not None and item.other.kind == "trend" and not self._after_copula
            if moved and item.other is not None:
                self._now.predicates.append(Predicate("trend", item.other.word))
            else:
                self._now.predicates.append(Predicate("level", entry.word))
        elif part.kind in ("trend", "extreme"):
            last = self._now.predicates[-1] if self._now.predicates and not self._boundary else None
            if part.kind == "extreme" and last is not None and last.kind == "trend" and last.first is None:
                # "climbed as high as", "falls down to": the extreme is what is told.
                self._now.predicates[-1] = Predicate("extreme", entry.word)
                self._now.end = max(self._now.end, item.end)
                return
            if part.kind == "trend" and last is not None and last.kind == "trend" and last.second is None:
                self._now.predicates.pop()  # "continues to rise", "began falling": one change, told last
            self._begin(item)
            self._now.predicates.append(Predicate(part.kind, entry.word))
        elif part.kind in ("measured", "unmeasured"):
            self._begin(item)
            self._now.predicates.append(Predicate("measured"))
            self._now.unmeasured = part.kind == "unmeasured"

    def _number(self, part: Part) -> None:
        item = part.item
        quantities = tuple(replace(one, approximate=one.approximate or self._approximate) for one in item.numbers)
        word, self._open_compare, self._approximate = self._open_compare, None, False
        last = self._now.predicates[-1] if self._now.predicates and not self._boundary else None
        if part.kind == "pair":
            if last is not None and last.kind == "trend" and last.first is None:
                self._now.predicates.pop()  # "fell from 128/70 to 78/44": of two variables, so two values each
            self._begin(item)
            self._now.predicates.append(Predicate("pair", word or "", *quantities))
        elif word is not None:
            self._compare(item, word, quantities[0], last)
        elif part.kind == "span":
            self._span(item, quantities, last)
        elif last is not None and last.kind == "extreme" and last.first is None:
            self._now.predicates[-1] = replace(last, first=quantities[0])
            self._now.end = max(self._now.end, item.end)
        elif last is not None and last.kind == "trend" and part.preposition in ("to", "by", "from", "at", ""):
            self._trend(item, part.preposition, quantities[0], last)
        else:
            self._begin(item)
            self._now.predicates.append(Predicate("near", "", quantities[0]))

    def _compare(self, item: Item, word: str, number: Quantity, last: Predicate | None) -> None:
        if last is not None and last.first is None and last.kind in ("extreme", "trend") and last.word != "stable":
            # "fell below 65", "peaking above 130": the limit is what is told.
            self._now.predicates.pop()
            least = last.kind == "extreme" and (last.word, word) in (("min", "above"), ("max", "below"))
            self._now.stays = self._now.stays or least
        self._begin(item)
        self._now.predicates.append(Predicate("compare", word, number))

    def _span(self, item: Item, both: tuple[Quantity, ...], last: Predicate | None) -> None:
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
            self._begin(item)
            self._now.predicates.append(Predicate("extreme", last.word, joined))
            return
        elif both[0].decimals < 0:
            # "in the 120s to 130s": some readings are there, as with "in the 120s".
            joined = replace(both[0], high=both[1].high)
            self._begin(item)
            self._now.predicates.append(Predicate("near", "", joined))
            return
        elif item.joined == "from":
            kind, word = ("range", "") if both[0].low <= both[1].low else ("trend", "falling")
        self._begin(item)
        self._now.predicates.append(Predicate(kind, word, *both))

    def _trend(self, item: Item, preposition: str, number: Quantity, last: Predicate) -> None:
        if last.word in ("erratic", "ranging", "stable"):
            self._begin(item)
            self._now.predicates.append(Predicate("near", "", number))
            return
        if preposition == "by":
            told = replace(last, by=number)
        elif preposition == "from":
            told = replace(last, first=number)
        else:
            told = replace(last, second=number)
        self._now.predicates[-1] = told
        self._now.end = max(self._now.end, item.end)


def _predicate_next(parts: list[Part], place: int) -> bool:
    """Whether a predicate follows before the next comma or conjunction."""
    for part in parts[place + 1 : place + 9]:
        if part.kind == "boundary":
            return False
        if part.kind not in _QUALIFIERS and part.kind not in ("copula", "approximately"):
            return True
    return False
