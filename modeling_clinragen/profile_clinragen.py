"""The inputs that a model was trained on, in a few numbers, and what of a patient is unlike them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .errors import SettingsError
from .reading_clinragen import ReadReport

PROFILE_VERSION = 1
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
FEWEST_EXAMPLES = 20
"""A profile of fewer would be about single patients."""
# A share of examples is as good as none, or as all.
_RARE, _USUAL = 0.01, 0.99
# Significant digits of the numbers that are kept.
_DIGITS = 3
_QUANTILE_FIELDS = (
    *("note_tokens", "note_words", "known_words", "unknown_tokens", "tokens_per_word"),
    *("variables", "readings"),
)


@dataclass(frozen=True)
class Cut:
    """How much of many notes is read.

    Args:
        examples: Notes of which parts are left out.
        of: Notes.
        tokens_read: Tokens that are read of all of them.
        tokens: Tokens of all of them.
    """

    examples: int
    of: int
    tokens_read: int
    tokens: int

    @classmethod
    def of_counts(cls, counts: Iterable[tuple[int, int]]) -> Cut:
        """The sums over the tokens that are read and all tokens of each note; an empty note does not count."""
        notes = [(read, total) for read, total in counts if total]
        read, total = (sum(column) for column in zip(*notes, strict=True)) if notes else (0, 0)
        return cls(sum(read < total for read, total in notes), len(notes), read, total)

    @property
    def sentence(self) -> str:
        """Such as "12 of 300 notes are not read whole: read 7,000 of 9,000 tokens"."""
        verb = "is" if self.examples == 1 else "are"
        return (
            f"{self.examples:,} of {self.of:,} notes {verb} not read whole: "
            f"read {self.tokens_read:,} of {self.tokens:,} tokens"
        )


@dataclass(frozen=True)
class InputProfile:
    """A description of the inputs of a training: numbers over all examples only, no text and no single patient.

    The quantiles are those of `QUANTILES`; where no example has a note or a series, theirs are empty.

    Args:
        examples: Number of examples.
        without_note, without_series: Share of the examples without a note, or without any measurement.
        note_tokens: Quantiles of the tokens of a whole note.
        note_words: Quantiles of its words.
        known_words: Quantiles of the share of its words that one token holds whole.
        unknown_tokens: Quantiles of the share of its tokens that are the unknown token.
        tokens_per_word: Quantiles of its tokens for each word.
        variables: Quantiles of the number of variables that were measured.
        readings: Quantiles of the number of measured values.
        measured: By variable, the share of the examples with a series in which it was measured.
        notes_cut: How much of the notes was read.
        version: Of these fields.
    """

    examples: int
    without_note: float
    without_series: float
    note_tokens: tuple[float, ...]
    note_words: tuple[float, ...]
    known_words: tuple[float, ...]
    unknown_tokens: tuple[float, ...]
    tokens_per_word: tuple[float, ...]
    variables: tuple[float, ...]
    readings: tuple[float, ...]
    measured: Mapping[str, float]
    notes_cut: Cut
    version: int = PROFILE_VERSION

    @classmethod
    def of_reports(cls, reports: Iterable[ReadReport], variables: Iterable[str]) -> InputProfile | None:
        """The profile of examples with these variables; None where there are too few for one."""
        reports = list(reports)
        if len(reports) < FEWEST_EXAMPLES:
            return None
        notes = [report for report in reports if report.words]
        series = [report for report in reports if report.readings]
        return cls(
            examples=len(reports),
            without_note=_rounded(1 - len(notes) / len(reports)),
            without_series=_rounded(1 - len(series) / len(reports)),
            note_tokens=_quantiles(report.tokens_total for report in notes),
            note_words=_quantiles(report.words for report in notes),
            known_words=_quantiles(report.known_words for report in notes if report.known_words is not None),
            unknown_tokens=_quantiles(report.unknown_tokens for report in notes if report.unknown_tokens is not None),
            tokens_per_word=_quantiles(report.tokens_total / report.words for report in notes),
            variables=_quantiles(len(report.measured) for report in series),
            readings=_quantiles(report.readings for report in series),
            measured={
                key: _rounded(sum(key in report.measured for report in series) / max(1, len(series)))
                for key in variables
            },
            notes_cut=Cut.of_counts((report.tokens_read, report.tokens_total) for report in reports),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        content = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> InputProfile:
        """Read `to_dict`'s.

        Raises:
            SettingsError: It is another version's, or not such a dictionary.
        """
        if content.get("version") != PROFILE_VERSION or set(content) != {field.name for field in fields(cls)}:
            raise SettingsError(f"{where}: this version reads profiles of version {PROFILE_VERSION}; train again")
        try:
            quantiles = {name: tuple(float(number) for number in content[name]) for name in _QUANTILE_FIELDS}
            return cls(**{**content, **quantiles, "notes_cut": Cut(**content["notes_cut"])})
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{where}: is damaged; give a whole model folder") from error


def unlike(report: ReadReport, profile: InputProfile, names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Sentences that say what of a patient is unlike the patients that a model was trained on; none where nothing is.

    A number is unlike the training when it lies clearly beyond the outermost quantile: farther than that one lies from
    the next. With the quantile itself as the limit, each of the numbers would set apart one or two of a hundred
    ordinary patients, and all of them together so many that nobody would heed the sentences.

    Args:
        report: The patient.
        profile: The training.
        names: The variables' names by key; by default the keys.
    """
    return (*_unlike_notes(report, profile), *_unlike_series(report, profile, names or {}))


def _unlike_notes(report: ReadReport, profile: InputProfile) -> Iterator[str]:
    if not report.words:
        if profile.without_note < _RARE:
            yield "there is no note; at least 99 % of the training examples had one"
        return
    if not profile.note_words:
        yield "there is a note; no training example had one"
        return
    low, high = profile.note_words[0], profile.note_words[-1]
    if report.words < _lowest(profile.note_words):
        yield f"the note has {_counted(report.words, 'word')}; 99 % of the training notes had at least {low:,.0f}"
    if report.words > _highest(profile.note_words):
        yield f"the note has {_counted(report.words, 'word')}; 99 % of the training notes had at most {high:,.0f}"
    known, per_word, odd = report.known_words, report.tokens_total / report.words, report.unknown_tokens or 0.0
    if known is None and profile.known_words:
        yield "the note has no words of letters; the training notes had some"
    elif known is not None and profile.known_words and _above(1 - known, 1 - _lowest(profile.known_words), _percent):
        yield (
            f"{_percent(1 - known)} of the note's words are unknown to the model; in 99 % of the training notes at "
            f"most {_percent(1 - profile.known_words[0])} were"
        )
    elif _above(per_word, _highest(profile.tokens_per_word), _tenths):
        yield (
            f"the note has {_tenths(per_word)} tokens for each word; 99 % of the training notes had at most "
            f"{_tenths(profile.tokens_per_word[-1])}"
        )
    if _above(odd, profile.unknown_tokens[-1], _percent):
        yield (
            f"{_percent(odd)} of the note's tokens are characters that the model can't read; in 99 % of the training "
            f"notes at most {_percent(profile.unknown_tokens[-1])} were"
        )


def _unlike_series(report: ReadReport, profile: InputProfile, names: Mapping[str, str]) -> Iterator[str]:
    if not report.readings:
        if profile.without_series < _RARE:
            yield "nothing was measured; at least 99 % of the training examples had measurements"
        return
    if not profile.variables:
        yield "there are measurements; no training example had any"
        return
    few = len(report.measured) < _lowest(profile.variables)
    if few:
        yield (
            f"there are readings of {_counted(len(report.measured), 'variable')}; 99 % of the training examples had "
            f"those of at least {profile.variables[0]:.0f}"
        )
    elif report.readings < _lowest(profile.readings):
        yield (
            f"there are {_counted(report.readings, 'reading')}; 99 % of the training examples had at least "
            f"{profile.readings[0]:,.0f}"
        )
    if report.readings > _highest(profile.readings):
        yield (
            f"there are {_counted(report.readings, 'reading')}; 99 % of the training examples had at most "
            f"{profile.readings[-1]:,.0f}"
        )
    missing = [key for key, share in profile.measured.items() if share >= _USUAL and key not in report.measured]
    if missing and not few:
        yield f"not measured, as in at most 1 % of the training examples: {_listed(missing, names)}"
    new = [key for key in report.measured if profile.measured.get(key, 0.0) < _RARE]
    if new:
        yield f"measured, as in less than 1 % of the training examples: {_listed(new, names)}"


def _quantiles(values: Iterable[float]) -> tuple[float, ...]:
    found = np.array(list(values), dtype=np.float64)
    if not found.size:
        return ()
    # Outwards, so that "99 % had at least" holds of what is kept.
    low = [_rounded(np.quantile(found, q, method="lower"), math.floor) for q in QUANTILES if q < 0.5]
    high = [_rounded(np.quantile(found, q, method="higher"), math.ceil) for q in QUANTILES if q > 0.5]
    return (*low, _rounded(np.median(found)), *high)


def _rounded(number: Any, direction: Callable[[float], float] = round) -> float:
    if number == 0:
        return 0.0
    digits = _DIGITS - 1 - math.floor(math.log10(abs(number)))
    # Rounded before as well: 0.29 times 100 is 28.999999999999996.
    return float(f"{direction(round(float(number) * 10.0**digits, 6))}e{-digits}")


def _lowest(quantiles: tuple[float, ...]) -> float:
    """The least number that is like the training.

    It is at least half of the lowest quantile: where a few odd examples lie far below the others, there would
    otherwise be nothing left that is unlike them.
    """
    return max(quantiles[0] - (quantiles[1] - quantiles[0]), quantiles[0] / 2)


def _highest(quantiles: tuple[float, ...]) -> float:
    """The greatest number that is like the training."""
    return quantiles[-1] + (quantiles[-1] - quantiles[-2])


def _above(number: float, limit: float, shown: Callable[[float], str]) -> bool:
    """Whether a number is above a limit by more than is lost when both are shown."""
    return number > limit and shown(number) != shown(limit)


def _tenths(number: float) -> str:
    return f"{number:.1f}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _listed(keys: Iterable[str], names: Mapping[str, str]) -> str:
    return ", ".join(names.get(key, key) for key in keys)


__all__ = ["FEWEST_EXAMPLES", "QUANTILES", "Cut", "InputProfile", "unlike"]
