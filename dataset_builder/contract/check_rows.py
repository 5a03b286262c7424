"""Checks the rows of a cohort against the data contract, batch by batch, and counts what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_builder.contract.check_values import ValueChecks
from dataset_builder.contract.findings import Finding
from modeling_clinragen.vocabulary_clinragen import Vocabulary

CURES = {
    "example_id is empty": "give every example an identifier of its own",
    "example_id occurs more than once": "give every example an identifier of its own",
    "lab_hours, lab_values and lab_observed differ in length": "write one row of values and marks for each hour",
    "hours are missing or not finite": "leave out what has no time",
    "hours do not rise strictly": "sort the rows by time and merge those of one time",
    "hours are negative": "count hours from the ICU admission, and leave out what came before",
    "hours are later than prediction_time": "leave later measurements out, or correct prediction_time (in hours)",
    "prediction_time is missing, negative or not finite": "write the hours since ICU admission",
    "labels are neither 0, 1 nor null": "write 1 for a disease, 0 for none, null where nobody knows",
    "diagnoses are not the names of the labels that are 1": "write the vocabulary's names in its order",
    "diagnoses have names that the vocabulary does not know": "use the names of vocabulary.json",
}


class RowChecks:
    """Counts, over all splits, of what breaks the contract. The findings say how many and of what, and never a value.

    Args:
        vocabulary: Of the cohort folder.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._names = [disease.name for disease in vocabulary.diseases]
        self._faults: Counter[tuple[str, str]] = Counter()
        self._unknown = np.zeros(len(self._names), dtype=np.int64)
        self._identifiers: set[str] = set()
        self._splits_of: dict[int, set[str]] = {}
        self._rows = self._without_summary = self._without_rationale = 0
        self._values = ValueChecks(vocabulary)

    def add(self, split: str, where: str, columns: Mapping[str, pa.Array]) -> None:
        """Look at a batch: columns of the contract's types, as far as there are any.

        Args:
            split: Its split.
            where: Its file, for the findings.
            columns: By name, each `(rows,)`.
        """
        self._rows += max((len(column) for column in columns.values()), default=0)
        for name, column in columns.items():
            # A null label is unknown; anything else that is null says nothing.
            self._count(where, f"{name} is null", column.null_count)
        self._identify(split, where, columns)
        if "labels" in columns:
            self._label(where, columns["labels"], columns.get("diagnoses"))
        if {"lab_hours", "lab_values", "lab_observed"} <= set(columns):
            self._measure(where, columns)

    def findings(self) -> Iterator[Finding]:
        """The findings so far."""
        for (where, fault), count in self._faults.items():
            yield Finding(where, f"{fault} ({count:,})", CURES.get(fault, "write a value; a text may be empty"))
        shared = sum(len(splits) > 1 for splits in self._splits_of.values())
        if shared:
            cure = "put all stays of a patient into one split"
            yield Finding("data", f"patients are in several splits ({shared:,})", cure)
        yield from self._values.findings()
        unknown = int((self._unknown > 0).sum())
        if unknown:
            problem = f"labels of {unknown} of {len(self._names)} diseases are unknown ({self._unknown.sum():,} nulls)"
            cure = "nothing can be trained on or scored by such a cohort, only explained"
            yield Finding("labels", problem, cure, blocks=False)
        if self._without_summary:
            problem = f"is empty though something was measured ({self._without_summary:,})"
            cure = "write LabSeries.in_words(range_set) of the series, see docs/contract.md"
            yield Finding("lab_summary", problem, cure, blocks=False)
        if self._without_rationale:
            problem = f"both are empty ({self._without_rationale:,} of {self._rows:,})"
            yield Finding(
                "rationale_note, rationale_lab",
                problem,
                "`clinragen rationales` writes them, or rejected these",
                blocks=False,
            )

    def _count(self, where: str, fault: str, count: Any) -> None:
        if count:
            self._faults[where, fault] += int(count)

    def _identify(self, split: str, where: str, columns: Mapping[str, pa.Array]) -> None:
        if "example_id" in columns:
            found = [one for one in columns["example_id"].to_pylist() if one is not None]
            self._count(where, "example_id is empty", found.count(""))
            distinct = set(found) - {""}
            again = len(found) - found.count("") - len(distinct - self._identifiers)
            self._count(where, "example_id occurs more than once", again)
            self._identifiers |= distinct
        if "subject_id" in columns:
            for subject in set(columns["subject_id"].to_pylist()) - {None}:
                self._splits_of.setdefault(subject, set()).add(split)
        if {"rationale_note", "rationale_lab"} <= set(columns):
            pairs = zip(columns["rationale_note"].to_pylist(), columns["rationale_lab"].to_pylist(), strict=True)
            self._without_rationale += sum(not note and not lab for note, lab in pairs)

    def _label(self, where: str, labels: pa.Array, diagnoses: pa.Array | None) -> None:
        rows = labels.to_pylist()
        for row in rows:
            if row is None:
                continue
            self._unknown += np.array([one is None for one in row])
            self._count(where, "labels are neither 0, 1 nor null", sum(one not in (0, 1, None) for one in row))
        if diagnoses is None:
            return
        for row, listed in zip(rows, diagnoses.to_pylist(), strict=True):
            if row is None or listed is None:
                continue
            strange = sum(name not in self._names for name in listed)
            self._count(where, "diagnoses have names that the vocabulary does not know", strange)
            named = [name for name, label in zip(self._names, row, strict=True) if label == 1]
            wrong = not strange and list(listed) != named
            self._count(where, "diagnoses are not the names of the labels that are 1", wrong)

    def _measure(self, where: str, columns: Mapping[str, pa.Array]) -> None:
        hours, values, observed = (columns[name] for name in ("lab_hours", "lab_values", "lab_observed"))
        lists = (hours, values, observed)
        whole = np.ones(len(hours), dtype=bool)
        for column in lists:
            whole &= column.is_valid().to_numpy(zero_copy_only=False)
        lengths = [column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for column in lists]
        alike = (lengths[0] == lengths[1]) & (lengths[0] == lengths[2])
        self._count(where, "lab_hours, lab_values and lab_observed differ in length", (whole & ~alike).sum())
        good = pa.array(whole & alike)
        hours, values, observed = hours.filter(good), values.filter(good), observed.filter(good)
        counts = hours.value_lengths().to_numpy(zero_copy_only=False)
        times = hours.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        row = np.repeat(np.arange(len(counts)), counts)
        finite = np.isfinite(times)
        self._count(where, "hours are missing or not finite", (~finite).sum())
        with np.errstate(invalid="ignore"):
            steps = np.diff(times) <= 0
        self._count(where, "hours do not rise strictly", (steps & (row[1:] == row[:-1])).sum())
        self._count(where, "hours are negative", (times[finite] < 0).sum())
        if "prediction_time" in columns:
            all_ends = columns["prediction_time"].to_numpy(zero_copy_only=False).astype(np.float64)
            there = columns["prediction_time"].is_valid().to_numpy(zero_copy_only=False)
            wrong = there & ~(np.isfinite(all_ends) & (all_ends >= 0))
            self._count(where, "prediction_time is missing, negative or not finite", wrong.sum())
            ends = all_ends[whole & alike][row]
            late = finite & np.isfinite(ends) & (times > ends)
            self._count(where, "hours are later than prediction_time", late.sum())
        self._values.add(values.flatten(), observed.flatten())
        if "lab_summary" in columns:
            measured = np.bincount(row, minlength=len(counts)) > 0
            summaries = columns["lab_summary"].filter(good).to_pylist()
            self._without_summary += sum(there and text == "" for there, text in zip(measured, summaries, strict=True))
