"""Which cues of a sentence are read: none that a longer one hides, and none that another negation cancels."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from clinragen.text.context_items import ItemIndex
from clinragen.text.context_rules import SUBJECT, ContextRules, Cue
from clinragen.text.term_index import Match, Word

# Words behind a negation among which the aspect that it negates begins.
ASPECT_WORDS = 4
# Most words between a negation and one that it cancels ("cannot climb a flight of stairs without dyspnea").
CANCELLING_WORDS = 8

_CLOSED = (",", ";", ".", ")", "!", ":", "- ")
_LINE_END = re.compile(r"[ \t]*\n")
_ASKED = re.compile(r"[?:|=/-][ \t(]*\Z")
_NEW_CLAUSE = re.compile(r"[,:()]|\b(?:and|or|but|with)\b", re.IGNORECASE)
_CLAUSE_START = re.compile(r"(?:[,;:(\n*•-]|\b(?:and|but|while|whereas|because|since|as))\s*\Z", re.IGNORECASE)
_APPOSITION = re.compile(r"\s*(?:\([^()\n]{1,30}\)|,[^,.;:\n]{1,30},)?\s*")
_WITH_PATIENT = re.compile(r"\b(?:patient|pt|he|she|child)\s+and\s+(?:[\w']+\s+){0,2}\Z", re.IGNORECASE)
# In front of and behind a relative whose finding stands in front.
OWNER_REACH = 30
_OWNED = re.compile(
    r"[\w)](?:[ \t]?:|[ \t]\(|[ \t][-–—])[ \t]*"
    r"(?P<who>(?:(?:in|his|her|the|a|an|one|two|three|\d|both|maternal|paternal)[ \t]+){0,3})\Z",
    re.IGNORECASE,
)
_OWNED_END = re.compile(r"[ \t]*(?:[,;)&+/.\n]|and\b|\Z)", re.IGNORECASE)
_AUXILIARY = re.compile(
    r"(?:(?:is|was|are|were|has|had|have|been|also|then|just|who|herself|himself|both|all)\b\s*)*", re.I
)
# Characters in front of an exclusion that are read for a condition.
CONDITION_REACH = 80
_CONDITION = re.compile(
    r"\b(?:until|unless|if|whether|before)\b(?:(?!,|\bwas\b|\bwere\b|\bhad\b).)*\Z", re.IGNORECASE | re.DOTALL
)
_IF_NOT = re.compile(r"\b(?:if|unless)\s+(?:[\w']+\s+){0,3}\Z", re.IGNORECASE)
_MALE_OR_FEMALE = re.compile(r"\b(?:he|she|him|the patient|patient|pt|her up|her down|her in|i)\b", re.IGNORECASE)


def answers_its_line(text: str, start: int, end: int) -> bool:
    """Whether a cue is the answer to what its line asks ("Chest pain: no").

    Any other cue at the end of a line within a sentence goes on in the next one: "No\nhistory of COPD".
    """
    return _LINE_END.match(text, end) is not None and _ASKED.search(text, max(0, start - 8), start) is not None


class CueReader:
    """Reads the cues of one sentence.

    Args:
        text, rules, items: The note, the cues, and the items of the note with a status of their own.
        words: The words of the sentence.
        span: Its first and last character (exclusive) in the note.
    """

    def __init__(
        self, text: str, rules: ContextRules, items: ItemIndex, words: list[Word], span: tuple[int, int]
    ) -> None:
        self._text = text
        self._rules = rules
        self._items = items
        self._words = words
        self._begin, self._end = span
        self._people: list[Match[Cue]] = []
        # By the span of a cue, where its reach ends although the sentence goes on.
        self.ends: dict[tuple[int, int], int] = {}

    def read(self) -> list[Match[Cue]]:
        """The cues that work, those around and beside a relative last."""
        found = self._unhidden(self._rules.cues.find(self._text, self._words, overlapping=True))
        if found:
            found = self._without_double_negations(self._without_aspects(found))
            found = [self._refuted(self._conditional(match)) for match in found if not self._is_condition(match)]
            found = self._without_persistences(self._without_relapses(found))
        return found + self._relatives() + self._split_cues()

    def _unhidden(self, matches: Sequence[Match[Cue]]) -> list[Match[Cue]]:
        """The cues that are read: none that is the value of a label, or that a longer cue of its dimension hides."""
        kept: list[Match[Cue]] = []
        last: dict[str, int] = {}
        hidden = -1  # the end of the last cue without effect
        for match in matches:
            if self._items.is_mark(match.start):
                continue
            owners = match.owners
            if owners[-1] is SUBJECT:
                self._people.append(match)
                owners = owners[:-1]
            if any(cue.limited for cue in owners):
                owners = self._owners(match, owners)
            if not owners:
                continue
            neutral = any(cue.effect == "none" for cue in owners)
            if match.end <= hidden or (match.start < hidden and not neutral):
                continue
            if neutral and match.end > max(last.values(), default=-1):
                # It also hides a cue that began before it, unless that one is longer.
                while kept and kept[-1].end > match.start and kept[-1].end - kept[-1].start <= match.end - match.start:
                    kept.pop()
                hidden = match.end
                continue
            start = match.start
            if self._text[start - 1 : start] in ("'", "\u2019"):
                start = self._before_apostrophe(start)  # the t of "didn't"
            read = tuple(cue for cue in owners if match.end > last.get(cue.dimension, -1) and cue.effect != "none")
            if read:
                if any(cue.effect == "family" and cue.forward for cue in read) and self._is_both(match.start):
                    continue
                kept.append(Match(start, match.end, read))
                last.update((cue.dimension, match.end) for cue in read)
                if any(cue.reach == "statement" for cue in read):
                    last.update(dict.fromkeys(("assertion", "time", "plan"), match.end))  # "free of it" denies nothing
                if "person" in last:
                    last["time"] = max(last.get("time", -1), last["person"])  # a "family history" is no past of hers
        return kept

    def _before_apostrophe(self, start: int) -> int:
        """Start of the word whose ending behind an apostrophe begins at a character."""
        number = bisect_left(self._words, start, key=lambda word: word.start)
        return self._words[number - 1].start if number and self._words[number - 1].end == start - 1 else start

    def _owners(self, match: Match[Cue], cues: tuple[Cue, ...]) -> tuple[Cue, ...]:
        """The effects that a phrase has at its place, as cues."""
        spelled = self._text[match.start : match.end].lower()
        owners = [cue for cue in cues if cue.verbatim == spelled] or [cue for cue in cues if not cue.verbatim]
        opens = self._opens(match.start) if any(cue.opening for cue in owners) else False
        closes = self._closes(match.start, match.end) if any(cue.closing for cue in owners) else False
        return tuple(cue for cue in owners if (opens or not cue.opening) and (closes or not cue.closing))

    def _opens(self, start: int) -> bool:
        """Whether a cue begins its sentence, or what stands behind a colon in it."""
        before = self._text[self._begin : start].rstrip(" \t\n-*\u2022")
        return not before or before.endswith(":") or self._rules.quantities.fullmatch(before + " ") is not None

    def _closes(self, start: int, end: int) -> bool:
        """Whether a cue ends its part of the sentence but for a time or a circumstance."""
        rest = self._text[end : self._end].lstrip()
        if not rest or rest.startswith(_CLOSED) or answers_its_line(self._text, start, end):
            return True
        number = bisect_left(self._words, end, key=lambda word: word.start)
        if number == len(self._words):
            return True
        word = self._words[number]
        return word.text[0].isdigit() or word.folded in self._rules.statements.circumstances

    def _without_aspects(self, matches: list[Match[Cue]]) -> list[Match[Cue]]:
        """Ends a negation at the aspect that it negates ("no improvement of the pain") and drops the cues in it."""
        double = self._rules.double_negations
        kept: list[Match[Cue]] = []
        hidden = -1
        for match in matches:
            if match.start < hidden:
                continue
            kept.append(match)
            if not any(cue.effect == "negated" and cue.forward for cue in match.owners):
                continue
            number = bisect_left(self._words, match.end, key=lambda word: word.start)
            if double.firsts.isdisjoint([word.folded for word in self._words[number : number + ASPECT_WORDS]]):
                continue
            said = self._text[match.start : match.end].lower()
            found = double.aspects.match(self._text, match.end, self._end)
            if found is None and said.endswith(("further", "additional", "more", "other")):
                found = double.actions.match(self._text, match.end, self._end)
            if found is not None and "history" not in said:
                self.ends[match.start, match.end] = found.start("link")
                hidden = found.end()
        return kept

    def _without_double_negations(self, matches: list[Match[Cue]]) -> list[Match[Cue]]:
        """Drops each negation that another one cancels, with that one."""
        negations = [one for one in matches if any(cue.effect == "negated" and cue.forward for cue in one.owners)]
        if not negations:
            return matches
        words = self._words[: bisect_left(self._words, negations[-1].start, key=lambda word: word.start)]
        dropped: list[tuple[int, int]] = []
        for found in self._rules.double_negations.cancellers.find(self._text, words):
            negation = next((one for one in negations if one.start >= found.end), None)
            if negation is None:
                break
            between = self._text[found.end : negation.start]
            said = self._text[negation.start : negation.end].lower().split()
            if _NEW_CLAUSE.search(between) or len(between.split()) > CANCELLING_WORDS:
                continue
            if self._rules.named_persons.match(self._text, found.start, negation.end + 1):
                continue  # "Never smoker without dyspnea"
            if not found.owners[0].isdisjoint(said):
                dropped += [(found.start, found.end), (negation.start, negation.end)]
        if not dropped:
            return matches
        return [one for one in matches if not any(start < one.end and one.start < end for start, end in dropped)]

    def _without_relapses(self, matches: list[Match[Cue]]) -> list[Match[Cue]]:
        """Drops the cues behind a finding that say that it ended, where it is back: "had cleared but came back"."""
        behind = [match for match in matches if not all(cue.forward for cue in match.owners)]
        if not behind:
            return matches
        cues = {id(match) for match in behind}
        places = [found.start() for found in self._rules.relapses.finditer(self._text, behind[0].end, self._end)]
        last = max(places, default=-1)
        kept = []
        for match in matches:
            if id(match) in cues and not self._holds(match, last):
                # "Resolved pneumonia, fever recurred": what it says of what follows still holds.
                forward = tuple(cue for cue in match.owners if cue.forward)
                if forward:
                    kept.append(Match(match.start, match.end, forward))
                continue
            kept.append(match)
        return kept

    def _holds(self, match: Match[Cue], last: int) -> bool:
        return not self._is_onset(match) and (match.start >= last or match.owners[0].dimension == "person")

    def _is_onset(self, match: Match[Cue]) -> bool:
        """Whether a time behind a finding is that of its beginning: "gout, diagnosed 4 years ago"."""
        if match.owners[0].dimension != "time" or "ago" not in self._text[match.start : match.end].lower():
            return False
        return self._rules.onsets.search(self._text, max(self._begin, match.start - 40), match.start) is not None

    def _refuted(self, match: Match[Cue]) -> Match[Cue]:
        """A first suspicion that the sentence goes on to refute is a negation: "first thought to be gout, but"."""
        said = self._text[match.start : match.end].lower().split()
        if self._rules.first_thoughts.isdisjoint(said) or all(cue.effect != "uncertain" for cue in match.owners):
            return match
        words = self._words[bisect_left(self._words, match.end, key=lambda word: word.start) :]
        if not self._rules.refutations.find(self._text, words):
            return match
        return Match(match.start, match.end, tuple(replace(cue, effect="negated") for cue in match.owners))

    def _is_condition(self, match: Match[Cue]) -> bool:
        """Whether a negation is what a condition asks for: "restart it if there is no bleeding"."""
        if match.owners[0].effect != "negated" or not match.owners[0].forward:
            return False
        return _IF_NOT.search(self._text, max(self._begin, match.start - 40), match.start) is not None

    def _conditional(self, match: Match[Cue]) -> Match[Cue]:
        """An exclusion that is still to come leaves the finding open: "isolate until measles is excluded"."""
        if any(cue.forward or cue.effect != "negated" for cue in match.owners):
            return match
        before = self._text[max(self._begin, match.start - CONDITION_REACH) : match.end]
        if not _CONDITION.search(before):
            return match
        return Match(match.start, match.end, tuple(replace(cue, effect="uncertain") for cue in match.owners))

    def _without_persistences(self, matches: list[Match[Cue]]) -> list[Match[Cue]]:
        """Drops "previously" where the sentence goes on that the finding is still there."""
        kept = []
        for match in matches:
            said = self._text[match.start : match.start + 10].lower()
            if match.owners[0].dimension == "time" and said == "previously":
                words = self._words[bisect_left(self._words, match.end, key=lambda word: word.start) :]
                found = self._rules.persistences.find(self._text, words)
                if found and "," not in self._text[match.end : found[0].start]:
                    continue
            kept.append(match)
        return kept

    def _relatives(self) -> list[Match[Cue]]:
        """Relatives whom the sentence is about: "his mother, who has", "an uncle drowned"."""
        if not self._people:
            return []
        followed = self._rules.relatives.clause.finditer(self._text, self._begin, self._end)
        clauses = {clause.start(): clause for clause in followed}
        cue = Cue("family", True, "list", dimension="person")
        matches = []
        for person in self._people:
            if self._is_both(person.start):
                continue
            clause = clauses.get(person.end)
            if clause is not None:
                matches.append(Match(person.start, clause.end(), (cue,)))
            elif (start := self._owner_start(person)) is not None:
                matches.append(Match(start, person.end, (replace(cue, forward=False, reach="phrase"),)))
            elif (end := self._subject_end(person)) is not None:
                matches.append(Match(person.start, end, (cue,)))
                limit = _MALE_OR_FEMALE.search(self._text, end, self._end)
                if limit is not None:
                    self.ends[person.start, end] = limit.start()
        return matches

    def _owner_start(self, person: Match[Cue]) -> int | None:
        """Where a relative begins of whom a finding in front is said: "lupus: mother", "lupus (an aunt)"; or None."""
        before = max(self._begin, person.start - OWNER_REACH)
        found = _OWNED.search(self._text, before, person.start)
        return found.start("who") if found and _OWNED_END.match(self._text, person.end, self._end) else None

    def _is_both(self, start: int) -> bool:
        """Whether the patient is named with a relative: "the patient and her son have"."""
        return _WITH_PATIENT.search(self._text, max(self._begin, start - 40), start) is not None

    def _subject_end(self, person: Match[Cue]) -> int | None:
        """Where that begins that a clause says of the relative with whom it begins; None if it says nothing."""
        number = bisect_right(self._words, person.start, key=lambda word: word.start) - 1
        while number and self._words[number - 1].text.lower() in self._rules.relatives.articles:
            number -= 1
        start = self._words[number].start
        if start > self._begin and not _CLAUSE_START.search(self._text, max(self._begin, start - 12), start):
            return None
        gap = _APPOSITION.match(self._text, person.end, self._end)
        place = gap.end() if gap else person.end
        end = place if "," in self._text[person.end : place] else person.end
        if self._text[place : place + 1] in "-\u2013\u2014" and self._text[place + 1 : place + 2] == " ":
            return end  # "Uncle - gout"
        if not self._text[place : place + 1].isalpha():
            return None
        auxiliary = _AUXILIARY.match(self._text, place, self._end)
        place = auxiliary.end() if auxiliary else place
        return None if self._rules.relatives.tells.match(self._text, place, self._end) else end

    def _split_cues(self) -> list[Match[Cue]]:
        """Cues in two parts, and orders at the start of the sentence: "call your surgeon for"."""
        split = self._rules.split_cues
        found = [
            Match(word.start, word.end, (Cue(effect, True, "phrase"),))
            for word in self._words
            if word.folded in split.firsts
            for effect, pattern in split.patterns.items()
            if pattern.match(self._text, word.start, self._end)
        ]
        if self._words and self._words[0].folded in split.order_firsts:
            order = split.orders.match(self._text, self._words[0].start, self._end)
            if order is not None:
                found.append(Match(*order.span(), (Cue("hypothetical", True, "list", dimension="plan"),)))
        return found


__all__ = ["CANCELLING_WORDS", "CueReader"]
