"""The claim filter as the judge of a teacher's rationales (`clinragen.teachers.teacher.Judge`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataset_builder.contract.vocabulary import RangeSet

from clinragen.claims.filter import FilterReport, FilterVerdict, filter_rationale
from clinragen.teachers.teacher import Rationale


class RationaleJudge:
    """Keeps what contradicts nothing, names every known disease and no other, and parses.

    `range_set` says what is high and low; `teacher` is the name in the report.
    """

    def __init__(self, teacher: str, range_set: RangeSet) -> None:
        self._range_set = range_set
        self._first = FilterReport(teacher)
        self._final = FilterReport(teacher)
        self._rewritten = self._repaired = 0

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> FilterVerdict:
        """What the data say of one rationale."""
        return filter_rationale((rationale.note, rationale.lab), example, range_set=self._range_set)

    def settle(self, example: Mapping[str, Any], first: FilterVerdict, final: FilterVerdict) -> None:
        """Count one example."""
        self._first.add(first, example["diagnoses"])
        self._final.add(final, example["diagnoses"])
        self._rewritten += final is not first
        self._repaired += final.kept and not first.kept

    def report(self) -> dict[str, Any]:
        """Verdicts on what the teacher wrote (`first`) and after repairs (`final`), and how many repairs succeeded."""
        return {
            "first": self._first.report(),
            "final": self._final.report(),
            "repairs": {"rewritten": self._rewritten, "succeeded": self._repaired},
        }
