"""Times, counts, and words around a quotation, by the patterns of `resources/claims_patterns.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.claims.types import Quantifier, When
from dataset_builder.storage.files import faults_named, read_yaml
from modeling_clinragen.lab_words_clinragen import number_in_words

PATTERNS = files("clinragen.claims") / "resources" / "claims_patterns.yaml"
# "before hour 4" excludes what was measured at that hour.
JUST = 0.01

_NUMBERS = {number_in_words(number): number for number in range(100)}
NUMBER_WORDS = tuple(sorted(_NUMBERS, key=len, reverse=True))
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_LISTED = re.compile(r",? (?:and |& )?|,\s?")
UNREAD = When("unread")
_ENTIRE = re.compile(r"entire|whole|full|all |throughout|for |^[x×]", re.IGNORECASE)

Found = re.Match[str]
# A pattern is tried from so many characters before what every match contains to so many behind it.
_BEFORE, _BEHIND = 60, 90
_WORD_LENGTH = 40


@dataclass(frozen=True)
class Search:
    """A pattern, and a cheap one for what every match of it contains."""

    pattern: re.Pattern[str]
    near: re.Pattern[str] | None

    def regions(self, text: str) -> list[tuple[int, int]]:
        """Where a match may stand, from left to right and without overlap."""
        if self.near is None:
            return [(0, len(text))]
        regions: list[tuple[int, int]] = []
        for anchor in self.near.finditer(text):
            if regions and anchor.end() + _BEHIND // 2 < regions[-1][1]:
                continue
            start, end = _words_around(text, anchor.start() - _BEFORE, anchor.end() + _BEHIND)
            if regions and start <= regions[-1][1]:
                start, _ = regions.pop()
            regions.append((start, end))
        return regions


def _words_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The places moved outwards to a blank, so that no word or number is cut."""
    first = text.rfind(" ", max(0, start - _WORD_LENGTH), start) + 1 if start > 0 else 0
    last = text.find(" ", end, end + _WORD_LENGTH) if end < len(text) else len(text)
    return first or max(0, start), last if last >= 0 else end


@dataclass(frozen=True)
class Patterns:
    """Compiled patterns, each with the function that reads a match.

    A time may read as several points of time, or as none where it is about something else. `foreign` finds,
    right behind a number, what it belongs to instead of a variable; `rate` what makes it a rate of change.
    """

    times: tuple[tuple[Search, Callable[[Found], tuple[When, ...]]], ...]
    counts: tuple[tuple[Search, Callable[[Found], Quantifier]], ...]
    marks: tuple[tuple[Search, Callable[[Found], str]], ...]
    foreign: re.Pattern[str]
    rate: re.Pattern[str]
    denied: re.Pattern[str]
    past: re.Pattern[str]
    past_behind: re.Pattern[str]


@lru_cache(maxsize=4)
def load_patterns(path: Path | None = None) -> Patterns:
    """Read the patterns. Raises `InputDataError` naming what is missing or malformed."""
    source = path if path is not None else PATTERNS
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        parts = content["parts"]
        reader = _CountReader(content["operators"], content["multiples"], content["shares"])
        made: dict[str, Callable[[Found], Quantifier]] = {
            "count": reader.count,
            "more": reader.more,
            "all_but": reader.all_but,
            "percent": reader.percent,
            "share": reader.share,
        }
        made |= {extent: _extent(extent) for extent in ("every", "most")}
        return Patterns(
            times=tuple((_search(item, parts), _TIMES[item["gives"]]) for item in content["times"]),
            counts=tuple((_search(item, parts), made[item["gives"]]) for item in content["counts"]),
            marks=tuple((_search(item, parts), _mark(item["gives"])) for item in content["marks"]),
            foreign=_compile(content["foreign"], parts),
            rate=_compile(content["rate"], parts),
            denied=_compile(content["quotation"]["denied"], parts),
            past=_compile(content["quotation"]["past"], parts),
            past_behind=_compile(content["quotation"]["past_behind"], parts),
        )


def _search(item: Mapping[str, str], parts: Mapping[str, str]) -> Search:
    near = _compile(item["near"], parts) if "near" in item else None
    return Search(_compile(item["pattern"], parts), near)


def _compile(pattern: str, parts: Mapping[str, str]) -> re.Pattern[str]:
    while (named := re.search(r"\{([A-Z_]+)\}", pattern)) is not None:
        pattern = pattern.replace(named.group(), parts[named.group(1)])
    return re.compile(pattern, re.IGNORECASE)


def read_number(text: str) -> float:
    """A number in digits or, up to 999,999, in words ("three hundred seventeen")."""
    text = text.lower().replace(",", "").strip()
    if text[:1].isdigit():
        return float(text)
    total = current = 0
    for word in _WORD.findall(text):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += _NUMBERS.get(word, _ORDINALS.get(word, 0))
    return float(total + current)


def _hour(found: Found) -> float:
    groups = found.groupdict()
    return read_number(groups.get("a") or groups.get("b") or groups.get("c") or "")


def _about(found: Found) -> bool:
    return bool(found.groupdict().get("about"))


def _hours_of(found: Found) -> float:
    return read_number(found["a"] or "one") * (24 if found["unit"].lower().startswith("d") else 1)


def _day(found: Found) -> When:
    day = _hour(found)
    return When("window", 24 * (day - 1), 24 * day)


def _from(found: Found) -> When:
    """ "from hour 4"; "developed at hour 4" is silent on how long it lasted."""
    since = found.group().lower().startswith(("from", "since", "start", "beginning at", "beginning from", "as of"))
    return When("from", _hour(found), approximate=_about(found), by=not since)


def _all_of(found: Found) -> bool:
    return found.group().lower().startswith(("throughout", "for "))


def _mark(gives: str) -> Callable[[Found], str]:
    return lambda found: gives


def _extent(name: str) -> Callable[[Found], Quantifier]:
    return lambda found: Quantifier(name)


def _points(found: Found) -> tuple[When, ...]:
    """ "at hours 12, 16 and 20"."""
    return tuple(When("at", read_number(hour)) for hour in _LISTED.split(found["a"]) if hour)


def _lasting(found: Found) -> When:
    """A duration: "for 12 hours", "for at least two days"."""
    hours, operator = _hours_of(found), (found["operator"] or "").strip().lower()
    if operator in ("at least", "more than", "over", "no less than"):
        return When("lasting", hours)
    if operator in ("less than", "under", "up to", "at most", "no more than"):
        return When("lasting", 0.0, hours)
    return When("lasting", hours, hours, approximate=bool(operator))


def _taking(found: Found) -> When:
    """The duration of a change: "from 92 to 132 in 12 hours", "within 12 hours"."""
    hours = _hours_of(found)
    return When("taking", 0.0 if found["within"].lower() == "within" else hours, hours, approximate=_about(found))


def _some_readings(found: Found) -> When:
    """ "the last four readings"."""
    side = "first" if found["side"].lower() in ("first", "initial", "opening") else "last"
    return When(f"{side} readings", read_number(found["a"]), whole=True)


def _beside(found: Found) -> When:
    """ "the 6 hours after hour 10", "the 4 hours before hour 20"."""
    hour, length = _hour(found), read_number(found["n"])
    ends = (hour, hour + length) if found["side"].lower() in ("after", "from", "following") else (hour - length, hour)
    return When("window", max(0.0, ends[0]), ends[1])


def _between(found: Found) -> When:
    return When("window", read_number(found["a"] or "0"), read_number(found["b"]), _about(found), whole=True)


def _one(read: Callable[[Found], When]) -> Callable[[Found], tuple[When, ...]]:
    return lambda found: (read(found),)


_TIMES: Mapping[str, Callable[[Found], tuple[When, ...]]] = {
    "between": _one(_between),
    "points": _points,
    "beside": _one(_beside),
    "from": _one(_from),
    "until": _one(lambda found: When("until", _hour(found), approximate=_about(found))),
    "first": _one(lambda found: When("window", 0.0, _hours_of(found), whole=_all_of(found))),
    "last": _one(lambda found: When("final", _hours_of(found), whole=_all_of(found))),
    "before": _one(lambda found: When("window", 0.0, _hour(found) - JUST)),
    "by": _one(lambda found: When("window", 0.0, _hour(found), by=True)),
    "at": _one(lambda found: When("at", _hour(found), approximate=_about(found))),
    "after": _one(lambda found: When("window", _hour(found) + JUST)),
    "day": _one(_day),
    "days_end": _one(lambda found: When("at", 24 * _hour(found), approximate=True)),
    "lasting": _one(_lasting),
    "taking": _one(_taking),
    "whole": _one(lambda found: When("whole")),
    "stay": _one(lambda found: When("stay", _hours_of(found), whole=_ENTIRE.search(found.group()) is not None)),
    "readings": _one(_some_readings),
    "foreign": lambda found: (),
    "outside": lambda found: (When("outside"),),
    "unread": lambda found: (UNREAD,),
}


_ORDERED = frozenset((">", ">=", "<", "<="))


class _CountReader:
    """Reads numbers and shares of readings."""

    def __init__(
        self, operators: Mapping[str, str], multiples: Mapping[str, int], shares: Mapping[str, float]
    ) -> None:
        self._operators = operators
        self._multiples = multiples
        self._shares = shares

    def count(self, found: Found) -> Quantifier:
        """ "three times", "five of 12 readings", "twice"."""
        groups, word = found.groupdict(), found["a"].lower()
        number = self._multiples[word] if word in self._multiples else int(read_number(word))
        operator = self._operator(found)
        if operator in (">", "<"):
            number, operator = (number + 1, ">=") if operator == ">" else (number - 1, "<=")
        total = groups.get("b")
        runs = (groups.get("noun") or "").lower().startswith(("episode", "spell", "bout", "spike", "dip"))
        return Quantifier(
            operator=operator, count=number, total=None if total is None else int(read_number(total)), runs=runs
        )

    def more(self, found: Found) -> Quantifier:
        """ "in three more": at least as many, whatever was mentioned before."""
        return Quantifier(operator=">=", count=int(read_number(found["a"])))

    def all_but(self, found: Found) -> Quantifier:
        """ "in all but two readings": counted from their end."""
        return Quantifier(count=-int(read_number(found["a"])))

    def percent(self, found: Found) -> Quantifier:
        """ "in 40 % of the readings"."""
        operator = self._operator(found)
        return Quantifier(operator=operator, share=float(found["a"]) / 100)

    def share(self, found: Found) -> Quantifier:
        """ "in half of the readings": always approximate."""
        operator = self._operator(found)
        operator = operator if operator in _ORDERED else "~"
        return Quantifier(operator=operator, share=self._shares[found["a"].lower()])

    def _operator(self, found: Found) -> str:
        return self._operators.get((found["operator"] or "").strip().lower(), "=")
