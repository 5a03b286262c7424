"""Which parts of a note are negated, uncertain, historical, hypothetical or about relatives.

Rules in the manner of NegEx and ConText; the cues and their reach are data (`resources/context_cues.yaml`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.text.term_index import Match, TermIndex, Word, fold_word, split_words
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

RESOURCES = files("clinragen.text") / "resources"

EFFECTS = ("negated", "uncertain", "historical", "family", "hypothetical", "none")
REACHES = ("list", "chunk", "all")
# A shorter line was ended on purpose; a longer one may be a wrapped sentence.
WRAPPED_LINE = 50
# A list of negated items continues across a comma while its items have at most this many words.
LIST_ITEM_WORDS = 5

_HEADING = re.compile(r"(?:^|\n|\.,|,)[ \t]*([A-Za-z][A-Za-z0-9 /&()'\-]{1,48}?)[ \t]*:")
_ABBREVIATIONS = frozenset(["dr", "mr", "mrs", "ms", "vs", "st", "approx", "pt", "e.g", "i.e"])
_ITEM_END = re.compile(r":[ ,]*\Z")
_LAST_WORD = re.compile(r"\S+\Z")
_BREAK = re.compile(r"[.!?]+(?=[\s,]|$)|;|\n|•|\s\*\s")
_CHUNK = re.compile(r",(?!\d{3})|\(|\)|\s-+\s")


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue's effect, its direction ("forward" or "backward") and its reach."""

    effect: str
    forward: bool
    reach: str


@dataclass(frozen=True)
class ContextRules:
    """The content of the cue file."""

    forward: TermIndex[Cue]
    backward: TermIndex[Cue]
    terminators: TermIndex[str]
    openers: frozenset[str]
    masks: tuple[str, ...]
    sections: tuple[tuple[str, str], ...]
    value_links: frozenset[str]
    modifiers: frozenset[str]


@lru_cache(maxsize=4)
def load_context_rules(path: Path | None = None) -> ContextRules:
    """Read the cue file. Raises `InputDataError` naming the faulty part."""
    source = path if path is not None else RESOURCES / "context_cues.yaml"
    content: dict[str, Any] = read_yaml(source)
    try:
        forward = [pair for group in content["forward"] for pair in _cues(group, True)]
        backward = [pair for group in content["backward"] for pair in _cues(group, False)]
        relative = Cue("family", True, "list")
        for person in _texts(content["relatives"]):
            forward += [(f"{person} {link}", relative) for link in _texts(content["relative_links"])]
        return ContextRules(
            forward=TermIndex(forward),
            backward=TermIndex(backward),
            terminators=TermIndex((text, "terminator") for text in _texts(content["terminators"])),
            openers=frozenset(fold_word(word) for word in _texts(content["openers"])),
            masks=tuple(_texts(content["masks"])),
            sections=tuple(
                (start, effect) for effect, starts in content["sections"].items() for start in _texts(starts)
            ),
            value_links=frozenset(word for text in _texts(content["value_links"]) for word in text.split()),
            modifiers=frozenset(word for text in _texts(content["modifiers"]) for word in text.split("-")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputDataError(f"{source}: missing or malformed list of cues ({error}); see the shipped file") from error


def _cues(group: dict[str, Any], forward: bool) -> list[tuple[str, Cue]]:
    if group["effect"] not in EFFECTS or group["reach"] not in REACHES:
        raise ValueError(f"effect '{group['effect']}' with reach '{group['reach']}'")
    cue = Cue(group["effect"], forward, group["reach"])
    return [(text, cue) for text in _texts(group["cues"])]


def _texts(items: list[Any]) -> list[str]:
    # YAML reads a bare no, on or off as a truth value.
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"{item} must be in quotes")
    return items


@dataclass(frozen=True, slots=True)
class Interval:
    """Characters `start` to `end` of a note have `effect`; `cue` is the span of the cue itself."""

    start: int
    end: int
    effect: str
    cue: tuple[int, int]


class NoteContext:
    """Context effects at every position of one note."""

    def __init__(self, text: str, rules: ContextRules, words: list[Word]) -> None:
        self._text = text
        self._rules = rules
        self._words = words
        self._word_starts = [word.start for word in words]
        self._breaks = _sentence_breaks(text)
        self._terminators = rules.terminators.find(text, words)
        self._terminator_starts = [match.start for match in self._terminators]
        self._intervals = self._section_intervals()
        for index in (rules.forward, rules.backward):
            for match in index.find(text, words):
                self._intervals += self._reached(match)
        self._intervals.sort(key=lambda interval: interval.start)
        self._interval_starts = [interval.start for interval in self._intervals]

    def effects(self, start: int, end: int) -> set[str]:
        """Effects on a mention. A cue inside the mention itself ("absent breath sounds") does not count."""
        found = {
            interval.effect
            for interval in self._intervals[: bisect_right(self._interval_starts, start)]
            if interval.end >= end and not (start <= interval.cue[0] and interval.cue[1] <= end)
        }
        before = self._text[max(0, start - 3) : start].rstrip()
        if before.endswith("?"):
            found.add("uncertain")
        if before.endswith(("(-)", "-)")) or self._text[end : end + 4].lstrip().startswith(("(-)", "-ve")):
            found.add("negated")
        return found

    def sentence(self, position: int) -> tuple[int, int]:
        """Start and end of the sentence that contains a character."""
        number = bisect_right(self._breaks, position)
        return self._breaks[number - 1], self._breaks[number] if number < len(self._breaks) else len(self._text)

    def _section_intervals(self) -> list[Interval]:
        headings = []
        for found in _HEADING.finditer(self._text):
            name = found.group(1).strip()
            effect = self._section_effect(name.lower())
            line_start = found.group().startswith("\n") or found.start() == 0
            # Within a line only a known heading or one in capitals starts a section ("Heart: regular" does not).
            if effect is not None or name.isupper() or line_start:
                headings.append((found.start(1), effect, name))
        intervals = []
        for number, (start, effect, _) in enumerate(headings):
            end = headings[number + 1][0] if number + 1 < len(headings) else len(self._text)
            if effect is not None:
                intervals.append(Interval(start, end, effect, (-1, -1)))
        return intervals

    def _section_effect(self, name: str) -> str | None:
        for start, effect in self._rules.sections:
            if name == start or name.startswith((start + " ", start + "/")):
                return effect
        return None

    def _reached(self, match: Match[Cue]) -> list[Interval]:
        begin, end = self.sentence(match.start)
        intervals = []
        for cue in match.owners:
            if cue.effect == "none":
                continue
            if cue.forward:
                # From the start of the cue: in "no prior history of MI" the term "history of MI" overlaps it.
                reached = (match.start, self._forward_end(match, cue, end))
            else:
                reached = (self._backward_start(match, cue, begin), match.start)
            intervals.append(Interval(*reached, cue.effect, (match.start, match.end)))
        return intervals

    def _forward_end(self, match: Match[Cue], cue: Cue, sentence_end: int) -> int:
        if cue.reach == "all":
            return sentence_end
        end = self._next_terminator(match.end, sentence_end)
        closing = self._text.find(")", match.end, end)
        if closing >= 0 and "(" not in self._text[match.end : closing]:
            end = closing
        parts = [*(found.start() for found in _CHUNK.finditer(self._text, match.end, end)), end]
        if cue.reach == "chunk" and cue.effect != "negated":
            return parts[0]
        return self._list_end(parts, short_items=cue.reach == "chunk")

    def _list_end(self, parts: list[int], short_items: bool) -> int:
        """The end of a list that starts before the commas at `parts` (the last one is the end of its clause)."""
        for number in range(len(parts) - 1):
            first = bisect_right(self._word_starts, parts[number])
            last = bisect_right(self._word_starts, parts[number + 1])
            item = self._words[first:last]
            if not item:
                continue
            lead = item[0].folded
            if lead in ("and", "or") and len(item) > 1:
                lead = item[1].folded
            if lead in self._rules.openers:
                return parts[number]
            if short_items and (_longest_item(item) > LIST_ITEM_WORDS or lead[0].isdigit()):
                return parts[number]
        return parts[-1]

    def _backward_start(self, match: Match[Cue], cue: Cue, sentence_start: int) -> int:
        if cue.reach == "all":
            return sentence_start
        start = sentence_start
        number = bisect_right(self._terminator_starts, match.start - 1)
        if number:
            start = max(start, min(self._terminators[number - 1].end, match.start))
        # "pneumonia, resolved": a comma right before such a cue does not end its reach, the one before it does.
        # For a negation it does ("murmur, normal heart"), except as some transcripts have it: "Transfusions: , none".
        before = self._text[start : match.start]
        ignored = " " if cue.effect == "negated" and not _ITEM_END.search(before) else " ,:(-"
        upto = start + len(before.rstrip(ignored))
        commas = [found.end() for found in _CHUNK.finditer(self._text, start, upto)]
        return max([start, *commas])

    def _next_terminator(self, position: int, limit: int) -> int:
        number = bisect_right(self._terminator_starts, position - 1)
        if number < len(self._terminators):
            return min(limit, self._terminators[number].start)
        return limit


def read_context(text: str, rules: ContextRules, words: list[Word] | None = None) -> NoteContext:
    """Analyse one note; the result answers for any position in it."""
    return NoteContext(text, rules, split_words(text) if words is None else words)


def _longest_item(words: list[Word]) -> int:
    """Number of words of the longest part of "a b or c d"."""
    longest = length = 0
    for word in words:
        length = 0 if word.folded in ("and", "or", "nor") else length + 1
        longest = max(longest, length)
    return longest


def _sentence_breaks(text: str) -> list[int]:
    """Start positions of sentences, in order, beginning with 0."""
    breaks = [0]
    line_start = 0
    for found in _BREAK.finditer(text):
        mark, start, end = found.group(), found.start(), found.end()
        if mark[0] == ".":
            last = _LAST_WORD.search(text[max(0, start - 12) : start])
            word = last.group().lower() if last else ""
            if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
                continue
        elif mark == "\n":
            wrapped = start - line_start >= WRAPPED_LINE
            line_start = end
            rest = text[end : end + 60].lstrip(" \t")
            new = not rest or rest[0] in "\n-*#•" or bool(re.match(r"\d+[.)]|[A-Z][A-Za-z /]{1,30}:", rest))
            if wrapped and not new:
                continue
        if end > breaks[-1]:
            breaks.append(end)
    return breaks
