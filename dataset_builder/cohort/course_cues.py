"""Cues in the sentences of a note: where the account of a hospital course begins, whatever heading stands above it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

from dataset_builder.storage.files import read_yaml

RESOURCES = files("dataset_builder.cohort") / "resources"

_SHORT_LINE = 56
"""Where a line has fewer characters and the next begins with a capital, the line was ended on purpose."""

_REMEMBERED = 3
"""Sentences after the mention of an earlier stay that may still be about it."""

_MINDS_CASE = "(?-i:"
_MINDING_CASE = frozenset({"elsewhere"})
_BEGINNINGS = ("this_stay", "stay", "admitted", "done")
_LONGEST_SENTENCE = 600
_BREAK = re.compile(r"(?<=[.!?;])\s+(?=[^a-z\s])|\n\n+|\n(?=[-•*#\d(])|(?=</?[A-Za-z])")
_CLAUSE = re.compile(r"[,;.(]\s*|\s(?=(?:and|then|but)\s)")
_NEXT = re.compile(r"\n(?=[A-Z+])")


@lru_cache(maxsize=1)
def _patterns() -> Mapping[str, re.Pattern[str]]:
    content = dict(read_yaml(RESOURCES / "course_cues.yaml"))
    content["any"] = [pattern for kind in (*_BEGINNINGS, "stayed") for pattern in content[kind]]
    return {kind: _compiled(listed) for kind, listed in content.items()}


def _compiled(listed: Sequence[str]) -> re.Pattern[str]:
    """One pattern of many. Lower-case letters are searched for in a text in lower case, which is four times faster."""
    joined = rf"\b(?:{'|'.join(listed)})".replace(" ?", r"\s*").replace(" ", r"\s+") + r"(?!\w)"
    return re.compile(joined, re.IGNORECASE if _MINDS_CASE in joined else re.NOFLAG)


def _found(kind: str, sentence: str) -> re.Match[str] | None:
    pattern = _patterns()[kind]
    if kind in _MINDING_CASE:
        return pattern.search(sentence)
    lower = sentence.lower()
    if len(lower) != len(sentence):
        # A letter that becomes two would move the places.
        lower = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in sentence)
    return pattern.search(lower)


def has_cue(kind: str, sentence: str) -> bool:
    """Whether a sentence has a cue of a kind: "this_stay", "admitted", "opens", and so on."""
    return _found(kind, sentence) is not None


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """(place, sentence) for every sentence, entry of a list, or line that was ended on purpose; joined, the text."""
    start = 0
    for end in (*_breaks(text), len(text)):
        while end - start > _LONGEST_SENTENCE:
            yield start, text[start : start + _LONGEST_SENTENCE]
            start += _LONGEST_SENTENCE
        if end > start:
            yield start, text[start:end]
        start = end


def _breaks(text: str) -> list[int]:
    ends = {found.end() for found in _BREAK.finditer(text)}
    for found in _NEXT.finditer(text):
        line_start = text.rfind("\n", 0, found.start()) + 1
        if found.start() - line_start < _SHORT_LINE:
            ends.add(found.end())
    return sorted(ends)


class CourseReader:
    """Reads a section's sentences in order and says which of them is the first of a hospital course.

    `strict` sections (below an unknown heading, in a letter) end at the first thing that was done; others only at what
    happens in hospital days, at discharge or after an admission. An earlier stay or one in another hospital ends
    nothing.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._admitted = False
        self._elsewhere = 0

    def begins(self, sentence: str) -> bool:
        """Whether the course begins in this sentence."""
        return self.begins_at(sentence) is not None

    def begins_at(self, sentence: str) -> int | None:
        """How many characters of the sentence come before the course, or None if it does not begin here.

        That is none, unless the sentence first tells why the patient came.
        """
        if not self._admitted and not self._elsewhere and not has_cue("any", sentence):
            return None  # Most sentences have nothing of all this.
        found = {kind: _found(kind, sentence) for kind in _BEGINNINGS}
        cues = [cue.start() for cue in found.values() if cue is not None]
        here = _found("here", sentence)
        stay = found["this_stay"] or found["stay"]
        if here is not None and cues and here.start() < min(cues):
            self._elsewhere = 0
        away = has_cue("elsewhere", sentence)
        if away or self._elsewhere:
            account = away and (stay is not None or has_cue("stayed", sentence))
            ended = here is not None or sentence.endswith("\n\n")
            self._elsewhere = 0 if ended else _REMEMBERED if account else max(self._elsewhere - 1, 0)
            return None
        if stay is None:
            self._admitted = self._admitted or found["admitted"] is not None
            done = found["done"] is not None and (self._strict or self._admitted)
            done = done or (self._admitted and has_cue("shown", sentence))
            if not done or has_cue("arrives", sentence) or (not self._admitted and has_cue("emergency", sentence)):
                return None
        first = min(cues, default=0)
        dated = _found("dated", sentence)
        if dated is not None and dated.end() <= first:
            # "Sodium on admission 121, on discharge 134": what is said of the admission stays.
            return max((found.end() for found in _CLAUSE.finditer(sentence, dated.end(), first)), default=0)
        opens = _found("opens", sentence)
        return min(cues, default=0) if opens is not None and opens.end() <= min(cues, default=0) else 0
