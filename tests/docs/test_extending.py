"""Runs every recipe of docs/extending.md: makes its files, runs its commands, and looks for what it changes."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT
from extending_page import Block, Recipe, changed, copy_project, read_page, shorten

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError, SettingsError

PAGE = read_page()
LIMITS = {
    "A disease": 3,
    "A variable": 5,
    "A source": 3,
    "A backbone": 2,
    "A metric": 2,
    "A teacher's provider": 3,
    "A tab of the page": 2,
    "A phase": 3,
}
"""How many files each addition may touch, tests and documents aside."""
NOTE = "Chief Complaint:\nfatigue\nPast Medical History:\n- depression\nMedications on Admission:\n1. Sertraline 50 mg\n"
LABS = "hours,heart rate (bpm),temperature (°C)\n0,118,38.9\n6,121,38.4\n"


@pytest.fixture
def project(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder as a reader has it after the quickstart; it is the current folder."""
    copy_project(tmp_path)
    shutil.copytree(tiny_run, tmp_path / "runs" / "quickstart")
    (tmp_path / "note.txt").write_text(NOTE, encoding="utf-8")
    (tmp_path / "labs.csv").write_text(LABS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_here(commands: Sequence[Sequence[str]]) -> None:
    """Run commands in this process, with the project as it is: for additions that change no code."""
    from clinragen.cli.main import app

    for words in commands:
        app(list(words), standalone_mode=False)


def run_changed(project: Path, commands: Sequence[Sequence[str]], **more: Any) -> str:
    """Run commands in another process, with the changed copy of the code; returns what they print."""
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "tests" / "changed_project.py"), json.dumps({"commands": commands, **more})],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def output_of(words: Sequence[str]) -> Path:
    return Path(words[words.index("--output") + 1])


def content_of(block: Block) -> Any:
    return yaml.safe_load(block.content)


def rows_of(cohort: CohortSplits) -> list[dict[str, Any]]:
    return [row for split in cohort.values() for row in split]


def read_table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_disease(project: Path) -> None:
    from clinragen.explain_config import ExplainConfig
    from clinragen.inference import Explainer

    recipe = PAGE["A disease"]
    commands = recipe.apply(project)
    shorten(project)
    written = content_of(recipe.one("diseases/depression.yaml"))
    run_here(commands)
    run = output_of(commands[0])

    cohort = load_examples(run / "rationales")
    assert len(cohort.vocabulary.diseases) == 26
    disease = cohort.vocabulary.diseases[-1]
    assert (disease.key, disease.name, disease.kind) == ("depression", written["name"], written["kind"])
    rows = rows_of(cohort)
    codes = {(str(version), code.replace(".", "")) for version, listed in written["codes"].items() for code in listed}
    listed = read_table(run / "hospital" / "tables" / "hosp" / "diagnoses_icd.csv.gz")
    coded = {int(row["hadm_id"]) for row in listed if (row["icd_version"], row["icd_code"]) in codes}
    positive = [row for row in rows if disease.name in row["diagnoses"]]
    assert len(positive) >= 3
    assert {row["hadm_id"] for row in positive} == coded & {row["hadm_id"] for row in rows}
    assert [row["labels"][-1] for row in rows] == [int(row in positive) for row in rows]

    spellings = [text for term in written["terms"] for text in (term["term"], *term.get("spellings", []))]
    quotation = re.compile(rf'"[^"]*({"|".join(spellings)})[^"]*"[^.]* {disease.name}', re.IGNORECASE)
    assert [row for row in positive if quotation.search(row["rationale_note"])]

    assert read_json(run / "model" / "config.json")["diseases"][-1] == disease.name
    metrics = read_json(run / "evaluation" / "metrics.json")
    score = metrics["per_disease"]["full"][disease.key]
    assert score["positives"] == sum(disease.name in names for names in cohort["test"]["diagnoses"])
    assert f"| {disease.name} |" in (run / "evaluation" / "report.md").read_text(encoding="utf-8")
    explained = Explainer.from_pretrained(run / "model", ExplainConfig(probabilities=True)).explain(NOTE, None)
    assert explained.probabilities is not None
    assert len(explained.probabilities) == 26
    assert 0 < explained.probabilities[disease.name] < 1
    with pytest.raises(SettingsError, match=disease.name):
        run_here([["evaluate", "--cohort", str(run / "rationales"), "--full", "runs/quickstart/train/multimodal",
                   "--output", "runs/refused"]])  # fmt: skip
