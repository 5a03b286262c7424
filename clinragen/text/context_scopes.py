"""How far each cue of a note works: the reach of its group, cut where something else begins."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clinragen.text.context_antecedents import (
    SentenceParts,
    antecedent_start,
    first_word,
    patient_place,
    second_statement,
)
from clinragen.text.context_items import ItemIndex
from clinragen.text.context_layout import Layout
from clinragen.text.context_lists import object_place, statement_start
from clinragen.text.context_reading import CueReader, answers_its_line
from clinragen.text.context_rules import ContextRules, Cue
from clinragen.text.term_index import Match, Word

# A list of negated items continues across a comma while its items have at most this many words.
LIST_ITEM_WORDS = 5

_CHUNK = re.compile(r",(?!\d{3})|\(|\)|\s-+\s")
_COLON = re.compile(r":(?!\d)")
# What only says that the reach of some cues goes on ends no reach.
_GOING_ON = frozenset(("relatives_go_on", "past_goes_on"))
# This ends what a history in front of it reaches, and nothing else.
_HISTORY_ENDS = frozenset(("history_ends",))
_NOTHING = frozenset(("no", "without", "none", "nothing"))
_DATE = re.compile(r"\d|\b(?:ago|last|previous|earlier|back)\b", re.IGNORECASE)
# A time behind a finding is that of the last of two events ("back again after the surgery in 2010").
_SINCE = re.compile(r"\b(?:since|after|following|before|than)\s", re.IGNORECASE)
_ITEM_START = re.compile(r"[,:;(]")
_ITEM_END = re.compile(r":[ ,]*\Z")
# What may stand between a cue and a verb that belongs to it: "whether the patient has".
_SUBJECT = re.compile(
    r"\s*(?:(?:you|he|she|they|it|i|we|the|a|patient|pt|there|this|that|any|ever)\b\s*)*", re.IGNORECASE
)
_CLAUSES = re.compile(r"\b(?:is|was|are|were|has|had|have)\b.*?(?P<new>\band\b)", re.DOTALL)
# "Family history negative for gout, positive for lupus": both are the relatives'.
_RESULTS = frozenset(("positive", "pos"))
_PATIENT_SUBJECT = re.compile(r"\b(?:he|she|they|the patient|patient|pt)\s+(?!(?:had|has)\b)", re.IGNORECASE)
_CLOSED = (",", ";", ".", ")", "!")


@dataclass(frozen=True, slots=True)
class Interval:
    """Characters `start` to `end` of a note have `effect`; `cue` is the span of the cue itself.

    A cue in front works on a mention that begins in the interval (`forward`), one behind on a mention that ends there;
    with `touching`, only a mention right beside the cue has the effect.
    """

    start: int
    end: int
    effect: str
    cue: tuple[int, int]
    forward: bool = True
    touching: bool = False


class Scopes:
    """The reaches of the cues of one sentence.

    Args:
        text, rules, layout, items: The note, the cues, and the note's structure.
        words: The words of the sentence.
        span: Its first and last character (exclusive) in the note.
    """

    def __init__(
        self,
        text: str,
        rules: ContextRules,
        layout: Layout,
        words: list[Word],
        items: ItemIndex,
        span: tuple[int, int],
    ) -> None:
        self._text = text
        self._rules = rules
        self._layout = layout
        self._items = items
        self._begin, self._end = span
        self._words = words
        reader = CueReader(text, rules, items, words, span)
        self._matches = reader.read()
        self._ends = reader.ends
        self._word_starts = [word.start for word in words] if self._matches else []
        found = rules.terminators.find(text, words) if self._matches else []
        # "No fever present, chills or cough": this is not "presents", though words are found without their plural.
        found = [match for match in found if text[match.start : match.end].lower() != "present"]
        found = [match for match in found if not _GOING_ON.issuperset(match.owners)]
        self._terminators = [match for match in found if not _HISTORY_ENDS.issuperset(match.owners)]
        self._history_ends = [match.start for match in found if not _HISTORY_ENDS.isdisjoint(match.owners)]
        self._terminator_starts = [match.start for match in self._terminators]
        self._chunks = [found.span() for found in _CHUNK.finditer(text, *span)] if self._matches else []
        self._joins = [word.start for word in words if word.folded in ("or", "nor")] if self._matches else []

    def intervals(self) -> Iterator[Interval]:
        """The reach of each cue, in its sentence and in the list that it introduces."""
        for match in self._matches:
            span = (match.start, match.end)
            for start, end, cue in self._reached(match):
                yield Interval(start, end, cue.effect, span, cue.forward, cue.reach == "touch")

    def _reached(self, match: Match[Cue]) -> Iterator[tuple[int, int, Cue]]:
        """Start and end of what each cue of a match works on."""
        begin, end = self._limits(match)
        if match.start > begin + 1 and self._text[match.start - 1] == "-" and self._text[match.start - 2].isalnum():
            yield from self._hyphened(match, begin)
            return
        both = any(cue.forward for cue in match.owners) and not all(cue.forward for cue in match.owners)
        front, behind = self._closed_before(match.start, begin), self._closed_after(match, end)
        # "Infarction (excluded by troponin)"
        behind = behind or (self._text[match.start - 1 : match.start] == "(" and self._is_followed(match.end))
        named = both and not behind and not self._is_predicate(match.end)
        headed = self._layout.in_known_heading(match.start)
        for cue in match.owners:
            if headed and cue.dimension != "assertion":
                continue  # what "CLINICAL HISTORY:" means is said by its section
            # "absent", "resolved": beside the end of its part of the sentence such a cue looks one way only.
            # Before a noun ("with negative deflections") it says nothing of what is in front.
            if both and (
                (cue.forward and (behind or (not front and self._is_followed(match.end))))
                or (not cue.forward and ((named and cue.effect == "negated") or (front and not behind)))
            ):
                continue
            if not cue.forward:
                statement = cue.reach == "statement"
                if statement and first_word(self._text, match.start) in _NOTHING:
                    yield match.start, match.end, replace(cue, effect="negated", forward=True)  # "no recurrence"
                yield (
                    self._antecedent(match.start, begin) if statement else self._backward_start(match, cue, begin),
                    match.start,
                    cue,
                )
                continue
            # From the start of the cue: in "no prior history of MI" the term "history of MI" overlaps it.
            reach = self._forward_end(match.start, match.end, cue, end)
            yield match.start, reach, cue
            yield from self._introduced(match, cue, reach, end)

    def _hyphened(self, match: Match[Cue], begin: int) -> Iterator[tuple[int, int, Cue]]:
        """The second half of a word ("culture-negative endocarditis") works on the first half only."""
        for cue in match.owners:
            if not cue.forward:
                yield begin, match.start, replace(cue, reach="touch")

    def _introduced(self, match: Match[Cue], cue: Cue, reach: int, end: int) -> Iterator[tuple[int, int, Cue]]:
        """Reaches in the list below, if the cue's line introduces one ("Denies:")."""
        if reach < end or cue.reach == "touch":
            return
        for first, last in self._layout.block(end):
            yield first, self._forward_end(first, first, cue, last), cue

    def _words_from(self, place: int) -> list[Word]:
        return self._words[bisect_left(self._word_starts, place) :]

    def _limits(self, match: Match[Cue]) -> tuple[int, int]:
        """The sentence around a cue, cut to the item that the cue stands in and to the items around it."""
        item = self._items.at(match.start)
        if item is not None:
            return max(self._begin, item.start), min(self._end, item.end)
        before, after = self._items.limits(match.start, match.end)
        return max(self._begin, before), min(self._end, after)

    def _closed_before(self, start: int, begin: int) -> bool:
        before = self._text[begin:start].rstrip(" \t")
        return not before or before[-1] in ",;:(\n"

    def _closed_after(self, match: Match[Cue], sentence_end: int) -> bool:
        rest = self._text[match.end : sentence_end].lstrip()
        if answers_its_line(self._text, match.start, match.end):
            return True
        if rest.startswith(".") and rest.strip(" \t\n.;"):
            return False  # "colitis vs. ileus"
        return not rest or (rest.startswith(_CLOSED) and not self._rules.continuations.match(rest))

    def _is_followed(self, end: int) -> bool:
        """Whether a circumstance follows a cue, so that it is not about what follows ("excluded on MRI")."""
        number = bisect_left(self._word_starts, end)
        return number < len(self._words) and self._words[number].text.lower() in self._rules.followers

    def _is_predicate(self, end: int) -> bool:
        """Whether what follows a cue in the sentence is not what it is about ("negative on admission")."""
        number = bisect_left(self._word_starts, end)
        return number == len(self._words) or self._words[number].text.lower() in self._rules.followers

    def _forward_end(self, start: int, place: int, cue: Cue, sentence_end: int) -> int:
        if cue.reach == "all":
            return sentence_end
        sentence_end = max(place, min(sentence_end, self._ends.get((start, place), sentence_end)))
        place = object_place(self._text, self._begin, (start, place), sentence_end)
        end = self._next_terminator(start, place, cue, sentence_end)
        if cue.effect == "negated" and cue.reach != "list":
            end = self._colon(place, end)
        closing = self._text.find(")", place, end)
        if closing >= 0 and "(" not in self._text[place:closing]:
            end = closing
        first = bisect_left(self._chunks, (place, 0))
        chunks = self._chunks[first : bisect_left(self._chunks, (end, 0))]
        parts = [*(start for start, _ in chunks if not self._rules.continuations.match(self._text, start)), end]
        if cue.reach == "touch" or (cue.reach == "phrase" and cue.effect != "negated"):
            return parts[0]
        # "Absent: rash, jaundice" is a list, whatever the cue.
        reach = "items" if self._text.startswith(":", place) and place > start else cue.reach
        if reach == "items" and len(parts) > 1 and self._is_repeated(start, place, parts, sentence_end):
            reach = "phrase"
        end = self._list_end(parts, reach, cue.effect == "family")
        if cue.effect == "negated" and reach != "phrase" and len(parts) > 1:
            number = bisect_left(self._joins, end)
            if not number or self._joins[number - 1] <= parts[0]:  # no "or" holds the list together
                return statement_start(self._text, place, parts, end, reach == "list")
        return end

    def _colon(self, place: int, end: int) -> int:
        """Where a colon ends the reach of a negation ("CT without contrast: clot"), but for "none of these: "."""
        colon = _COLON.search(self._text, place, end)
        said = self._text[place : colon.start()].split() if colon else []
        return colon.start() if colon and said and said[-1].lower() not in self._rules.list_leads else end

    def _is_repeated(self, start: int, place: int, parts: list[int], sentence_end: int) -> bool:
        """Whether the items beside it have the same cue: "no fever, no chills, cough" negates two items."""
        cue = self._text[start:place].lower()
        if not cue:
            return False
        next_item = self._text[parts[0] + 1 : sentence_end].lstrip().lower()
        before = self._text[self._begin : start].rstrip()
        if next_item.startswith(cue + " "):
            return True
        return before.endswith(",") and _ITEM_START.split(before[:-1])[-1].strip().lower().startswith(cue + " ")

    def _list_end(self, parts: list[int], reach: str, of_relatives: bool) -> int:
        """The end of a list that starts before the commas at `parts` (the last one is the end of its clause)."""
        joins = bisect_left(self._joins, parts[-1])
        closed = bisect_right(parts, self._joins[joins - 1]) - 1 if joins else -1
        for number in range(len(parts) - 1):
            first = bisect_right(self._word_starts, parts[number])
            item = self._words[first : bisect_left(self._word_starts, parts[number + 1])]
            if not item:
                continue
            joined = item[0].folded in ("and", "or", "nor") and len(item) > 1
            lead = item[1 if joined else 0].folded
            opens = lead in self._rules.openers and not (of_relatives and lead in _RESULTS)
            if opens or self._text[item[-1].end : item[-1].end + 1] == ":":
                return parts[number]
            if reach == "list":
                continue
            if reach == "phrase" and number > closed:
                return parts[number]
            if _longest_item(item) > LIST_ITEM_WORDS:
                return parts[number]
            if number > closed and self._has_detail(item):
                return parts[number]
        return parts[-1]

    def _has_detail(self, item: Sequence[Word]) -> bool:
        if any(word.folded[0].isdigit() for word in item) or (len(item) > 1 and item[-1].folded in self._rules.states):
            return True
        return any(match.owners[0] for match in self._rules.details.find(self._text, list(item)))

    def _backward_start(self, match: Match[Cue], cue: Cue, sentence_start: int) -> int:
        if cue.reach == "all":
            return sentence_start
        start = sentence_start
        number = bisect_right(self._terminator_starts, match.start - 1)
        while number:
            end = min(self._terminators[number - 1].end, match.start)
            # "considered but felt unlikely": what stands right before the cue is not what it is about.
            if self._text[end : match.start].strip(" ,"):
                start = max(start, end)
                break
            number -= 1
        # "She was alert and fever was absent": two clauses.
        clauses = _CLAUSES.search(self._text, sentence_start, match.start)
        if clauses is not None and clauses.end() > start and self._text[clauses.end() : match.start].strip():
            start = clauses.end()
        if cue.dimension == "time" and _DATE.search(self._text, match.start, match.end):
            for since in _SINCE.finditer(self._text, start, match.start):
                start = since.end()
        # "pneumonia, resolved": a comma right before such a cue does not end its reach, the one before it does.
        # For a negation it does ("murmur, normal heart"), except as some transcripts have it: "Transfusions: , none".
        before = self._text[start : match.start]
        ignored = " (" if cue.effect == "negated" and not _ITEM_END.search(before) else " ,:(-"
        upto = start + len(before.rstrip(ignored))
        commas = [last for first, last in self._chunks if start <= first and last <= upto]
        if cue.reach == "list":
            # Back over the commas of a list of short items: "fever, chills and cough were denied".
            edges = [*commas, upto]
            while commas:
                item = self._text[commas[-1] : edges[-1]].split()
                ahead = self._text[commas[-2] if len(commas) > 1 else start : commas[-1] - 1].split()
                if not item or len(ahead) > LIST_ITEM_WORDS:
                    break
                if len(edges) == len(commas) + 1 and edges[-1] == upto and not {"and", "or"} & set(item):
                    break
                edges.pop()
                commas.pop()
        return max([start, *commas])

    def _antecedent(self, place: int, begin: int) -> int:
        parts = SentenceParts(self._begin, self._words, self._word_starts, self._terminators, self._chunks)
        return antecedent_start(self._text, self._rules, self._layout, parts, (begin, place))

    def _next_terminator(self, start: int, place: int, cue: Cue, limit: int) -> int:
        """Where something new begins behind a cue from `start` to `place`."""
        if cue.effect == "family":
            limit = min(limit, patient_place(self._text, self._rules, self._words_from(place), limit))
        elif cue.effect == "negated":
            limit = second_statement(self._text, place, limit)
            if self._text[start:place].lower().startswith("without") and not self._text[self._begin : start].strip():
                subject = _PATIENT_SUBJECT.search(self._text, place, limit)
                limit = subject.start() if subject is not None else limit  # "Without oxygen she desaturates"
        elif cue.effect == "historical":
            number = bisect_left(self._history_ends, place)
            limit = min([limit, *self._history_ends[number : number + 1]])
        if cue.effect in ("negated", "historical"):
            person = self._rules.named_persons.match(self._text, start, limit)
            limit = person.start("with") if person is not None else limit
        first = cue.effect == "negated" and not self._text[self._begin : start].strip()
        condition = cue.effect == "hypothetical" and first_word(self._text, start) in self._rules.conditions
        for number in range(bisect_left(self._terminator_starts, place), len(self._terminators)):
            match = self._terminators[number]
            if match.start >= limit:
                break
            if cue.effect == "historical" and "history_goes_on" in match.owners:
                continue
            if cue.effect == "family" and "relatives_go_on" in match.owners:
                continue
            if cue.effect == "historical" and cue.opening and "past_goes_on" in match.owners:
                continue
            between = self._text[place : match.start]
            if condition and "terminators" not in match.owners and "," not in between:
                continue
            if cue.dimension != "time" and "statements" in match.owners and _SUBJECT.fullmatch(between):
                continue
            if first and "results" in match.owners and "," not in between:
                continue
            return match.start
        return limit


def _longest_item(words: Sequence[Word]) -> int:
    """Number of words of the longest part of "a b or c d"."""
    longest = length = 0
    for word in words:
        length = 0 if word.folded in ("and", "or", "nor") else length + 1
        longest = max(longest, length)
    return longest
