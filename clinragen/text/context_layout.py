"""How a note is laid out: its sentences, headings, and the lists that a line with a colon introduces."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from clinragen.text.context_rules import WRAPPED_LINE, ContextRules

# A text without an end of a sentence is cut after so many characters, to be read in linear time.
LONGEST_SENTENCE = 2000
# Most characters of a heading.
HEADING_LENGTH = 50

_ABBREVIATIONS = frozenset(["dr", "mr", "mrs", "ms", "vs", "st", "approx", "pt", "e.g", "i.e", "susp", "poss", "prob"])
_SHORT_VALUES = frozenset(["neg", "pos"])
_BREAK = re.compile(r"[.!?;\n•*]")
_ENUMERATED = re.compile(r"\s(?=\d\d?\)\s|\d\d?\.\s[A-Z])")
_LAST_WORD = re.compile(r"\S+\Z")
_NEW_LINE = re.compile(r"\d+[.)]|[A-Z][A-Za-z /]{1,30}:")
# A line that ends so was wrapped, however short it is, if the next one goes on in lower case.
_UNFINISHED = re.compile(
    r"(?:,|\b(?:no|not|any|without|denies|denied|or|and|nor|of|for|the|a|with|to|in|his|her))\Z", re.IGNORECASE
)
# A heading may be a line of its own, without a colon ("Family Hx"), or have a dash instead ("FHx - gout").
_HEADING_LINE = re.compile(
    r"^[ \t#*_]*(?P<name>[A-Z][A-Za-z/& ]{1,48}?)[ \t*_]*(?P<end>$|[ \t]+[-–—](?=[ \t]))", re.MULTILINE
)
_COLON = re.compile(r":(?!\d\d(?!\d))")
_INTRODUCTION = re.compile(r":[ \t]*\n")
_BULLET = re.compile(r"[ \t]*(?:[-*•–+·>]+(?=[ \t\w(\[])|\(?\d{1,2}[.)](?=\s)|[a-z][.)](?=\s))[ \t]*")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9 /&()'\-]*\Z")
_LABEL_START = re.compile(r"[.,;:!?•\n|]")
_CAPITAL_WORD = re.compile(r"[A-Z(&/\-][A-Z0-9()/&'\-]*(?:\(s\)|\(es\))?\Z")
_TITLE = re.compile(r"(?:\b[A-Z][a-z]+ ){0,3}\b[A-Z][a-z]+\Z")
_ENDING = re.compile(r"\((?:s|es|ies)\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading from `start` to behind its colon at `end`; `effect` is that of its section, or "none".

    `whole` is False for a label that only begins something new in its section, such as "Heart:" within a line.
    """

    start: int
    end: int
    name: str
    effect: str
    whole: bool
    known: bool = False


class Layout:
    """Sentences, headings and introduced lists of one note."""

    def __init__(self, text: str, rules: ContextRules) -> None:
        self._text = text
        self._rules = rules
        self.headings = [heading for colon in _COLON.finditer(text) if (heading := self._heading(colon.start()))]
        self.headings = sorted([*self.headings, *self._heading_lines()], key=lambda heading: heading.start)
        self._heading_starts = [heading.start for heading in self.headings]
        self._breaks = self._find_breaks()

    def sentence(self, position: int) -> tuple[int, int]:
        """Start and end of the sentence that contains a character."""
        number = bisect_right(self._breaks, position)
        return self._breaks[number - 1], self._breaks[number] if number < len(self._breaks) else len(self._text)

    def in_known_heading(self, position: int) -> bool:
        """Whether a character belongs to a heading of the cue file."""
        number = bisect_right(self._heading_starts, position)
        if not number or position >= self.headings[number - 1].end:
            return False
        return self.headings[number - 1].known

    def block(self, sentence_end: int) -> list[tuple[int, int]]:
        """Start and end of the lines below a sentence that introduces them with a colon at its end."""
        intro = sentence_end - 1
        while intro > 0 and self._text[intro] in " \t\n":
            intro -= 1
        if intro < 0 or self._text[intro] != ":" or "\n" not in self._text[intro:sentence_end]:
            return []
        return self._block_lines(self._text.index("\n", intro) + 1)

    def headings_at(self, position: int) -> list[Heading]:
        """The heading that begins at a character, if one does."""
        number = bisect_left(self._heading_starts, position)
        return self.headings[number : number + 1] if self._heading_starts[number : number + 1] == [position] else []

    def introductions(self) -> Iterator[tuple[int, int]]:
        """The sentences that end with a colon and a line break."""
        for found in _INTRODUCTION.finditer(self._text):
            yield self.sentence(found.start())

    def _block_lines(self, start: int) -> list[tuple[int, int]]:
        lines: list[tuple[int, int]] = []
        bulleted = None
        while start < len(self._text):
            end = self._text.find("\n", start)
            end = len(self._text) if end < 0 else end
            bullet = _BULLET.match(self._text, start, end)
            first = bullet.end() if bullet else start
            blank = not self._text[start:end].strip()
            if bulleted is None and not blank:
                bulleted = bullet is not None
            if any(heading.whole for heading in self.headings_at(first)) and not bullet:
                break
            if self._text[start:end].rstrip().endswith(":"):
                break
            if blank and (lines and not bulleted):
                break
            if not blank and bulleted and not bullet:
                break
            if not blank:
                lines.append((first, end))
            start = end + 1
        return lines

    def _heading_lines(self) -> Iterator[Heading]:
        """Headings without a colon: known ones, except cues such as "Denies"."""
        for found in _HEADING_LINE.finditer(self._text):
            name = " ".join(found["name"].split())
            effect = self._rules.sections.get(name.lower().replace("/", " / "))
            if effect is None or (found["end"] and effect == "none"):
                continue
            if name.lower() not in self._rules.marks.values and not self._rules.cues_of_assertion(name):
                yield Heading(found.start("name"), found.end(), name, effect, True, True)

    def _heading(self, colon: int) -> Heading | None:
        begin = max(0, colon - 2 * HEADING_LENGTH)
        line_start = self._text.rfind("\n", begin, colon) + 1
        if line_start:
            begin = line_start
        elif begin:
            line_start = -1  # out of sight
        for mark in _LABEL_START.finditer(self._text, begin, colon):
            begin = mark.end()
        bullet = _BULLET.match(self._text, begin, colon) if begin == line_start else None
        begin = bullet.end() if bullet else begin
        label = self._text[begin:colon].strip()
        begin += len(self._text[begin:colon]) - len(self._text[begin:colon].lstrip())
        if not label:
            return None
        at_line_start = line_start >= 0 and not self._text[line_start:begin].strip(" \t-*•")
        if len(label) < HEADING_LENGTH and _LABEL.fullmatch(label):
            name = _ENDING.sub("", label)
            effect = self._rules.section_effect(name)
            if label.lower() in self._rules.relatives.names:
                return Heading(begin, colon + 1, label, "none", False)
            if at_line_start:
                inline = None if effect is not None else self._inline_heading(label, begin, colon)
                if inline is not None and inline.known:
                    return inline  # "no fever CXR: clear"
                is_whole = bullet is None or bullet.group().strip() == "**"  # "**Family history:**"
                return Heading(begin, colon + 1, label, effect or "none", is_whole, effect is not None)
            if effect is not None and len(name.split()) <= self._rules.section_words:
                return Heading(begin, colon + 1, label, effect, True, True)
        return self._inline_heading(label, begin, colon)

    def _inline_heading(self, label: str, begin: int, colon: int) -> Heading | None:
        """A heading at the end of running text: the longest known one, words in capitals, or title case."""
        words = list(re.finditer(r"\S+", label))
        for number in range(max(0, len(words) - self._rules.section_words), len(words)):
            start = words[number].start()
            name = _ENDING.sub("", label[start:])
            if name[:1].isupper() and name.lower() in self._rules.sections:
                return Heading(begin + start, colon + 1, name, self._rules.sections[name.lower()], True, True)
        first = len(words)
        while first and _CAPITAL_WORD.match(words[first - 1].group()):
            first -= 1
        values = self._rules.marks.values
        while first < len(words) and (
            words[first].group().lower().strip("(),") in values or words[first].group() in "-/&"
        ):
            first += 1
        if first < len(words):
            name = label[words[first].start() :]
            if sum(letter.isupper() for letter in name) >= 2:
                effect = self._rules.section_effect(_ENDING.sub("", name))
                return Heading(
                    begin + words[first].start(), colon + 1, name, effect or "none", True, effect is not None
                )
        title = _TITLE.search(label)
        if title is not None and title.start():
            return Heading(begin + title.start(), colon + 1, title.group(), "none", False)
        return None

    def _find_breaks(self) -> list[int]:
        """Start positions of sentences, in order, beginning with 0."""
        text = self._text
        breaks = [0]
        line_start = 0
        for found in _BREAK.finditer(text):
            mark, start, end = found.group(), found.start(), found.end()
            after = text[end : end + 1]
            if mark in ".!?":
                if after and not after.isspace() and after != ",":
                    continue
                last = _LAST_WORD.search(text[max(0, start - 12) : start]) if mark == "." else None
                word = last.group().lower() if last else ""
                if word in _SHORT_VALUES and text.startswith(" for ", end):
                    continue  # "neg. for melena"
                if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
                    continue
            elif mark == "*":
                if not (after.isspace() and text[start - 1 : start].isspace()):
                    continue
            elif mark == "\n":
                line_start, before = end, line_start
                if self._goes_on(before, start):
                    continue
            breaks.append(end)
        starts = {heading.start for heading in self.headings}
        starts.update(
            found.end()
            for found in _ENUMERATED.finditer(text)
            if text[found.start() - 1 : found.start()] in ".,;:"
            or text[found.end() + 1 : found.end() + 3].find(")") >= 0
        )
        breaks = sorted(starts.union(breaks)) if starts else breaks
        if len(self._text) <= LONGEST_SENTENCE:
            return breaks
        ends = [*breaks[1:], len(self._text)]
        return [
            part
            for begin, end in zip(breaks, ends, strict=True)
            for part in range(begin, max(end, begin + 1), LONGEST_SENTENCE)
        ]

    def _goes_on(self, line_start: int, line_end: int) -> bool:
        """Whether a sentence goes on in the next line."""
        rest = self._text[line_end + 1 : line_end + 61].lstrip(" \t")
        if not rest or rest[0] in "\n-*#•+[(" or _NEW_LINE.match(rest):
            return False
        if line_end - line_start >= WRAPPED_LINE:
            return True
        return rest[0].islower() and _UNFINISHED.search(self._text[line_start:line_end].rstrip()) is not None
