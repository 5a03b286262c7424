"""The paper's A (section 3.1): anomalies of a series in words, one clause per variable that was measured."""

from __future__ import annotations

import numpy as np

from .series_statistics_clinragen import low_and_high
from .vocabulary_clinragen import RangeSet, Vocabulary

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SMALL += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_in_words(number: int) -> str:
    """A whole number from 0 to 999,999 in English words."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[rest]}" if rest else "")
    size, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    head, rest = divmod(number, size)
    return f"{number_in_words(head)} {word}" + (f" {number_in_words(rest)}" if rest else "")


def count_levels(values: np.ndarray, vocabulary: Vocabulary, range_set: RangeSet) -> np.ndarray:
    """Where `values` (steps, variables; NaN where not measured) are low, high, measured: (3, steps, variables) bool.

    A variable without a range counts as not measured: it is never judged.
    """
    levels = np.zeros((3, *values.shape), dtype=np.bool_)
    for column, variable in enumerate(vocabulary.variables):
        if variable.key in range_set.bounds:
            series = values[:, column]
            levels[0, :, column], levels[1, :, column] = low_and_high(series, variable.key, range_set)
            levels[2, :, column] = ~np.isnan(series)
    return levels


def summary_text(counts: np.ndarray, vocabulary: Vocabulary) -> str:
    """The summary from counts of low, high and measured steps, shape (3, variables). "" when nothing was measured."""
    clauses = []
    for variable, low, high, measured in zip(vocabulary.variables, *counts.tolist(), strict=True):
        if measured and not low and not high:
            clauses.append(f"{variable.name} is normal all the time")
        elif measured:
            parts = [f"higher than normal {_times(high)}"] if high else []
            parts += [f"lower than normal {_times(low)}"] if low else []
            clauses.append(f"{variable.name} is {' and '.join(parts)}")
    return "; ".join(clauses) + "." if clauses else ""


def lab_words(values: np.ndarray, vocabulary: Vocabulary, range_set: RangeSet) -> str:
    """Describe a series: which variables are above or below `range_set`, and how many times.

    A variable that was never measured, or has no range in this set, is left out: nothing is called normal unseen.

    Args:
        values: In the variables' units, `(steps, variables)`; NaN where not measured.
        vocabulary: The variables.
        range_set: Their normal ranges.
    """
    return summary_text(count_levels(values, vocabulary, range_set).sum(axis=1), vocabulary)


def _times(number: int) -> str:
    return f"{number_in_words(number)} time{'' if number == 1 else 's'}"
