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
from dataset_builder.contract.lab_summary import number_in_words
from dataset_builder.storage.files import faults_named, read_yaml

PATTERNS = files("clinragen.claims") / "resources" / "claims_patterns.yaml"
# "before hour 4" excludes what was measured at that hour.
_JUST = 0.01

_NUMBERS = {number_in_words(number): number for number in range(100)}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")

Found = re.Match[str]


@dataclass(frozen=True)
class Patterns:
    """Compiled patterns, each with the function that reads a match; a time that reads as None is ignored."""

    times: tuple[tuple[re.Pattern[str], Callable[[Found], When | None]], ...]
    counts: tuple[tuple[re.Pattern[str], Callable[[Found], Quantifier]], ...]
    denied: re.Pattern[str]
    past: re.Pattern[str]


@lru_cache(maxsize=4)
def load_patterns(path: Path | None = None) -> Patterns:
    """Read the patterns. Raises `InputDataError` naming what is missing or malformed."""
    source = path if path is not None else PATTERNS
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        parts = content["parts"]
        reader = _CountReader(content["operators"], content["multiples"], content["shares"])
        made = {"count": reader.count, "more": reader.more, "percent": reader.percent, "share": reader.share}
        return Patterns(
            times=tuple((_compile(item["pattern"], parts), _TIMES[item["gives"]]) for item in content["times"]),
            counts=tuple((_compile(item["pattern"], parts), made[item["gives"]]) for item in content["counts"]),
            denied=_compile(content["quotation"]["denied"], parts),
            past=_compile(content["quotation"]["past"], parts),
        )


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
    return read_number(groups.get("a") or groups.get("b") or "")


def _about(found: Found) -> bool:
    return bool(found.groupdict().get("about"))


def _hours_of(found: Found) -> float:
    return read_number(found["a"] or "one") * (24 if found["unit"].lower().startswith("d") else 1)


def _day(found: Found) -> When:
    day = _hour(found)
    return When("window", 24 * (day - 1), 24 * day)


_TIMES: Mapping[str, Callable[[Found], When | None]] = {
    "between": lambda found: When("window", read_number(found["a"]), read_number(found["b"]), _about(found)),
    "from": lambda found: When("from", _hour(found), approximate=_about(found)),
    "until": lambda found: When("until", _hour(found), approximate=_about(found)),
    "first": lambda found: When("window", 0.0, _hours_of(found)),
    "last": lambda found: When("final", _hours_of(found)),
    "before": lambda found: When("window", 0.0, _hour(found) - _JUST),
    "by": lambda found: When("window", 0.0, _hour(found)),
    "at": lambda found: When("at", _hour(found), approximate=_about(found)),
    "after": lambda found: When("window", _hour(found) + _JUST),
    "day": _day,
    "ignored": lambda found: None,
}


# A share is too imprecise for "more than" to exclude equality.
_INCLUSIVE = {">": ">=", ">=": ">=", "<": "<=", "<=": "<="}


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

    def percent(self, found: Found) -> Quantifier:
        """ "in 40 % of the readings"."""
        operator = self._operator(found)
        return Quantifier(operator=_INCLUSIVE.get(operator, operator), share=float(found["a"]) / 100)

    def share(self, found: Found) -> Quantifier:
        """ "in half of the readings": always approximate."""
        operator = _INCLUSIVE.get(self._operator(found), "~")
        return Quantifier(operator=operator, share=self._shares[found["a"].lower()])

    def _operator(self, found: Found) -> str:
        return self._operators.get((found["operator"] or "").strip().lower(), "=")
