"""One stay's lab and vital series in memory, checked once, with the vocabulary that its columns are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_clinragen.errors import InputDataError
from modeling_clinragen.lab_words_clinragen import lab_words
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary


@dataclass(frozen=True, eq=False)
class LabSeries:
    """Measurements over time. Raises `InputDataError` when the three arrays do not fit together.

    - `vocabulary`  whose variables, in order, the columns are
    - `hours`       (steps,) float32, since ICU admission, strictly rising
    - `values`      (steps, variables) float32, in the variables' own units; NaN exactly where not observed
    - `observed`    (steps, variables) bool
    - `remarks`     sentences for whoever reads a result: what was done to the rows of a file. No part of the value.
    """

    vocabulary: Vocabulary
    hours: np.ndarray
    values: np.ndarray
    observed: np.ndarray
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (self.hours.shape[0] if self.hours.ndim == 1 else -1, len(self.vocabulary.variables))
        if self.hours.ndim != 1 or self.values.shape != shape or self.observed.shape != shape:
            raise InputDataError(
                f"lab series: hours {self.hours.shape}, values {self.values.shape} and observed {self.observed.shape} "
                f"do not fit; need (steps,) and twice (steps, {shape[1]})"
            )
        if (self.hours.dtype, self.values.dtype, self.observed.dtype) != (np.float32, np.float32, np.bool_):
            raise InputDataError("lab series: hours and values must be float32 and observed bool; convert them")
        if not np.isfinite(self.hours).all() or not (np.diff(self.hours) > 0).all():
            raise InputDataError("lab series: hours must be finite and strictly rising; sort and merge the rows")
        if not np.array_equal(np.isfinite(self.values), self.observed):
            raise InputDataError("lab series: values must be finite where observed and NaN elsewhere")

    def __len__(self) -> int:
        return int(self.hours.shape[0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabSeries):
            return NotImplemented
        return (
            self.vocabulary == other.vocabulary
            and np.array_equal(self.hours, other.hours)
            and np.array_equal(self.values, other.values, equal_nan=True)
            and np.array_equal(self.observed, other.observed)
        )

    def in_words(self, range_set: RangeSet) -> str:
        """Which variables are above or below `range_set`, and how many times; see `lab_words`."""
        return lab_words(self.values, self.vocabulary, range_set)

    @classmethod
    def empty(cls, vocabulary: Vocabulary) -> LabSeries:
        """A series without any measurement; valid, and never described as normal."""
        width = len(vocabulary.variables)
        none = np.zeros((0, width), dtype=np.float32)
        return cls(vocabulary, np.zeros(0, dtype=np.float32), none, np.zeros((0, width), dtype=np.bool_))

    @classmethod
    def from_values(cls, vocabulary: Vocabulary, hours: np.ndarray, values: np.ndarray) -> LabSeries:
        """From (steps,) and (steps, variables) with NaN where nothing was measured."""
        values = np.asarray(values, dtype=np.float32).reshape(-1, len(vocabulary.variables))
        return cls(vocabulary, np.asarray(hours, dtype=np.float32), values, ~np.isnan(values))

    @classmethod
    def from_example(cls, vocabulary: Vocabulary, row: Mapping[str, Any]) -> LabSeries:
        """From one example of the data contract (`dataset_builder.contract.schema`), where a missing value is None."""
        if not len(row["lab_hours"]):
            return cls.empty(vocabulary)
        width = len(vocabulary.variables)
        try:
            values = np.array(row["lab_values"], dtype=np.float32).reshape(-1, width)  # None becomes NaN
            observed = np.array(row["lab_observed"], dtype=np.bool_).reshape(-1, width)
        except (TypeError, ValueError) as error:
            raise InputDataError(f"lab series: every step needs {width} values and {width} observed marks") from error
        return cls(vocabulary, np.array(row["lab_hours"], dtype=np.float32), values, observed)
