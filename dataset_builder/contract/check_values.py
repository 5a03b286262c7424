"""Checks measured values against the vocabulary: marked as observed, plausible, and in the variable's own unit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dataset_builder.contract.findings import Finding
from dataset_builder.contract.value_ranges import normal_range, within
from modeling_clinragen.vocabulary_clinragen import Unit, Variable, Vocabulary

WHERE = "lab_values"
FEW_NORMAL = 0.1
MOST = 0.5
FEWEST = 20
"""Of fewer values nothing is said of their unit: some patients are ill in every one of them."""


class UnitCounts:
    """Counts of the values of one variable: how many are plausible and normal as they are, and read in other units.

    Args:
        variable: Whose ranges count.
    """

    def __init__(self, variable: Variable) -> None:
        self.variable = variable
        self.values = self.implausible = 0
        self._others = [unit for unit in variable.units if not unit.is_own]
        self._normal = [0] * (1 + len(self._others))
        self._plausible = [0] * (1 + len(self._others))

    def add(self, values: np.ndarray) -> None:
        """Count finite values, `(values,)`, which are taken to be in the variable's own unit."""
        self.values += len(values)
        normal = normal_range(self.variable)
        for place, unit in enumerate([Unit((self.variable.unit,)), *self._others]):
            read = unit.to_own(values.astype(np.float64))
            self._plausible[place] += int(within(read, self.variable.plausible).sum())
            if normal is not None:
                self._normal[place] += int(within(read, normal).sum())
        self.implausible = self.values - self._plausible[0]

    def likely_unit(self) -> str | None:
        """Another unit that fits the values better than the variable's own; None where none does.

        It does where few values are normal in the own unit and most are in the other, or few are even plausible and
        most are so in the other: 5.6 cannot be a glucose in mg/dL.
        """
        if self.values < FEWEST:
            return None
        for counts in (self._normal, self._plausible):
            fits = [count / self.values for count in counts]
            best = max(range(len(fits)), key=fits.__getitem__)
            if fits[0] < FEW_NORMAL and fits[best] > MOST:
                return self._others[best - 1].spellings[0]
        return None


class ValueChecks:
    """Counts of the values of all variables of a cohort.

    Args:
        vocabulary: Its variables give order, units and ranges.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._counts = [UnitCounts(variable) for variable in vocabulary.variables]
        self._unmarked = self._empty = self._not_finite = 0

    def add(self, values: pa.FixedSizeListArray, observed: pa.FixedSizeListArray) -> None:
        """Count the steps of a batch, both `(steps, variables)`."""
        width = len(self._counts)
        flat, marks = values.flatten(), observed.flatten()
        there = flat.is_valid().to_numpy(zero_copy_only=False)
        marked = marks.fill_null(False).to_numpy(zero_copy_only=False)
        numbers = flat.to_numpy(zero_copy_only=False).astype(np.float32)
        finite = there & np.isfinite(numbers)
        self._not_finite += int((there & ~finite).sum())
        self._unmarked += int((there & ~marked).sum())
        self._empty += int((~there & marked).sum())
        for counts, column, good in zip(
            self._counts, numbers.reshape(-1, width).T, finite.reshape(-1, width).T, strict=True
        ):
            counts.add(column[good])

    def findings(self) -> Iterator[Finding]:
        """The findings so far."""
        for count, problem, cure in (
            (self._not_finite, "values are NaN or infinite", "write null for what was not measured"),
            (
                self._unmarked,
                "values are not marked in lab_observed",
                "mark what was measured, and write null elsewhere",
            ),
            (self._empty, "values are marked in lab_observed and null", "mark only what was measured"),
        ):
            if count:
                yield Finding(WHERE, f"{problem} ({count:,})", cure)
        for counts in self._counts:
            variable, unit = counts.variable, counts.likely_unit()
            where = f"{WHERE}, {variable.name}"
            if unit is not None:
                problem = f"most of {counts.values:,} values look like {unit}, not like {variable.unit}"
                yield Finding(where, problem, f"convert them to {variable.unit}")
            elif counts.implausible:
                low, high = variable.plausible
                problem = f"{counts.implausible:,} of {counts.values:,} values are implausible"
                cure = f"expected {low:g} to {high:g} {variable.unit}: correct the unit, or leave such values out"
                yield Finding(where, problem, cure)
