"""The claim filter as the judge of a teacher's rationales (`clinragen.teachers.teacher.Judge`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinragen.claims.check import Checking
from clinragen.claims.filter import FilterVerdict, filter_rationale
from clinragen.claims.filter_report import FilterReport
from clinragen.claims.rationale import Rationale


class RationaleJudge:
    """Keeps rationales without a contradiction that name exactly the known diseases and are well formed.

    Args:
        teacher: Name of the teacher in the report.
        checking: What rationales are checked by.
    """

    def __init__(self, teacher: str, checking: Checking) -> None:
        self._checking = checking
        self._first = FilterReport(teacher, checking.vocabulary)
        self._final = FilterReport(teacher, checking.vocabulary)
        self._rewritten = self._repaired = 0

    @property
    def range_set(self) -> str:
        """Name of what is low, normal and high."""
        return self._checking.range_set.name

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> FilterVerdict:
        """The verdict on one rationale."""
        return filter_rationale((rationale.note, rationale.lab), example, self._checking)

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
