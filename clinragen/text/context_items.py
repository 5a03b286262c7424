"""Items of a note that have a status of their own: ticked boxes, signs in front or behind, values behind a label.

Such a status belongs to its item only, and to nothing beside it: in "pain: none, fever: yes" each value belongs to its
own label, in "(-) fever (+) cough" each sign to the words behind it.
"""

from __future__ import annotations

import itertools
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clinragen.text.context_rules import WRAPPED_LINE, MarkRules

# Most characters of a label in front of its value.
LABEL_LENGTH = 60
# Most words of a label whose value has no colon or the like in front of it.
PLAIN_LABEL_WORDS = 4
# Characters in front of a minus sign that are searched for the heading of a list of symptoms.
SYMPTOM_LIST = 300
# A list of labels that share one value ("fever, chills, sweats: none") has at most this many words in each.
SHARED_LABEL_WORDS = 3

# A list of symptoms, where minus signs mean absence; elsewhere "-word -word" is a list with dashes.
_SYMPTOM_LIST = re.compile(r"\b(?:ros|review of systems|symptoms?)\b[^:\n]*:[^:]*\Z", re.IGNORECASE)
# The same in the lines above, and an affirmed item there: "ROS:\nResp: no cough, +SOB\nGI: -N/V/D".
_SYMPTOM_LINES = re.compile(r"\b(?:ros|review of systems|symptoms?)\b[^:\n]*:", re.IGNORECASE)
_PLUS_ITEM = re.compile(r"[\s,;:(]\+[A-Za-z]")
_BARE = re.compile(
    r"(?:(?<=[\s,;:(/])|^)[+\-–−](?=[A-Za-z])"  # -fever
    r"|(?:(?<=[,;:(])[ \t]*|^)[+\-–−](?=[ \t]+[A-Za-z])"  # ", - fever"
    r"|(?<=[A-Za-z)])[ \t]?[+\-–−](?=[ \t]*(?:[,;.)]|$))"  # "fever -,"
    r"|(?<=[A-Za-z])[+\-–−](?=\s)"  # "nitrite+ "
)
_PLUS_MINUS = re.compile(r"[+\-–−]")
_LINK = re.compile(r"[:=?|]|\.\.+|(?<=[ \t])[-–—]+(?=[ \t])")
_EDGE = re.compile(r"[,;:(|]|\.(?=\s|$)")
# The bracket at the end of "Smoker (Y/N): N" is part of the label.
_LABEL_EDGE = re.compile(r"[,;:\n?!|•]|\((?![^()\n]{1,20}\)[ \t]*\Z)|\.(?=\s)|\s[-–—]+\s")
# Behind these a negation is not the value of a label.
_LEADS_ON = frozenset(
    (
        *("a", "an", "and", "are", "but", "for", "had", "has", "have", "he", "in", "is", "of", "on", "or", "reports"),
        *("she", "shows", "showed", "that", "the", "there", "to", "was", "were", "with"),
    )
)
_LINE_END = re.compile(r"[ \t]*\n")
_STATEMENT_END = re.compile(r"[;|]|\.(?=\s|$)|\Z")
# A score beside one of zero ("pain: 0/10 at rest, 8/10 on moving"), within this many characters.
_SCORE = re.compile(r"[1-9]\d?\s?/\s?10\b")
SCORE_REACH = 60
_LEAD = re.compile(r"[\s\-*•–·>]*(?:\(?\d{1,2}[.)]\s+)?")


@dataclass(frozen=True, slots=True)
class Item:
    """Characters `start` to `end` have `status` (negated, affirmed or uncertain); `cue` is the mark or value."""

    start: int
    end: int
    status: str
    cue: tuple[int, int]


class ItemIndex:
    """The items of a note with a status of their own, by place."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self._starts = [item.start for item in items]
        self._cues = sorted(item.cue for item in items)
        # A list of negations ends where something is affirmed.
        self._affirmed = [min(item.start, item.cue[0]) for item in items if item.status != "negated"]

    def at(self, position: int) -> Item | None:
        """The item that a character belongs to."""
        number = bisect_right(self._starts, position)
        return self.items[number - 1] if number and position < self.items[number - 1].end else None

    def is_mark(self, position: int) -> bool:
        """Whether a character belongs to a mark or value."""
        number = bisect_right(self._cues, (position, sys.maxsize))
        return number > 0 and position < self._cues[number - 1][1]

    def limits(self, start: int, end: int) -> tuple[int, int]:
        """Where the item before a cue ends and the next affirmed one begins, as far as a cue must not reach them."""
        number = bisect_right(self._starts, start)
        before = 0
        if number and self.items[number - 1].status != "negated":
            before = min(start, max(self.items[number - 1].end, self.items[number - 1].cue[1]))
        after = bisect_left(self._affirmed, end)
        return before, self._affirmed[after] if after < len(self._affirmed) else sys.maxsize


def find_items(text: str, marks: MarkRules) -> list[Item]:
    """The items of a note with a status of their own, in order and without overlap."""
    items: list[Item] = []
    boxed: list[tuple[int, int]] = []
    for start, end, boxes in _by_line(text, _found(text, marks.box_start, marks.box)):
        boxed.append((start, end))
        items += _boxed(text, start, end, boxes, marks)
    valued = [item for item in _labelled(text, marks) if not _inside(item.start, boxed)]
    items += valued
    taken = sorted((item.start, item.cue[1]) for item in valued)
    candidates = sorted([*_found(text, marks.sign_start, marks.sign), *_bare(text)], key=lambda mark: mark.start())
    for start, end, signs in _by_line(text, candidates):
        if not _inside(start, boxed):
            items += _signed(text, start, end, signs, marks, taken)
    return _without_overlap(items)


def _found(text: str, first: re.Pattern[str], pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for candidate in first.finditer(text):
        if mark := pattern.match(text, candidate.start()):
            yield mark


def _bare(text: str) -> Iterator[re.Match[str]]:
    """Each + and - that is not inside a word or between numbers."""
    for candidate in _PLUS_MINUS.finditer(text):
        before, after = text[candidate.start() - 1 : candidate.start()], text[candidate.end() : candidate.end() + 1]
        if not (before.isalnum() and (after.isalnum() or before.isdigit())):
            yield candidate


def _by_line(text: str, marks: Iterable[re.Match[str]]) -> Iterator[tuple[int, int, list[re.Match[str]]]]:
    """Start, end and marks of each line that has marks."""
    start, end = 0, -1
    found: list[re.Match[str]] = []
    for mark in marks:
        if mark.start() > end:
            if found:
                yield start, end, found
            start = text.rfind("\n", 0, mark.start()) + 1
            end = text.find("\n", mark.start())
            end = len(text) if end < 0 else end
            found = []
        found.append(mark)
    if found:
        yield start, end, found


def _folded(mark: str) -> str:
    """A mark as the data file writes it: blanks of any kind and number are one."""
    return " ".join(mark.lower().split())


def _item(text: str, start: int, end: int, status: str, cue: tuple[int, int]) -> Iterator[Item]:
    """The item, without blanks and bullets around it, if anything is left."""
    lead = _LEAD.match(text, start, end)
    start = lead.end() if lead else start
    end = start + len(text[start:end].rstrip(" \t:-–—"))
    if start < end:
        yield Item(start, end, status, cue)


def _boxed(text: str, start: int, end: int, boxes: list[re.Match[str]], marks: MarkRules) -> Iterator[Item]:
    """The items of a line with check boxes, which stand before, behind or beside the answers to a question."""
    limits = [*(box.start() for box in boxes[1:]), end]
    answers = [marks.value.match(text, box.end(), limit) for box, limit in zip(boxes, limits, strict=True)]
    if sum(answer is not None for answer in answers) >= 2:
        yield from _answers(text, start, boxes, answers, marks)
        return
    before = text[start : boxes[0].start()].strip()
    behind = (
        bool(before) and not before.endswith((":", "-", "*", "•")) and not text[boxes[-1].end() : end].strip(" .;,")
    )
    place = start + (len(before) if before.endswith(":") else 0)
    for box, limit in zip(boxes, limits, strict=True):
        status = marks.boxes[_folded(box.group())]
        span = (place, box.start()) if behind else (box.end(), limit)
        yield from _item(text, *span, status, box.span())
        place = box.end()


def _answers(
    text: str, start: int, boxes: list[re.Match[str]], answers: list[re.Match[str] | None], marks: MarkRules
) -> Iterator[Item]:
    """ "Fever: [ ] yes [x] no": the ticked answer is the status of the label."""
    place, label = start, (start, start)
    for box, answer in zip(boxes, answers, strict=True):
        if text[place : box.start()].strip():
            label = (place, box.start())
        if answer is None:
            place = box.end()
            continue
        if marks.boxes[_folded(box.group())] == "affirmed" and text[slice(*label)].strip():
            status = marks.values[_folded(answer["value"])]
            yield from _item(text, *label, status, (box.start(), answer.end()))
        place = answer.end()


def _labelled(text: str, marks: MarkRules) -> list[Item]:
    """Labels with a value: "Fever: none", "Cough? Yes.", and without a sign "fever no, cough yes"."""
    items: list[Item] = []
    found = [
        (candidate.start(), mark, True)
        for candidate in _LINK.finditer(text)
        if (mark := marks.linked_value.match(text, candidate.start()))
    ]
    found += [(mark.start(), mark, False) for mark in marks.plain_value.finditer(text)]
    free = 0
    for place, mark, linked in sorted(found, key=lambda one: one[0]):
        if place < free:
            continue
        if mark["value"][0] == "0" and _SCORE.search(text, mark.end(), mark.end() + SCORE_REACH):
            continue
        start = max(free, place - LABEL_LENGTH)
        start = max(start, text.rfind("\n", start, place) + 1)
        head = start
        for edge in _LABEL_EDGE.finditer(text, start, place):
            head = edge.end()
        ends = not text[mark.end() : mark.end() + 2].strip(" .")[:1].strip()
        if linked and ends and text[place] == ":" and place - start < LABEL_LENGTH:
            head = _shared(text, start, head, place)
        elif not linked and (len(text[head:place].split()) > PLAIN_LABEL_WORDS or _wrapped(text, head, mark)):
            continue
        items += _item(text, head, place, marks.values[_folded(mark["value"])], mark.span("value"))
        free = mark.end()
    return items


def _wrapped(text: str, head: int, mark: re.Match[str]) -> bool:
    """Whether a sentence goes on behind a value at the end of a line: "with no\nfever"."""
    if not _LINE_END.match(text, mark.end()):
        return False
    label = text[head : mark.start()].split()
    if not label or label[-1].endswith(".") or label[-1].lower() in _LEADS_ON:
        return True
    return mark.end() - text.rfind("\n", 0, mark.end()) > WRAPPED_LINE


def _shared(text: str, start: int, head: int, end: int) -> int:
    """Where a label begins that may be a list of short ones from the start of the line or a colon: its start."""
    parts = text[start:end].rsplit(":", 1)
    begin = end - len(parts[-1])
    names = parts[-1].split(",")
    if len(names) > 1 and all(0 < len(name.split()) <= SHARED_LABEL_WORDS for name in names) and "." not in parts[-1]:
        return begin
    return head


def _signed(
    text: str, start: int, end: int, found: list[re.Match[str]], marks: MarkRules, taken: list[tuple[int, int]]
) -> Iterator[Item]:
    """The items of a line with signs; where they stand in front of their items and where behind is seen by part."""
    signs: list[tuple[int, int, str]] = []
    for mark in found:
        status = marks.signs.get(mark.group().lower())
        if status and (not signs or mark.start() >= signs[-1][1]):
            signs.append((*mark.span(), status))
    signs += _bare_signs(text, start, end, signs)
    signs = sorted(sign for sign in signs if not _inside(sign[0], taken))
    spans = [(first, last) for first, last, _ in signs]
    edges = [edge.end() for edge in _EDGE.finditer(text, start, end) if not _inside(edge.start(), spans)]
    mixed = len({status for *_, status in signs}) > 1
    number = 0
    for begin, finish in itertools.pairwise([start, *edges, end + 1]):
        first = number
        while number < len(signs) and signs[number][0] < finish:
            number += 1
        if number > first:
            following = signs[number][0] if number < len(signs) else end
            part = signs[first:number]
            yield from _part(text, begin, min(finish, end), part, following)
            if mixed and part[-1][1] - part[-1][0] > 1 and not text[begin : part[0][0]].strip(" \t-*•"):
                yield from _shared_sign(text, min(finish, end), following, part[-1])


def _shared_sign(text: str, begin: int, following: int, sign: tuple[int, int, str]) -> Iterator[Item]:
    """The short items between commas that share the sign in front of the first: "(-) cough, rash; (+) fever"."""
    if text[begin - 1 : begin] != ",":
        return
    stop = _STATEMENT_END.search(text, begin, following)
    stop_at = stop.start() if stop else following
    place = begin
    for name in text[begin:stop_at].split(","):
        if len(name.split()) > SHARED_LABEL_WORDS or "(" in name or ":" in name:
            return
        yield from _item(text, place, place + len(name), sign[2], sign[:2])
        place += len(name) + 1


def _part(text: str, begin: int, finish: int, signs: list[tuple[int, int, str]], following: int) -> Iterator[Item]:
    front = text[begin : signs[0][0]].strip(" \t-*•")
    rest = text[signs[-1][1] : finish].strip(" ,;:.()|\t")
    behind = bool(front) and not rest
    place = begin
    for number, (first, last, status) in enumerate(signs):
        limit = signs[number + 1][0] if number + 1 < len(signs) else finish
        if not behind and text[last:limit].lstrip().lower().startswith("for ") and number + 1 == len(signs):
            stop = _STATEMENT_END.search(text, last, following)
            limit = stop.start() if stop else following
        span = (place, first) if behind else (last, limit)
        for item in _item(text, *span, status, (first, last)):
            yield Item(item.start, item.start + len(text[item.start : item.end].rstrip(",;.()|")), status, item.cue)
        place = last


def _bare_signs(text: str, start: int, end: int, signs: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The + and - of a line that are signs, not bullets, dashes or hyphens."""
    line = text[start:end]
    spans = [(first - start, last - start) for first, last, _ in signs]
    places = [mark.end() - 1 for mark in _BARE.finditer(line) if not _inside(mark.end() - 1, spans)]
    found = [(place, line[place] == "+") for place in places]
    plus = any(positive for _, positive in found) or any(status == "affirmed" for *_, status in signs)
    neighbours = (text[text.rfind("\n", 0, max(0, start - 1)) + 1 : max(0, start - 1)], text[end + 1 : end + 8])
    plus = plus or any(neighbour.lstrip().startswith("+") for neighbour in neighbours)
    above = text[max(0, start - SYMPTOM_LIST) : start].rpartition("\n\n")[2]
    labelled = _SYMPTOM_LINES.search(above) is not None or _PLUS_ITEM.search(above) is not None
    kept = []
    for place, positive in found:
        before = line[max(0, place - SYMPTOM_LIST) : place].rstrip()
        listed = before.endswith((",", ";")) and line[place + 1 : place + 2].isalpha()
        listed = listed or (labelled and before.endswith(":") and line[place + 1 : place + 2].isalpha())
        if positive or plus or listed or (before and _SYMPTOM_LIST.search(before)):
            status = "affirmed" if positive else "negated"
            kept.append((start + place, start + place + 1, status))
    return kept


def _inside(place: int, spans: list[tuple[int, int]]) -> bool:
    number = bisect_right(spans, (place, sys.maxsize))
    return number > 0 and spans[number - 1][0] <= place < spans[number - 1][1]


def _without_overlap(items: list[Item]) -> list[Item]:
    kept: list[Item] = []
    for item in sorted(items, key=lambda item: (item.start, -item.end)):
        if not kept or item.start >= kept[-1].end:
            kept.append(item)
    return kept
