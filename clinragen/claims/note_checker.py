"""Checks the quotations of a rationale against the note: are the words there, and does the note affirm them?"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.patterns import load_patterns
from clinragen.claims.quotations import QUOTATION
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence
from clinragen.text.context import Interval, NoteContext, load_context_rules, read_context
from modeling_clinragen.note_clinragen import find_spans

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
# A cue that says when something was, not that it ended: "in 2015", "3/2015", "at age 12".
_DATE = re.compile(
    r"(?:in|circa|ca|during)\b.*\ds?|(?:[a-z]+\s|\d\d?\s?/\s?)?\d{4}|(?:at|when)\b.*\bage\w*(?: of)?",
    re.IGNORECASE | re.DOTALL,
)
# Characters before a quotation, and of its sentence, that are read for what the rationale says about it.
MAX_BEFORE, MAX_SENTENCE = 60, 2000
# What decides where several effects do, in this order.
_REASONS = {
    "negated": "the note negates it",
    "family": "the note says it of a relative",
    "historical": "the note mentions it as history only",
    "uncertain": "the note leaves it open",
    "hypothetical": "the note speaks of what may come",
}
_OPEN = frozenset(("uncertain", "hypothetical"))


@dataclass(frozen=True)
class _Place:
    """A place in the note where a quotation stands, and what changes its meaning there."""

    span: tuple[int, int]
    intervals: tuple[Interval, ...]
    effects: frozenset[str]


class NoteChecker:
    """Checks quotations against one note.

    Args:
        note: The note; without one, quotations are unverifiable.
        lexicon: Names of the diseases.
        history_counts: By disease key, whether a past mention still supports the disease.
        context: Reads the context of the note when a quotation is found in it; by default by the shipped rules.
    """

    def __init__(
        self,
        note: str | None,
        lexicon: Lexicon,
        history_counts: Mapping[str, bool],
        context: Callable[[], NoteContext] | None = None,
    ) -> None:
        self._note = note
        self._lexicon = lexicon
        self._history_counts = history_counts
        self._context = context
        self._rules = load_context_rules()
        self._read: NoteContext | None = None
        self._found: dict[str, list[_Place]] = {}

    def check(self, text: str) -> list[Claim]:
        """One claim per quotation, in order."""
        claims = []
        patterns = load_patterns()
        allowed: dict[tuple[int, int], bool | None] = {}
        ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
        for found in QUOTATION.finditer(text):
            number = bisect_left(ends, found.end())
            start, end = ends[max(0, bisect_left(ends, found.start()) - 1)], ends[number]
            sentence = (start, min(end, start + MAX_SENTENCE))
            if sentence not in allowed:
                allowed[sentence] = self._allows_history(text[slice(*sentence)])
            before = text[max(start, found.start() - MAX_BEFORE) : found.start()]
            denied = bool(patterns.denied.search(before))
            told_as_past = patterns.past.search(before) or patterns.past_behind.match(text, found.end(), end)
            history = True if told_as_past else allowed[sentence]
            verdict, evidence = self._verdict(found["words"].strip(" .,;:\t"), denied, history)
            claims.append(Claim(found.group(), found.span(), None, "note", verdict, evidence, negated=denied))
        return claims

    def _allows_history(self, sentence: str) -> bool | None:
        """Whether a past mention still supports each of the diseases that a sentence names; None if it names none."""
        named = self._lexicon.diseases_in(sentence)
        return all(self._history_counts.get(key, False) for key in named) if named else None

    def _verdict(self, quote: str, denied: bool, history_allowed: bool | None) -> tuple[str, Evidence]:
        if self._note is None:
            return UNVERIFIABLE, Evidence("there is no note to check against")
        if not quote:
            return UNVERIFIABLE, Evidence("the quotation is empty")
        places = self._places(self._note, quote)
        if not places:
            return (SUPPORTED if denied else CONTRADICTED), Evidence("the note does not contain these words")
        affirmed = [place for place in places if not place.effects]
        if denied:
            return self._verdict_of_denial(places, affirmed)
        if history_allowed is None:
            # Without a disease to judge by, a condition that lasts counts wherever the note lists it as history.
            history_allowed = bool(self._rules.lasting.find(quote))
            past = [place for place in places if not any(self._is_over(interval) for interval in place.intervals)]
        else:
            past = places
        affirmed += [place for place in past if history_allowed and place.effects == {"historical"}]
        if affirmed:
            return SUPPORTED, Evidence("the note says so", spans=_spans(affirmed))
        still_open = [place for place in places if place.effects - {"historical"} <= _OPEN and place.effects & _OPEN]
        if still_open:
            return UNVERIFIABLE, self._evidence(still_open)
        return CONTRADICTED, self._evidence(places)

    def _is_over(self, interval: Interval) -> bool:
        """Whether a cue behind a mention says that it ended ("resolved"), and not only when it was ("in 2015")."""
        return not interval.forward and not _DATE.fullmatch((self._note or "")[slice(*interval.cue)])

    def _verdict_of_denial(self, places: list[_Place], affirmed: list[_Place]) -> tuple[str, Evidence]:
        """The rationale says that the note does not affirm these words."""
        if negated := [place for place in places if "negated" in place.effects]:
            return SUPPORTED, self._evidence(negated)
        if affirmed:
            return CONTRADICTED, Evidence("the note affirms it", spans=_spans(affirmed))
        if past := [place for place in places if place.effects == {"historical"}]:
            return CONTRADICTED, self._evidence(past)
        return UNVERIFIABLE, self._evidence(places)

    def _evidence(self, places: list[_Place]) -> Evidence:
        """The reason that comes first, with the cue that is nearest to its mention."""
        effect = next(name for name in _REASONS if any(name in place.effects for place in places))
        deciding = [place for place in places if effect in place.effects]
        cues = [
            (_distance(place.span, one.cue), one.cue)
            for place in deciding
            for one in place.intervals
            if one.effect == effect
        ]
        cue = min(cues)[1]
        words = " ".join((self._note or "")[slice(*cue)].split())
        return Evidence(_REASONS[effect], spans=_spans(deciding), cue=words, cue_span=cue)

    def _places(self, note: str, quote: str) -> list[_Place]:
        """Where the words are, with the context effects on each place."""
        if quote not in self._found:
            spans = find_spans(note, quote)
            places = []
            for span in spans:
                if self._read is None:
                    self._read = self._context() if self._context else read_context(note, self._rules)
                intervals = tuple(self._read.deciding(*span))
                places.append(_Place(span, intervals, frozenset(interval.effect for interval in intervals)))
            self._found[quote] = places
        return self._found[quote]


def _spans(places: list[_Place]) -> tuple[tuple[int, int], ...]:
    return tuple(place.span for place in places)


def _distance(span: tuple[int, int], cue: tuple[int, int]) -> int:
    return max(span[0] - cue[1], cue[0] - span[1], 0)
