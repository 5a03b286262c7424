"""Errors planted in the rationales of a synthetic hospital are found, and nothing else; the benchmark plants them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import claims as benchmark
import planted_errors
from claim_cases import CHECKING, RANGES, VOCABULARY

from clinragen.claims.check import SUPPORTED, check_rationale
from clinragen.claims.filter import filter_rationale
from clinragen.claims.filter_report import FilterReport
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.lab_series import LabSeries


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return [dict(row) for row in benchmark.synthetic_rows(tmp_path_factory.mktemp("claims"), 60, 23)]


def test_planted_errors_are_found_and_nothing_else(rows: list[dict[str, Any]]) -> None:
    planted = list(planted_errors.Planter(rows, 3).all())
    kinds = benchmark.measure(planted)
    assert set(kinds) >= {
        *("level", "direction", "timing", "count", "summary count", "extreme", "normality", "variable", "negation"),
        *("unmeasured", "invented quote", "negated quote", "historical quote", "reworded level"),
        *("contrary quote", "contrary sign", "denied note", "denied series"),
    }
    for kind, numbers in kinds.items():
        assert numbers["precision"] >= 0.95, (kind, numbers)
        assert numbers["recall"] >= 0.95, (kind, numbers)


def test_true_rationales_pass_the_filter(rows: list[dict[str, Any]]) -> None:
    teacher = RuleTeacher(load_knowledge(None, VOCABULARY), VOCABULARY, RANGES, 1)
    report = FilterReport("rules", VOCABULARY)
    statements = 0
    for row in rows:
        rationale = teacher.write(row)
        verdict = filter_rationale((rationale.note, rationale.lab), row, CHECKING)
        report.add(verdict, row["diagnoses"])
        statements += len(verdict.claims)
        summary = check_rationale(row["lab_summary"], LabSeries.from_example(VOCABULARY, row))
        assert {claim.verdict for claim in summary} <= {SUPPORTED}
        assert len(summary) >= row["lab_summary"].count(" is ")
    result = report.report()
    assert result["rejection_rate"] <= 0.05
    assert statements > 5 * len(rows)
    assert result["claims"]["note"]["supported"] > len(rows)
