"""Reads the parts behind the names of a clause into segments."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Part
from clinragen.claims.parts_ahead import is_from_to, is_numbered, predicate_next
from clinragen.claims.segment import Segment
from clinragen.claims.shapes import Composite
from clinragen.claims.tokens import Token
from clinragen.claims.types import LIMIT, Predicate, Quantity

_UNLIMITED = 1e4  # "by more than 20"
_BEYOND = 1e-3
_STABLE = {"above": "at_most", "at_least": "below"}
# Words of comparison that bound an amount, and those that do so without "points" behind the number as well.
_OF_AMOUNTS = frozenset(("more than", "less than", "at least", "at most", "no more than", "not more than"))
_AMOUNTS = _OF_AMOUNTS | {"over", "under", "no less than", "not less than"}
# Changes that lead over a limit.
_PASSES = frozenset((("falling", "below"), ("falling", "at_most"), ("rising", "above"), ("rising", "at_least")))
# Words of comparison that often compare nothing ("over the stay").
_WEAK = frozenset(("over", "under", "beyond", "short of"))


def _goes(predicate: Predicate) -> bool:
    """Whether it says which way the values go."""
    return predicate.kind == "factor" or (predicate.kind == "trend" and predicate.word in ("rising", "falling"))


def _ends_there(following: Part | None) -> bool:
    return following is None or following.kind == "boundary"


class SegmentBuilder:
    """Reads the parts behind the names one after the other."""

    def __init__(self, first: Segment) -> None:
        self._done: list[Segment] = []
        self._now = first
        self._boundary = False
        self._alternative = False  # the last boundary was "or"
        self._backwards = False  # it was "after"
        self._held: list[Token] = []
        self._open_compare: tuple[str, str] | None = None  # its meaning, its word
        self._by = False  # it is behind "by"
        self._compared = ""  # its words, where no preposition leads to it
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
            word = part.token.meaning.word.lower() if part.token.meaning is not None else ""
            self._alternative, self._backwards = word in ("or", "nor"), word == "after"
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
            return  # "is not slow" is a level as well
        else:
            self._add_predicate(part, parts[index + 1] if index + 1 < len(parts) else None)
        self._after_copula = False

    def _leave_open(self) -> None:
        """A comparison without its number was not understood."""
        if self._open_compare is not None and self._open_compare[1] not in _WEAK:
            self._now.unread = True
            if self._now.predicates and self._now.predicates[-1].kind == "near":
                self._now.predicates.pop()  # "weighs 4 kg more than his brother"
        self._open_compare = None

    def _add_composite(self, part: Composite) -> None:
        predicate = part.predicate
        last = self._last()
        if predicate.kind == "course" and last is not None and last.kind in ("trend", "extreme") and not last.first:
            self._now.predicates.pop()
            predicate = replace(predicate, word=predicate.word or (last.word if last.kind == "trend" else ""))
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
            self._now = Segment(
                negation=negation, alternative=self._alternative, backwards=self._backwards, end=token.end
            )
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
            self._by = part.preposition == "by"
            self._compared = token.text.lower() if part.preposition == "" else ""
        elif part.kind == "level":
            self._begin(token)
            # "Heart rate increased" is a change, "heart rate is increased" a level.
            moved = token.other is not None and token.other.kind == "trend"
            moved = moved and (not self._after_copula or is_from_to(following))
            if moved and token.other is not None:
                self._now.predicates.append(Predicate("trend", token.other.word))
                self._now.steady = token.joined == "steadily"
                self._now.level = meaning.word
            else:
                self._now.predicates.append(Predicate("level", meaning.word))
        elif part.kind == "against":
            last = self._last()
            if last is not None and last.kind == "trend" and last.first is None:
                self._now.predicates.pop()  # "fell below the heart rate"
            self._begin(token)
            (other,) = meaning.subjects[0].variables
            self._now.predicates.append(Predicate("against", meaning.word, other=other))
        elif part.kind == "factor":
            self._begin(token)
            # "almost doubled"
            self._now.predicates.append(Predicate("factor", f"{'~' if self._approximate else ''}{meaning.word}"))
            self._approximate = False
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
            stated = self._now.predicates[-1] if self._now.predicates else None
            apposed = part.kind == "extreme" and self._boundary and stated is not None and stated.kind == "near"
            if apposed and stated is not None and meaning.word in ("max", "min") and _ends_there(following):
                self._now.predicates[-1] = replace(
                    stated, kind="extreme", word=meaning.word
                )  # "135, its lowest value"
                self._boundary = False
                return
            if (
                part.kind == "extreme"
                and meaning.word == "either"
                and stated is not None
                and stated.kind in ("extreme", "near")
                and stated.first is not None
                and not is_numbered(following)
            ):
                self._boundary = False  # "peak heart rate 132, reached at hour 24"
                return
            if part.kind == "trend" and last is not None and last.kind == "trend" and last.second is None:
                self._now.predicates.pop()  # "continues to rise", "began falling": one change, named last
            self._begin(token)
            self._bare_change = token.text.lower().endswith(("up", "down"))  # "up 4 kg" is by how much
            self._now.predicates.append(Predicate(part.kind, meaning.word))
            self._now.steady = token.joined == "steadily"
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
        if token.text.startswith("+") and part.kind == "number" and (last is None or last.kind != "trend"):
            self._begin(token)
            self._now.predicates.append(Predicate("trend", "rising", by=quantities[0]))
            return
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
        elif word == "outside":
            if len(quantities) == 2:
                self._begin(token)
                self._now.predicates.append(Predicate("outside", "", *quantities))
            else:
                self._now.unread = True
        elif word is not None:
            self._add_compare(token, word, quantities[0], last)
        elif part.kind == "span":
            self._add_span(token, quantities, last)
        elif last is not None and last.kind == "extreme" and last.first is None:
            self._now.predicates[-1] = replace(last, first=quantities[0])
            self._now.end = max(self._now.end, token.end)
        elif last is not None and last.kind == "trend" and part.preposition in ("to", "by", "from", "at", "of", ""):
            points = token.text.lower().endswith(("point", "points"))  # "dropped roughly 50 points"
            self._add_to_trend(token, "by" if points else part.preposition, quantities[0], last)
        else:
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", quantities[0]))

    def _add_compare(self, token: Token, word: str, number: Quantity, last: Predicate | None) -> None:
        if last is not None and last.kind == "trend" and (self._by or self._is_amount(last, number, token)):
            if last.word == "stable" and word in _STABLE:
                word = _STABLE[word]  # "did not change by more than 1"
            above = word in ("above", "at_least")
            # More than 40 is not 40 itself.
            beyond = _BEYOND if word in ("above", "below") else 0.0
            limits = (number.low + beyond, _UNLIMITED) if above else (0.0, number.high - beyond)
            by = replace(number, low=limits[0], high=limits[1], decimals=LIMIT)
            spread = last.word in ("erratic", "ranging", "stable")  # "varied by no more than 9"
            self._now.predicates[-1] = Predicate("spread", first=by) if spread else replace(last, by=by)
            self._now.end = max(self._now.end, token.end)
            return
        if last is not None and last.first is None and last.kind in ("extreme", "trend") and last.word != "stable":
            # "fell below 65", "peaking above 130": the limit is what is stated.
            self._now.predicates.pop()
            if last.kind == "trend" and last.word in ("resolving", "improving"):
                self._begin(token)
                self._now.predicates.append(Predicate("crossing", word, number))  # "recovered to above 92"
                return
            least = last.kind == "extreme" and (last.word, word) in (("min", "above"), ("max", "below"))
            self._now.stays = self._now.stays or least
        passed = last is not None and last.kind == "trend" and last.first is None
        moved = passed and last is not None and (last.word, word) in _PASSES
        self._begin(token)
        bounding = last is None and word in ("at_least", "at_most")
        self._now.predicates.append(Predicate("compare", word, number, moved=moved, bounding=bounding))

    def _is_amount(self, last: Predicate, number: Quantity, token: Token) -> bool:
        """ "dropped more than 60 points", "fell more than 40 mmHg": by so much, not to so much."""
        if last.word not in ("rising", "falling") or last.first is not None or self._compared not in _AMOUNTS:
            return False
        points = token.text.lower().endswith(("point", "points"))
        return points or (self._compared in _OF_AMOUNTS and (number.unit is not None or last.word == "falling"))

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
        elif token.joined == "-" and not (self._now.predicates or self._now.stays or self._after_copula):
            word = "range"  # "BG 98-160": from the least to the greatest
        elif token.joined == "from" and self._now.predicates and _goes(self._now.predicates[-1]):
            kind, word = ("trend", "rising" if both[0].low <= both[1].low else "falling")  # "doubled, from 18 to 32"
        elif token.joined == "from":
            kind, word = ("range", "") if both[0].low <= both[1].low else ("trend", "falling")
        self._begin(token)
        self._now.predicates.append(Predicate(kind, word, both[0], both[1]))

    def _add_to_trend(self, token: Token, preposition: str, number: Quantity, last: Predicate) -> None:
        if last.word in ("erratic", "ranging") and preposition == "by":
            self._now.predicates[-1] = Predicate("spread", first=number)
            self._now.end = max(self._now.end, token.end)
            return
        if last.word in ("erratic", "ranging", "stable"):
            self._begin(token)
            self._now.predicates.append(Predicate("near", "", number))
            return
        if preposition == "" and last.word in ("rising", "falling") and last.first is None and number.unit is not None:
            completed = replace(last, second=number, by=number)  # "fell 33 mmHg" is by how much, "fell 78" to what
        elif preposition in ("by", "of") or (preposition == "" and self._bare_change):
            completed = replace(last, by=number)
        elif preposition == "from":
            completed = replace(last, first=number)
        else:
            completed = replace(last, second=number)
        self._now.predicates[-1] = completed
        self._now.end = max(self._now.end, token.end)
