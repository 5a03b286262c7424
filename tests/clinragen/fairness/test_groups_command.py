"""The command `groups` on a run of the tiny quickstart."""

from __future__ import annotations

import shutil
from pathlib import Path

from command_line import fails_with_one_line, in_process

from dataset_builder.storage.files import read_json


def test_it_compares_the_groups_of_the_source(tiny_run: Path, tmp_path: Path) -> None:
    words = ["groups", tiny_run / "evaluation", "--cohort", tiny_run / "rationales", "--output", tmp_path / "out"]
    done = in_process(*words, "--least", 2)
    assert done.returncode == 0, done.stderr
    entries = read_json(tmp_path / "out" / "groups.json")["entries"]
    metrics = read_json(tiny_run / "evaluation" / "metrics.json")
    assert {entry["kind"] for entry in entries} == {"sex", "age", "race", "insurance", "care_unit", "note_length"}
    patients = sum(entry["patients"] for entry in entries if (entry["kind"], entry["score"]) == ("sex", "micro_f1"))
    assert patients == metrics["held_out"]["subjects"]
    assert "## Race" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_a_cohort_without_groups_is_told(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run / "rationales", tmp_path / "cohort")
    (tmp_path / "cohort" / "groups.parquet").unlink()
    words = ["groups", tiny_run / "evaluation", "--cohort", tmp_path / "cohort", "--output", tmp_path / "out"]
    fails_with_one_line(in_process(*words), "groups.parquet: is missing", "build it again")
