"""Which parts of a note are negated, uncertain, historical, hypothetical or about relatives.

Rules in the manner of NegEx and ConText; the cues and their reach are data (`resources/context_cues.yaml`). A note is
read in four steps: its layout (`context_layout.py`), the items with a status of their own (`context_items.py`), the
cues, of which the longer one hides the shorter, and how far each of them reaches (`context_scopes.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace

from clinragen.text.context_antecedents import patient_place
from clinragen.text.context_cues import load_context_rules
from clinragen.text.context_items import Item, ItemIndex, find_items
from clinragen.text.context_layout import Layout
from clinragen.text.context_rules import ContextRules
from clinragen.text.context_scopes import Interval, Scopes
from clinragen.text.normal_form import normal_form
from clinragen.text.term_index import Word, split_words

# "? early infiltrate", "Dx: ? new stroke": a question mark in front of all that follows it up to a comma.
_QUESTION_BEFORE = re.compile(r"(?:\A|[(:,;\n.]|\s-|\s(?=\?(?:\w|\Z)))\s*\(?(?P<mark>\?)\)?[^,.;:?()\n]{0,40}\Z")
QUESTION_REACH = 60
_QUESTION = re.compile(r"[ \t]*(?:\(\?\)|\?)")
# "Heart failure or COPD?", "could this be a stroke this time?": a question mark behind its part of the sentence.
_QUESTION_BEHIND = re.compile(r"[^.;:!?\n]{0,80}(?P<mark>\?)")
_ASKED_WHY = re.compile(r"\b(?:why|how|when|where|who)\b[^.?!\n]*\Z", re.IGNORECASE)
# "Gout or a septic joint": "or" right beside a mention, but for "four or more".
_OR_BEHIND = re.compile(r"[ \t]+(?P<or>or)[ \t]+(?!(?:so|more|less|any|other|even|at least|not)\b)", re.IGNORECASE)
_OR_BEFORE = re.compile(r"\b(?P<or>or)[ \t]+(?:(?:a|an|early|acute|possible)[ \t]+){0,2}\Z", re.IGNORECASE)
CHOICE_REACH = 30
# A sentence of the story, not of a list of allergies.
_NARRATIVE = re.compile(
    r"\s*(?:(?:he|she|pt|(?:the )?patient)\s+)?(?:(?:is|was|has been)\s+)?"
    r"(?:now|here|today|admitted|present(?:s|ed|ing)|seen|brought|came|comes|transferred|referred|complain(?:s|ed|ing))\b",
    re.IGNORECASE,
)
# In a sentence with more intervals only the nearest of each kind are looked at, to read any text in linear time.
MANY_INTERVALS, NEAREST = 100, 20
# Sentences of a list with semicolons that are read back to the cue that introduced it, and most words of each.
LISTED_SENTENCES, LISTED_WORDS = 12, 8


class NoteContext:
    """Context effects at every position of one note; a sentence is read when it is first asked about."""

    def __init__(self, text: str, rules: ContextRules, words: list[Word]) -> None:
        self._text = text
        self._rules = rules
        self._asks, self._chooses = "?" in text, " or " in text.lower()
        self.words = words
        self._word_starts = [word.start for word in words]
        self._layout = Layout(text, rules)
        self._items = ItemIndex(find_items(text, rules.marks))
        self._sections = self._section_intervals()
        self._section_starts = [interval.start for interval in self._sections]
        self._read: dict[int, list[Interval]] = {}  # by the start of their sentence
        self._reaching: dict[int, list[Interval]] = {}  # with those of the next sentence that are about this one
        self._grouped: dict[int, list[tuple[list[int], list[Interval]]]] = {}  # those of long sentences
        self._introduced: dict[int, list[Interval]] = {}  # by the start of their line
        for begin, end in self._layout.introductions():
            for interval in self._sentence_intervals(begin, end):
                if interval.start >= end:
                    self._introduced.setdefault(text.rfind("\n", 0, interval.start) + 1, []).append(interval)

    def effects(self, start: int, end: int) -> set[str]:
        """Effects on a mention. A cue inside the mention itself ("absent breath sounds") does not count."""
        return {interval.effect for interval in self.deciding(start, end)}

    def deciding(self, start: int, end: int) -> list[Interval]:
        """The intervals that give a mention its effects; `cue` is what decided."""
        begin, stop = self._layout.sentence(start)
        intervals = self._sentence_intervals(begin, stop)
        if len(intervals) > MANY_INTERVALS:
            intervals = self._nearest(begin, intervals, start, end)
        found = [one for one in intervals if self._works_on(one, start, end)]
        if end > stop:
            last = self._layout.sentence(end - 1)
            found += [one for one in self._sentence_intervals(*last) if self._works_on(one, start, end)]
        if self._introduced:
            lines = self._introduced.get(self._text.rfind("\n", 0, start) + 1, [])
            found += [one for one in lines if self._works_on(one, start, end)]
        found += self._section(start, end, any(one.effect == "negated" for one in found))
        item = self._item_at(start, end)
        if item is not None:
            if item.status != "negated":
                # A status of its own outweighs a cue from outside: "denies pain, +fever".
                found = [interval for interval in found if self._stays(interval, item)]
            if item.status != "affirmed":
                found.append(Interval(item.start, item.end, item.status, item.cue))
        elif self._asks and (question := self._question(start, end)):
            found.append(Interval(start, end, "uncertain", question))
        elif self._chooses and not found and (choice := self._choice(start, end)):
            found.append(Interval(start, end, "uncertain", choice))
        return found

    def _nearest(self, begin: int, intervals: list[Interval], start: int, end: int) -> list[Interval]:
        """Of the many intervals of one sentence those whose cues are nearest, for each effect and direction."""
        if begin not in self._grouped:
            groups: dict[tuple[str, bool], list[Interval]] = {}
            for one in sorted(intervals, key=lambda one: one.cue):
                groups.setdefault((one.effect, one.forward), []).append(one)
            self._grouped[begin] = [([one.cue[0] for one in group], group) for group in groups.values()]
        near: list[Interval] = []
        for starts, group in self._grouped[begin]:
            number = bisect_left(starts, start)
            near += group[max(0, number - NEAREST) : number + NEAREST]
        return near

    def sentence(self, position: int) -> tuple[int, int]:
        """Start and end of the sentence that contains a character."""
        return self._layout.sentence(position)

    def _sentence_intervals(self, begin: int, end: int) -> list[Interval]:
        """The intervals of a sentence, and those of the next that are about it: "Hives at noon. None since." """
        if begin not in self._reaching:
            number = bisect_left(self._word_starts, end)
            intervals = self._own_intervals(begin, end)
            if number < len(self.words) and self.words[number].folded in self._rules.statements.leads:
                following = self._own_intervals(*self._layout.sentence(self.words[number].start))
                intervals = intervals + [one for one in following if not one.forward and one.start < end]
            self._reaching[begin] = intervals + self._listed(begin, end)
        return self._reaching[begin]

    def _own_intervals(self, begin: int, end: int) -> list[Interval]:
        if begin not in self._read:
            words = self._words_of(begin, end)
            intervals = list(
                Scopes(self._text, self._rules, self._layout, words, self._items, (begin, end)).intervals()
            )
            intervals += self._relatives(begin, end)
            self._read[begin] = intervals
        return self._read[begin]

    def _listed(self, begin: int, end: int) -> list[Interval]:
        """The effects of a cue with a colon on a sentence in its list: "negative for: fever, chills; syncope"."""
        place = begin
        for _ in range(LISTED_SENTENCES):
            before = self._text[max(0, place - 2) : place].rstrip(" ")
            words = self._words_of(place, end)
            if not before.endswith(";") or not 0 < len(words) <= LISTED_WORDS or self._own_intervals(place, end):
                return []
            if self._rules.terminators.find(self._text, words) or ":" in self._text[place:end]:
                return []
            place, end = self._layout.sentence(place - 1)
            found = [
                one
                for one in self._own_intervals(place, end)
                if one.forward and one.end == end and self._text.startswith(":", one.cue[1])
            ]
            if found:
                stop = self._layout.sentence(begin)[1]
                return [Interval(begin, stop, one.effect, one.cue) for one in found]
        return []

    def _words_of(self, begin: int, end: int) -> list[Word]:
        return self.words[bisect_left(self._word_starts, begin) : bisect_left(self._word_starts, end)]

    def _relatives(self, begin: int, end: int) -> Iterator[Interval]:
        """A sentence with a relative in front of a colon: "mother: diabetes"."""
        for heading in self._layout.headings_at(begin):
            if heading.name.lower() in self._rules.relatives.names:
                yield Interval(heading.start, end, "family", (heading.start, heading.end))

    def _works_on(self, interval: Interval, start: int, end: int) -> bool:
        first, last = interval.cue
        if interval.forward:
            if not interval.start <= start < interval.end:
                return False
        elif not interval.start < end <= interval.end:
            return False
        if start <= first and last <= end:
            return False
        gap = self._text[last:start] if interval.forward else self._text[end:first]
        return not interval.touching or not gap.strip(" -(")

    def _section(self, start: int, end: int, denied: bool) -> Iterator[Interval]:
        """The effect of the section that a mention stands in."""
        number = bisect_right(self._section_starts, start)
        if not number or not self._works_on(self._sections[number - 1], start, end):
            return
        section = self._sections[number - 1]
        if section.effect == "habits":
            if denied:
                yield replace(section, effect="historical")
        elif section.effect == "uncertain" and self._is_complaint(start, end):
            return
        elif not (
            self._is_subject(section, start, end)
            or (section.effect == "family" and self._is_patient(start))
            or (section.effect == "hypothetical" and self._is_narrative(section, start))
        ):
            yield section

    def _is_patient(self, start: int) -> bool:
        """Whether a sentence among those about relatives is about the patient: "He himself has gout"."""
        begin, end = self._layout.sentence(start)
        place = patient_place(self._text, self._rules, self._words_of(begin, end), start)
        relatives = self._rules.relatives.names
        return place < start and not any(word.text.lower() in relatives for word in self._words_of(place, end))

    def _is_narrative(self, section: Interval, start: int) -> bool:
        """Whether the story goes on behind a list of allergies: "Allergies: penicillin. Admitted with gout"."""
        begin, _ = self._layout.sentence(start)
        name = self._text[slice(*section.cue)].lower()
        return begin > section.cue[1] and "allerg" in name and _NARRATIVE.match(self._text, begin) is not None

    def _is_complaint(self, start: int, end: int) -> bool:
        """Whether a mention names a complaint: the indication of an examination tells it, and asks for a disease."""
        number = bisect_left(self._word_starts, start)
        last = bisect_left(self._word_starts, end)
        return any(word.folded in self._rules.complaints for word in self.words[number:last])

    def _is_subject(self, section: Interval, start: int, end: int) -> bool:
        """Whether a mention says itself what its section is about: "Allergies: penicillin allergy"."""
        if section.effect != "hypothetical":
            return False
        return not set(normal_form(self._text[slice(*section.cue)])).isdisjoint(normal_form(self._text[start:end]))

    def _item_at(self, start: int, end: int) -> Item | None:
        item = self._items.at(start)
        return None if item is None or (start <= item.cue[0] and item.cue[1] <= end) else item

    @staticmethod
    def _stays(interval: Interval, item: Item) -> bool:
        inside = item.start <= interval.cue[0] and interval.cue[1] <= item.end
        return inside or interval.effect not in ("negated", "uncertain")

    def _question(self, start: int, end: int) -> tuple[int, int] | None:
        """The question mark right behind a mention, or in front of its part of the sentence."""
        begin = max(0, start - QUESTION_REACH)
        before = _QUESTION_BEFORE.search(self._text[begin:start])
        if before and (before.start() or not begin):
            return begin + before.start("mark"), begin + before.end("mark")
        behind = _QUESTION.match(self._text, end)
        if behind:
            return behind.start(), behind.end()
        behind = _QUESTION_BEHIND.match(self._text, end)
        if behind is None or _ASKED_WHY.search(self._text[begin:start]):
            return None
        rest = self._text[end : behind.start("mark")]
        if "," in rest and not re.search(r"\bor\b", rest):
            return None  # "Chest pain since Monday, cause?"
        return behind.span("mark")

    def _choice(self, start: int, end: int) -> tuple[int, int] | None:
        """The "or" beside a mention: of two diseases one is meant; two complaints are mostly both there."""
        beside = _OR_BEHIND.match(self._text, end) or _OR_BEFORE.search(
            self._text, max(0, start - CHOICE_REACH), start
        )
        return None if beside is None or self._is_complaint(start, end) else beside.span("or")

    def _section_intervals(self) -> list[Interval]:
        # The label of a value ("Diabetes: yes") heads no section; a known one ("PMH: none") ends the section before.
        labels = {item.start for item in self._items.items}
        headings = [
            heading if heading.start not in labels else replace(heading, effect="none")
            for heading in self._layout.headings
            if heading.whole and (heading.known or heading.start not in labels)
        ]
        ends = [*(heading.start for heading in headings[1:]), len(self._text)]
        return [
            Interval(heading.start, end, heading.effect, (heading.start, heading.end))
            for heading, end in zip(headings, ends, strict=False)
            if heading.effect != "none"
        ]


def read_context(text: str, rules: ContextRules, words: list[Word] | None = None) -> NoteContext:
    """Analyse one note; the result answers for any position in it."""
    return NoteContext(text, rules, split_words(text) if words is None else words)


__all__ = ["ContextRules", "Interval", "NoteContext", "load_context_rules", "read_context"]
