"""The numbers that a sentence may state of a variable: they come from the patient's series, never from the model.

While a sentence is being written, its words so far say which number may follow: the model chooses variable,
direction, statistic ("peaking near", "from hour") and window, and the digits are those of the readings. Where the
words name no statistic, any reading of the variable is possible, and where they name no variable, no number is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .errors import SettingsError
from .sentences_clinragen import QUOTATION
from .series_statistics_clinragen import low_and_high
from .unit_names_clinragen import UnitNames, behind_number
from .vocabulary_clinragen import RangeSet, Scale, Variable, Vocabulary

NUMBERS = ("statistic", "readings", "free")
"""Which numbers are possible: those of the statistic that the words name, any of the variable's readings, or any."""

MUCH = 0.5
"""A level that begins at an hour is that of at least this share of the readings from there on."""

_APPROXIMATE = r"(?:about|near|around|approximately|roughly|~|≈)"
_WORD = re.compile(r"\w+")
_NUMBER = r"\d+(?:\.\d+)?"
_DIRECTION = re.compile(
    r"\b(?:(?P<high>high|higher|elevated|raised|increased|above|exceeds?)"
    r"|(?P<low>low|lower|reduced|decreased|depressed|below|dips?|drops?)"
    r"|(?P<rising>ris(?:es|ing)|rose|increases|increasing|climb\w*)"
    r"|(?P<falling>fall(?:s|ing)|fell|decreases|decreasing|declin\w*)"
    r"|(?P<erratic>swing\w*|erratic\w*|fluctuat\w*))\b"
)
# In how many readings, by word: the least and the greatest share of them, and the least and the greatest number.
_SHARES: dict[str, tuple[float, float, int, int]] = {
    **dict.fromkeys(("every", "each", "all"), (1.0, 1.0, 1, 10**9)),
    "most": (0.5 + 1e-9, 1.0, 1, 10**9),
    "some": (0.2, 0.5, 1, 10**9),
    "several": (0.0, 1.0, 3, 10**9),
    "few": (0.0, 0.2, 2, 10**9),
    "once": (0.0, 1.0, 1, 1),
    "level": (0.0, 1.0, 1, 10**9),
}
_SHARE = re.compile(
    r"\b(?:in\s+(?:an?\s+|the\s+)?(?P<share>every|each|all|most|some|several|few)|(?P<once>once)|"
    r"(?:is|are|was|were|runs?)\s+(?P<level>high|low))\Z",
    re.IGNORECASE,
)
_LONGEST_SHARE = 24
# What stands right before a number, in order: the first that fits decides. "{n}" is a number, "{a}" a blank and
# perhaps a word like "about".
_CUES: tuple[tuple[str, str], ...] = tuple(
    (name, cue.replace("{n}", _NUMBER).replace("{a}", rf"(?:[\s(]+{_APPROXIMATE})?[\s(]+"))
    for name, cue in (
        ("hour_of_max", r"\b(?:peak\w*|highest|maxim\w+)\b[^,;.]{0,30}\b(?:hours?|h){a}"),
        ("hour_of_min", r"\b(?:lowest|nadir|minim\w+|trough)\b[^,;.]{0,30}\b(?:hours?|h){a}"),
        ("onset", r"\b(?:from|after|since|starting at|beginning at)\s+(?:hours?|h){a}"),
        ("offset", r"\b(?:until|till|up to|through|before)\s+(?:hours?|h){a}"),
        ("hour_of_value", r"(?P<value>{n})[^\d,;.]{0,12}\b(?:at|by)\s+(?:hours?|h){a}"),
        ("hour_of_level", r"\bat\s+(?:hours?|h){a}"),
        ("hour", r"\b(?:hours?|h){a}"),
        ("total", r"\bin\s+{n}\s+of{a}(?:the\s+)?"),
        ("count", r"\bin{a}"),
        ("max", r"\b(?:between{a}{n}[^\d]{0,12}\band|rang\w+[^\d]{0,12}{n}[^\d]{0,12}\bto){a}"),
        ("last", r"\bfrom{a}{n}[^\d]{0,12}\bto{a}"),
        ("min", r"\b(?:between|rang\w+\s+from){a}"),
        ("first", r"\bfrom{a}"),
        ("max", r"\b(?:up\s+to|peak\w*|as\s+high\s+as|maxim\w+|highest|high\s+of)\b[^\d,;.]{0,12}{a}"),
        ("min", r"\b(?:down\s+to|lowest|nadir|as\s+low\s+as|minim\w+|trough\w*|low\s+of)\b[^\d,;.]{0,12}{a}"),
        ("mean", r"\b(?:mean|average)\s+(?:of|is|was){a}"),
        ("limit", r"(?:\b(?:above|below|over|under|than|least|most)|[<>≤≥]){a}?"),
        ("reading", r"(?:{a}|^|[^\w.])"),
    )
)
_PATTERNS = tuple((name, re.compile(rf"{cue}\Z", re.IGNORECASE)) for name, cue in _CUES)
_ROUGHLY = re.compile(_APPROXIMATE, re.IGNORECASE)
# Behind these words a number has to follow.
_DEMAND = re.compile(
    r"\b(?:(?:from|until|till|at|by|since|after|before|through)\s+hours?|"
    rf"(?:to|from|between|peak\w*|lowest|nadir|was|is|of)\s+{_APPROXIMATE})(?P<blank>\s*)\Z",
    re.IGNORECASE,
)
_LONGEST_DEMAND = 40
_DEMAND_ENDS = ("hour", "hours", "about", "near", "around", "ly", "~", "≈")


def round_to_step(scale: Scale, value: float) -> str:
    """`value` as the nearest multiple of the scale's step, as a report writes it: "130", "38.5"."""
    decimals = max(0, -math.floor(math.log10(scale.step) + 1e-9))
    if round(scale.step, decimals) != scale.step:
        decimals += 1
    return f"{math.floor(value / scale.step + 0.5) * scale.step:.{decimals}f}"


def round_hour(hours: float) -> int:
    """The nearest whole hour; "hour 4" is true within half an hour."""
    return math.floor(float(hours) + 0.5)


@dataclass(frozen=True)
class Phrase:
    """Words that name a variable; `says` is the level or trend that they state of it ("febrile"), or ""."""

    variable: int
    words: str
    says: str = ""


class VariableNames:
    """Finds the variables that a text names, by any of their names and conditions.

    Args:
        vocabulary: The variables.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.phrases: dict[str, Phrase] = {}
        for number, variable in enumerate(vocabulary.variables):
            for words, says in _words_of(variable):
                self.phrases.setdefault(_folded(words), Phrase(number, words, says))
        self._longest = max((len(words.split()) for words in self.phrases), default=0)
        self._endings = frozenset(words.split()[-1] for words in self.phrases if words)
        self.units = UnitNames(vocabulary)

    def last(self, text: str) -> tuple[Phrase, int] | None:
        """The variable named last and where its name ends."""
        words = list(_WORD.finditer(text))
        folded = [found.group().lower() for found in words]
        for end in range(len(words), 0, -1):
            if folded[end - 1] not in self._endings:
                continue
            for start in range(max(0, end - self._longest), end):
                phrase = self.phrases.get(" ".join(folded[start:end]))
                if phrase is not None:
                    return phrase, words[end - 1].end()
        return None

    def of(self, variables: Iterable[int]) -> list[str]:
        """All words for the variables, except those that are a part of a disease's name and single letters."""
        wanted = set(variables)
        diseases = " ".join(self.vocabulary.disease_names).lower()
        return [
            words
            for words, phrase in self.phrases.items()
            if phrase.variable in wanted and len(words) > 1 and not re.search(rf"\b{re.escape(words)}\b", diseases)
        ]


def _words_of(variable: Variable) -> list[tuple[str, str]]:
    names = (variable.name, variable.short, *variable.aliases, *variable.words.names)
    found = [(name, "") for name in names]
    found += [(words, condition.says) for condition in variable.words.conditions for words in condition.words]
    return found + [(words, "") for words, _ in variable.words.extremes]


def _folded(words: str) -> str:
    return " ".join(_WORD.findall(words.lower()))


@dataclass(frozen=True)
class _Cue:
    """The number that the words before it ask for: a name of `_CUES`, the number at the hour in question, and whether
    the words make it an approximate one."""

    name: str = ""
    value: str = ""
    roughly: bool = False


class SeriesNumbers:
    """The numbers of one patient's series.

    Args:
        names: The variables' names.
        range_set: What is low, normal and high.
        series: `hours` `(steps,)` and `values` `(steps, variables)`, NaN where nothing was measured; or None.
        numbers: One of `NUMBERS`.
    """

    def __init__(
        self,
        names: VariableNames,
        range_set: RangeSet,
        series: Mapping[str, Any] | None,
        numbers: str = "statistic",
    ) -> None:
        if numbers not in NUMBERS:
            raise SettingsError(f"numbers '{numbers}' are unknown; choose one of {', '.join(NUMBERS)}")
        self._names = names
        self._range_set = range_set
        self._numbers = numbers
        count = len(names.vocabulary.variables)
        hours = np.zeros(0) if series is None else np.asarray(series["hours"], dtype=np.float64)
        values = np.zeros((0, count)) if series is None else np.asarray(series["values"], dtype=np.float64)
        self._hours, self._values = hours, values.reshape(len(hours), count)
        self._read: dict[int, _Readings] = {}
        self._possible: dict[tuple[int, str, _Cue], frozenset[str]] = {}
        # Many continuations of the same words are tried.
        self._after: dict[str, frozenset[str] | None] = {}
        self._demands: dict[str, str] = {}

    @cached_property
    def measured(self) -> tuple[bool, ...]:
        """For every variable whether it was measured at all."""
        return tuple(bool(np.isfinite(column).any()) for column in self._values.T)

    def possible(self, sentence: str) -> frozenset[str] | None:
        """The numbers that may follow the words of a sentence so far; None where any number may."""
        if sentence not in self._after:
            self._after[sentence] = self._following(sentence)
        return self._after[sentence]

    def _following(self, sentence: str) -> frozenset[str] | None:
        if self._numbers == "free":
            return None
        text = QUOTATION.sub(" ", sentence)
        named = self._names.last(text)
        if named is None:
            return frozenset()
        phrase, end = named
        said = text[end:]
        cue = self._cue(said)
        key = (phrase.variable, phrase.says or direction_of(said), cue)
        if key not in self._possible:
            self._possible[key] = self._of(*key)
        return self._possible[key]

    def demand(self, sentence: str) -> str:
        """Whether the words so far, which speak of a variable, ask for a number: "no", "yes", "at once" (the blank
        before the number has been written too), or "in vain" where no number can follow."""
        if not sentence[-_LONGEST_DEMAND:].rstrip().lower().endswith(_DEMAND_ENDS):
            return "no"
        if sentence not in self._demands:
            self._demands[sentence] = self._demand(sentence)
        return self._demands[sentence]

    def _demand(self, sentence: str) -> str:
        found = _DEMAND.search(sentence[-_LONGEST_DEMAND:]) if self._numbers != "free" else None
        if found is None or self._names.last(QUOTATION.sub(" ", sentence)) is None:
            return "no"
        blank = bool(found["blank"])
        if not self.possible(sentence if blank else sentence + " "):
            return "in vain"
        return "at once" if blank else "yes"

    def overstates(self, sentence: str) -> bool:
        """Whether the words end with a level, or with a share of the readings at it, that the variable's deny."""
        found = _SHARE.search(sentence[-_LONGEST_SHARE:]) if self._numbers == "statistic" else None
        named = None if found is None else self._names.last(QUOTATION.sub(" ", sentence))
        if found is None or named is None:
            return False
        phrase, end = named
        direction = phrase.says or direction_of(sentence[end:])
        readings = self._readings(phrase.variable)
        if readings is None or direction not in ("low", "high"):
            return False
        words = (found["share"] or found["once"] or "level").lower()
        least, greatest, fewest, most = _SHARES[words]
        count = readings.counts(direction)[0]
        share = count / len(readings.values)
        return not (least <= share <= greatest and fewest <= count <= most)

    def misnames(self, sentence: str) -> bool:
        """Whether the words end with a number and the unit of another variable than that which they speak of."""
        unit = behind_number(sentence) if self._numbers == "statistic" else ""
        named = self._names.last(QUOTATION.sub(" ", sentence)) if unit else None
        return named is not None and self._names.units.is_another_s(unit, named[0].variable)

    def _cue(self, said: str) -> _Cue:
        for name, pattern in _PATTERNS:
            found = pattern.search(said)
            if found:
                if self._numbers == "readings" and name not in ("total", "count"):
                    name = "hour" if name.startswith(("hour", "onset", "offset")) else "reading"
                roughly = bool(_ROUGHLY.search(found.group()))
                return _Cue(name, found.groupdict().get("value") or "", roughly)
        return _Cue()

    def _of(self, column: int, direction: str, cue: _Cue) -> frozenset[str]:
        readings = self._readings(column)
        if readings is None or not cue.name:
            return frozenset()
        if cue.name.startswith(("hour", "onset", "offset")):
            return frozenset(str(round_hour(hour)) for hour in readings.hours_for(cue.name, direction, cue.value))
        if cue.name in ("count", "total"):
            return frozenset(map(str, readings.counts(direction if cue.name == "count" else "any")))
        return readings.written(cue.name, cue.roughly)

    def _readings(self, column: int) -> _Readings | None:
        if not self.measured[column]:
            return None
        if column not in self._read:
            kept = np.isfinite(self._values[:, column])
            variable = self._names.vocabulary.variables[column]
            self._read[column] = _Readings(
                variable, self._range_set, self._hours[kept], self._values[kept, column].astype(float)
            )
        return self._read[column]


def direction_of(said: str) -> str:
    """The direction that words state of the variable before them: the last of `_DIRECTION` in them, or ""."""
    last = ""
    for found in _DIRECTION.finditer(said.lower()):
        last = found.lastgroup or ""
    return last


@dataclass(frozen=True)
class _Readings:
    """The readings of one variable, in order of time."""

    variable: Variable
    range_set: RangeSet
    hours: np.ndarray
    values: np.ndarray

    @cached_property
    def _levels(self) -> list[str | None]:
        if self.variable.key not in self.range_set.bounds:
            return [None] * len(self.values)
        low, high = low_and_high(self.values, self.variable.key, self.range_set)
        return np.select([low, high], ["low", "high"], "normal").tolist()

    def hours_for(self, cue: str, direction: str, value: str) -> list[float]:
        """The hours, since admission to the ICU, that the words can mean."""
        if cue in ("hour_of_max", "hour_of_min"):
            wanted = self.values.max() if cue == "hour_of_max" else self.values.min()
            return [hour for hour, read in zip(self.hours, self.values, strict=True) if read == wanted]
        if cue == "hour_of_value":
            return [h for h, read in zip(self.hours, self.values, strict=True) if value in self._spellings(read)]
        at = [hour for hour, level in zip(self.hours, self._levels, strict=True) if level == direction]
        if cue in ("onset", "offset") and direction:
            return self._edge(direction, cue == "onset")
        return at or list(self.hours)

    def _edge(self, direction: str, onset: bool) -> list[float]:
        # "From hour 6" says that nothing was so before, and much of it after; "until" is the same reversed.
        levels = self._levels if onset else self._levels[::-1]
        hours = self.hours if onset else self.hours[::-1]
        if direction not in levels or levels[0] == direction:
            return []
        first = levels.index(direction)
        after = levels[first:]
        return [hours[first]] if after.count(direction) >= MUCH * len(after) else []

    def counts(self, direction: str) -> list[int]:
        """How many readings are at the level; of a level that is not named, how many there are."""
        counted = sum(level == direction for level in self._levels)
        return [counted] if direction in ("low", "high") else [len(self.values)]

    def written(self, cue: str, roughly: bool) -> frozenset[str]:
        """The statistic, or for "reading" every reading, as texts write it."""
        if cue == "limit":
            return frozenset(_plain(bound) for bound in self.range_set.bounds.get(self.variable.key, ()))
        chosen: Mapping[str, Iterable[float]] = {
            "max": [self.values.max()],
            "min": [self.values.min()],
            "mean": [self.values.mean()],
            "first": self.values[:1],
            "last": self.values[-1:],
        }
        found: set[str] = set()
        for value in chosen.get(cue, self.values):
            if roughly and self.variable.scale is not None:
                found.add(round_to_step(self.variable.scale, float(value)))
            else:
                found |= self._spellings(float(value))
        return frozenset(found)

    def _spellings(self, value: float) -> set[str]:
        # As charted, and a share of one as a percentage too.
        written = {f"{value:.{self.variable.decimals}f}", _plain(round(value, self.variable.decimals))}
        if self.variable.unit == "fraction":
            written.add(_plain(round(100 * value)))
        return written


def _plain(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


__all__ = ["NUMBERS", "Phrase", "SeriesNumbers", "VariableNames", "direction_of", "round_hour", "round_to_step"]
