"""The parts of a clause as segments: predicates that share their quantifier, times and negation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Clause, Part
from clinragen.claims.lexer import Token
from clinragen.claims.parts_ahead import is_from_to, is_numbered, predicate_next
from clinragen.claims.shapes import Composite, composed
from clinragen.claims.types import Predicate, Quantifier, Quantity, When

# Times with which a bare extreme ("peaked at hour 20") is complete.
_EXTREME_TIMES = ("at", "window", "start", "end", "final", "early", "later")
# Words of comparison that often compare nothing ("over the stay").
_WEAK = frozenset(("over", "under", "beyond", "short of"))


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
    unread: bool = False
    only: bool = False
    reversed: bool = False  # "it is not true that ..."
    ended: bool = False  # "no longer"
    lasting: When | None = None
    end: int = -1

    def qualify(self, token: Token) -> None:
        """Add one qualifier."""
        meaning = token.meaning
        if token.kind == "hedge":
            self.hedged = True
        elif token.kind == "stay":
            self.stays = True
        elif token.kind == "only":
            self.only = True
            return
        elif meaning is None:
            return
        elif token.kind == "negation" and meaning.word == "reversed":
            self.reversed = True
        elif token.kind == "negation" and meaning.word != "none":
            self.negation = "never" if "never" in (meaning.word, self.negation) else "plain"
            self.ended = self.ended or meaning.word == "ended"
        elif token.kind == "time" and meaning.when is not None:
            if meaning.when.kind == "lasting":
                self.unread = self.unread or self.lasting is not None
                self.lasting = meaning.when
            elif meaning.when.kind == "unread":
                self.unread = True
            else:
                self.times.append(meaning.when)
        elif token.kind == "quantifier" and meaning.quantifier is not None:
            self.unread = self.unread or self.quantifier not in (None, meaning.quantifier)
            self.quantifier = meaning.quantifier
        self.end = max(self.end, token.end)


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
    builder = _SegmentBuilder(first)
    for index, part in enumerate(parts):
        builder.add(part, parts, index)
    segments = builder.finish()
    for segment in segments:
        segment.quantifier = segment.quantifier or shared.quantifier
        segment.negation = segment.negation or shared.negation
        segment.hedged = segment.hedged or shared.hedged
        segment.stays = segment.stays or shared.stays
        if segment.reversed or shared.reversed:
            segment.negation = "" if segment.negation else "plain"
        segment.only = segment.only or shared.only
        segment.lasting = segment.lasting or shared.lasting
        segment.unread = segment.unread or shared.unread
        if not segment.times or any(when.kind == "outside" for when in shared.times):
            segment.times = [*shared.times, *segment.times]
        if segment.ended or shared.ended:
            segment.times = [_by_then(when) for when in segment.times] or [When("end")]
        complete = [one for one in segment.predicates if _is_complete(one, segment)]
        # "fastest" without its number changes what is said beside it
        left = [one for one in segment.predicates if one not in complete]
        segment.unread = segment.unread or any(one.kind == "extreme" and one.word != "either" for one in left)
        segment.predicates = complete
    return segments


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
    if meaning is not None and token.kind in ("level", "trend", "extreme") and not said:
        predicates.append(Predicate(token.kind, meaning.word))


def _by_then(when: When) -> When:
    """ "no longer febrile by hour 36" is about the last reading until then."""
    first_hours = when.kind == "window" and when.first == 0 and not when.whole
    return When("until then", when.last) if first_hours else when


def _awaits(predicate: Predicate) -> bool:
    return predicate.kind == "extreme" and predicate.first is None


def _comparatives(clause: Clause) -> list[Part]:
    """ "a higher heart rate at hour 16 than at hour 4": what stands before the name is completed behind it."""
    return [Part(token, "", token.kind) for token in clause.before if token.kind == "comparative"]


def _is_complete(predicate: Predicate, segment: Segment) -> bool:
    if predicate.kind == "extreme" and predicate.first is None and predicate.word == "either":
        return False
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
        self._alternative = False  # the last boundary was "or"
        self._held: list[Token] = []
        self._open_compare: tuple[str, str] | None = None  # its meaning, its word
        self._approximate = False
        self._after_copula = False
        self._bare_change = False

    def finish(self) -> list[Segment]:
        """All segments, in order."""
        self._release()
        self._leave_open()
        return [*self._done, self._now]

    def add(self, part: Part, parts: list[Part], index: int) -> None:
        """Read the next part, which is `parts[index]`."""
        if part.kind == "boundary":
            self._release()
            self._leave_open()
            self._boundary = True
            self._alternative = part.token.meaning is not None and part.token.meaning.word.lower() in ("or", "nor")
            self._approximate = False
        elif part.kind == "copula":
            self._after_copula = True
            return
        elif part.kind == "approximately":
            self._approximate = True
            return
        elif part.kind in ("unread", "than", "comparative", "ratio"):
            self._now.unread = True
            self._now.end = max(self._now.end, part.token.end)
        elif isinstance(part, Composite):
            self._add_composite(part)
        elif part.kind in QUALIFIERS:
            if self._boundary and self._now.predicates and predicate_next(parts, index):
                self._held.append(part.token)
            else:
                self._now.qualify(part.token)
        else:
            self._add_predicate(part, parts[index + 1] if index + 1 < len(parts) else None)
        self._after_copula = False

    def _leave_open(self) -> None:
        """A comparison without its number was not understood."""
        if self._open_compare is not None and self._open_compare[1] not in _WEAK:
            self._now.unread = True
        self._open_compare = None

    def _add_composite(self, part: Composite) -> None:
        predicate = part.predicate
        last = self._last()
        if predicate.kind == "course" and last is not None and last.kind in ("trend", "extreme") and not last.first:
            self._now.predicates.pop()
            predicate = replace(predicate, word=last.word if last.kind == "trend" else "")
        self._begin(part.token)
        self._now.predicates.append(predicate)

    def _release(self) -> None:
        for token in self._held:
            self._now.qualify(token)
        self._held = []

    def _begin(self, token: Token) -> None:
        """Make room for a predicate: a new segment if a comma or "and" separates it from the last one."""
        if self._boundary and self._now.predicates:
            self._done.append(self._now)
            # "did not fall below 110 or rise above 130"
            negation = self._now.negation if self._alternative else ""
            self._now = Segment(negation=negation, end=token.end)
            for held in self._held:
                self._now.qualify(held)
            self._held = []
        self._boundary = False
        self._now.end = max(self._now.end, token.end)

    def _last(self) -> Predicate | None:
        """The predicate that what follows may complete."""
        return self._now.predicates[-1] if self._now.predicates and not self._boundary else None

    def _add_predicate(self, part: Part, following: Part | None) -> None:
        token, meaning = part.token, part.token.meaning
        if part.kind in NUMBERS:
            self._add_number(part)
            return
        if meaning is None:
            return
        if part.kind == "compare":
            if self._boundary and self._now.predicates:
                self._begin(token)
            self._leave_open()
            self._open_compare = (meaning.word, token.text.lower())
        elif part.kind == "level":
            self._begin(token)
            # "Heart rate increased" is a change, "heart rate is increased" a level.
            moved = token.other is not None and token.other.kind == "trend"
            moved = moved and (not self._after_copula or is_from_to(following))
            if moved and token.other is not None:
                self._now.predicates.append(Predicate("trend", token.other.word))
            else:
                self._now.predicates.append(Predicate("level", meaning.word))
        elif part.kind == "factor":
            self._begin(token)
            self._now.predicates.append(Predicate("factor", meaning.word))
        elif part.kind in ("trend", "extreme"):
            last = self._last()
            if (
                part.kind == "extreme"
                and last is not None
                and last.first is None
                and last.kind in ("trend", "extreme")
            ):
                # "climbed as high as", "falls down to": the extreme is what is stated.
                self._now.predicates[-1] = Predicate("extreme", meaning.word)
                self._now.end = max(self._now.end, token.end)
                return
            if (
                part.kind == "extreme"
                and last is not None
                and last.kind in ("near", "pair")
                and not is_numbered(following)
            ):
                # "130 at its highest", "118 was the fastest", "78/42 (lowest)"
                kind = "extreme" if last.kind == "near" else "pair"
                self._now.predicates[-1] = replace(last, kind=kind, word=meaning.word)
                self._now.end = max(self._now.end, token.end)
                return
            if part.kind == "trend" and last is not None and last.kind == "trend" and last.second is None:
                self._now.predicates.pop()  # "continues to rise", "began falling": one change, named last
            self._begin(token)
            self._bare_change = token.text.lower().endswith(("up", "down"))  # "up 4 kg" is by how much
            self._now.predicates.append(Predicate(part.kind, meaning.word))
        elif part.kind == "measured" and self._now.predicates:
            self._boundary = False  # "Tmax 39.4, recorded at hour 16", "the lowest pressure recorded was 63"
        elif part.kind in ("measured", "unmeasured"):
            self._begin(token)
            self._now.predicates.append(Predicate("measured"))
            self._now.unmeasured = part.kind == "unmeasured"

    def _add_number(self, part: Part) -> None:
        token = part.token
        quantities = tuple(replace(one, approximate=one.approximate or self._approximate) for one in token.numbers)
        word = self._open_compare[0] if self._open_compare is not None else None
        self._open_compare, self._approximate = None, False
        last = self._last()
        if last is not None and last.kind == "versus":
            self._now.unread = True  # "was below that at hour 0 (87)"
            return
        if part.preposition == "by" and part.kind == "number" and (last is None or last.kind != "trend"):
            self._now.unread = True  # "exceeded the first one by 40"
            return
        if part.kind == "pair":
            if last is not None and last.kind == "trend" and last.first is None:
                self._now.predicates.pop()  # "fell from 128/70 to 78/44": two variables with two values each
            elif last is not None and last.kind == "extreme" and last.first is None:
                word = self._now.predicates.pop().word  # "lowest 78/44"
            self._begin(token)
            self._now.predicates.append(Predicate("pair", word or "", quantities[0], quantities[1]))
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
            if last.kind == "trend" and last.word in ("resolving", "improving"):
                self._begin(token)
                self._now.predicates.append(Predicate("crossing", word, number))  # "recovered to above 92"
                return
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
        self._now.predicates.append(Predicate(kind, word, both[0], both[1]))

    def _add_to_trend(self, token: Token, preposition: str, number: Quantity, last: Predicate) -> None:
        if last.word in ("erratic", "ranging", "stable"):
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", number))
            return
        if preposition == "" and last.word in ("rising", "falling") and last.first is None and number.unit is not None:
            completed = replace(last, second=number, by=number)  # "fell 33 mmHg" is by how much, "fell 78" to what
        elif preposition == "by" or (preposition == "" and self._bare_change):
            completed = replace(last, by=number)
        elif preposition == "from":
            completed = replace(last, first=number)
        else:
            completed = replace(last, second=number)
        self._now.predicates[-1] = completed
        self._now.end = max(self._now.end, token.end)
