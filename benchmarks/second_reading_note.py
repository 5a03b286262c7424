"""Reads where words stand in a note and whether it affirms them there, for the second reading (second_reading.py).

Written from docs/claims.md without sight of the project's context rules, for notes laid out like those of the
synthetic hospital: sections under known headings, of running text or of a list with one finding a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

AFFIRMED, NEGATED, FAMILY, DOUBT, HISTORY, UNKNOWN = "affirmed", "negated", "family", "doubt", "history", "unknown"

LISTS = frozenset(
    {
        "Allergies",
        "Chief Complaint",
        "Past Medical History",
        "Past Surgical History",
        "Social History",
        "Family History",
        "Physical Exam",
        "Medications on Admission",
    }
)
HEADINGS = LISTS | {
    "History of Present Illness",
    "Pertinent Results",
    "Major Surgical or Invasive Procedure",
    "Imaging",
    "ADMISSION LABS",
}
# Their lists may go on in a second line.
WRAPPED = frozenset({"Social History", "Family History", "Physical Exam"})
NEGATION = re.compile(
    r"\b(denies|denied|negative for|without|no sign of|no evidence of|no|not|never|ruled out|free of|absence of|"
    r"absent)\b[^.;]*$",
    re.IGNORECASE,
)
NEGATION_BEHIND = re.compile(
    r"^\s*(was |were |is |are )?(not (identified|found|seen|present)|was identified|were identified|absent|negative|"
    r"ruled out|: (no|none|denies))",
    re.IGNORECASE,
)
TURN = re.compile(
    r"\b(but|however|does endorse|did endorse|except|although|presents? with|who presented|found to|notable for|"
    r"revealed|significant for)\b",
    re.IGNORECASE,
)
OPEN = re.compile(
    r"(considered but thought unlikely|not supported by|felt unlikely|did not fit the picture|DDx included|"
    r"initial concern|briefly considered|ruled out|cannot be excluded|possible|\?|was considered|thought unlikely|"
    r"question of|rule out|r/o|unlikely|concern for)",
    re.IGNORECASE,
)
PAST = re.compile(
    r"(\bh/o\b|\bhistory of\b|\bhx of\b|\bremote\b|\bprior (episode|history)\b|^\s*in ___)", re.IGNORECASE
)
OVER = re.compile(r"(fully recovered|\bresolved\b|no recurrence)", re.IGNORECASE)
DATED = re.compile(r"(\bin ___|^\s*___$|[a-z] ___$)", re.IGNORECASE)
ITEM_END = re.compile(r"[,;]|\band\b")


@dataclass(frozen=True)
class Place:
    """One occurrence of words in a note: what the note makes of them there, and whether they are whole words."""

    state: str
    whole: bool


def fold(text: str) -> str:
    """The text with every run of blanks and line breaks as one blank."""
    return " ".join(text.split())


def stands_in(words: str, text: str) -> bool:
    """Whether the words stand in the text as whole words, both in the same case."""
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


class Note:
    """One note by its sections and their items: sentences of running text, or lines of a list.

    Args:
        text: The note; "" is valid.
    """

    def __init__(self, text: str) -> None:
        self.folded = fold(text).lower()
        self._items = [(heading, fold(item)) for heading, items in _sections(text) for item in items]

    def places(self, words: str) -> list[Place]:
        """Every occurrence, in any case; whole words only, as long as there are such. Empty where there is none."""
        wanted = fold(words).lower()
        if not wanted:
            return []
        found = [place for heading, item in self._items for place in _places_in(item, heading, wanted)]
        if not found and wanted in self.folded:
            found = [Place(UNKNOWN, stands_in(wanted, self.folded))]
        return [place for place in found if place.whole] or found


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    heading, lines = "", list[str]()
    for line in text.split("\n"):
        opened = re.match(r"^([A-Z][A-Za-z /]+):\s*(.*)$", line)
        if opened and opened.group(1) in HEADINGS:
            yield heading, _items(heading, lines)
            heading, lines = opened.group(1), [opened.group(2)]
        else:
            lines.append(line)
    yield heading, _items(heading, lines)


def _items(heading: str, lines: list[str]) -> list[str]:
    if heading not in LISTS:
        return re.split(r'(?<=[.!?])\s+(?=[A-Z_"])', fold(" ".join(lines)))
    items = list[str]()
    for line in lines:
        if not line.strip():
            continue
        if heading in WRAPPED and items and line[:1].islower():
            items[-1] += " " + line.strip()
        else:
            items.append(line.strip())
    return items


def _places_in(item: str, heading: str, wanted: str) -> Iterator[Place]:
    lower = item.lower()
    start = lower.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        whole = not (start and lower[start - 1].isalnum() and wanted[0].isalnum()) and not (
            end < len(lower) and lower[end].isalnum() and wanted[-1].isalnum()
        )
        yield Place(_state(heading, item[:start], item[start:end], item[end:]), whole)
        start = lower.find(wanted, start + 1)


def _state(heading: str, before: str, words: str, after: str) -> str:
    """What the note makes of the words between the two parts of their item."""
    item = before + words + after
    turns = [turn.end() for turn in TURN.finditer(before)]
    clause = before[turns[-1] :] if turns else before
    if heading == "Family History" and not re.search(r"\bpatient\b", item):
        return FAMILY
    if NEGATION.search(clause):
        return NEGATED
    if NEGATION_BEHIND.search(after) and re.search(r"\bno\b", before, re.IGNORECASE):
        return NEGATED
    if OPEN.search(item):
        return DOUBT
    # A past that is over holds for the whole item, a date only for the finding that it follows.
    own_end = ITEM_END.search(after)
    own = after[: own_end.start()] if own_end else after
    if PAST.search(clause) or PAST.search(words) or OVER.search(item) or DATED.search(own.rstrip(" .")):
        return HISTORY
    return AFFIRMED
