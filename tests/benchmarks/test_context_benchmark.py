"""The comparison of context rules: which mentions are read, and what is counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import context_rules as benchmark


def test_the_comparison_counts_right(tmp_path: Path) -> None:
    path = tmp_path / "labelled.tsv"
    lines = [
        "1\t \tgout\tNo GOUT today.\tNegated\tRecent\tPatient",
        "2\t \tgout\tThe GOUT is back.\tAffirmed\tRecent\tPatient",
        "3\t \told gout\tAn OLD   GOUT.\tAffirmed\tHistorical\tPatient",
        "4\t \tgout\tNothing.\tAffirmed\tRecent\tPatient",
    ]
    path.write_text("\n".join(lines) + "\n")
    cases, left_out = benchmark.read_cases(path)
    assert left_out == 1
    assert [case.text[case.start : case.end] for case in cases] == ["gout", "gout", "old   gout"]
    answers: list[dict[str, bool | None]] = [
        {"negated": True, "historical": None},
        {"negated": True, "historical": None},
        {"negated": False, "historical": None},
    ]
    assert benchmark.scores(cases, answers, "negated") == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "false": 1,
        "missed": 0,
    }
    assert set(benchmark.measure(cases, answers)) == {"negated"}
