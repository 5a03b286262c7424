"""Runs every recipe of docs/extending.md: makes its files, runs its commands, and looks for what it changes."""

from __future__ import annotations

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
from extending_page import DOCS, Block, blocks_of, changed, copy_project, read_page, shorten
from hospital_tables import add_lactate, read_table, rename_hospital
from safetensors.numpy import load_file

from clinragen.evaluation.systems import OTHER_LISTS
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import load_definitions
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

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
NOTE = (
    "Chief Complaint:\nfatigue\nPast Medical History:\n- depression\nMedications on Admission:\n1. Sertraline 50 mg\n"
)
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


def test_a_disease(project: Path) -> None:
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
    explained = Explainer.from_pretrained(run / "model", probabilities=True).explain(NOTE, None)
    assert explained.probabilities is not None
    assert len(explained.probabilities) == 26
    assert 0 < explained.probabilities[disease.name] < 1
    with pytest.raises(SettingsError, match=disease.name):
        run_here([["evaluate", "--cohort", str(run / "rationales"), "--full", "runs/quickstart/train/multimodal",
                   "--output", "runs/refused"]])  # fmt: skip


def test_a_variable(project: Path, vocabulary: Vocabulary) -> None:
    from clinragen.demo.page import open_page
    from clinragen.demo.tabs.explain import OWN
    from clinragen.inference import Explainer

    recipe = PAGE["A variable"]
    commands = recipe.apply(project)
    shorten(project)
    tables = project / "path" / "to" / "mimic-iv"
    shutil.copytree(project / "runs" / "quickstart" / "hospital" / "tables", tables)
    add_lactate(tables)
    (project / "labs.csv").write_text(
        "hours,heart rate (bpm),lactate (mmol/L)\n0,80,3.5\n4,82,4.5\n", encoding="utf-8"
    )
    run_here(commands)
    run = output_of(commands[0])

    rows = rows_of(load_examples(run / "rationales"))
    assert all(len(step) == 12 for row in rows for step in row["lab_values"])
    assert any(step[-1] is not None for row in rows for step in row["lab_values"])
    about = [row for row in rows if re.search(r"\b[Ll]actate is high", row["rationale_lab"])]
    assert about
    assert all("Shock" in row["diagnoses"] for row in about)
    assert "lactate" in read_json(run / "model" / "config.json")["variables"]

    explainer = Explainer.from_pretrained(run / "model", probabilities=True)
    answers = []
    for header, value in (("lactate (mmol/L)", 1), ("lactate (mmol/L)", 9), ("lactic acid (mg/dL)", 81)):
        (project / "own.csv").write_text(f"hours,heart rate (bpm),{header}\n0,80,{value}\n4,82,{value}\n")
        found = explainer.explain("", explainer.read_labs(project / "own.csv")).probabilities
        assert found is not None
        answers.append(np.log(list(found.values())))
    normal, high, in_another_unit = answers
    assert np.abs(high - normal).max() > 1e-4
    assert np.abs(in_another_unit - high).max() < np.abs(high - normal).max() / 10
    with pytest.raises(InputDataError, match="lactic acid"):
        read_lab_csv(project / "own.csv", vocabulary)

    page = open_page(run / "model", cohort=run / "rationales")
    (explain,) = (one.fn for one in page.fns.values() if one.name == "explain")
    *_, in_words, _ = explain(OWN, "", str(project / "labs.csv"))
    assert "lactate is higher than normal two times" in in_words


def test_a_source(project: Path) -> None:
    recipe = PAGE["A source"]
    commands = recipe.apply(project)
    hospital = project / "path" / "to" / "hospital"
    rename_hospital(
        content_of(recipe.one("hospital.yaml")), project / "runs" / "quickstart" / "hospital" / "tables", hospital
    )
    with pytest.raises(InputDataError, match="patients"):
        run_here([[word.replace("my/hospital.yaml", "mimic-iv") for word in words] for words in commands])
    run_here(commands)
    run = output_of(commands[0])
    ours, shipped = load_examples(run), load_examples(project / "runs" / "quickstart" / "build")
    for split, expected in shipped.items():
        names = [name.partition("-")[2] for name in expected["example_id"]]
        assert [name.removeprefix("my-hospital-") for name in ours[split]["example_id"]] == names
        named = ["example_id", "source"]
        assert ours[split].remove_columns(named)[:] == expected.remove_columns(named)[:]
    assert ours.provenance["credentialed"]
    assert run.stat().st_mode & 0o077 == 0

    quick = project / "runs" / "quickstart"
    run_here(
        [
            ["rationales", "--cohort", str(run), "--output", "runs/taught"],
            [
                "evaluate",
                "--cohort",
                "runs/taught",
                "--full",
                str(quick / "train" / "multimodal"),
                "--truth",
                str(quick / "hospital"),
                "--output",
                "runs/s",
            ],
        ]
    )
    scored, before = (read_json(folder / "metrics.json") for folder in (project / "runs" / "s", quick / "evaluation"))
    assert scored["systems"]["full"] == before["systems"]["full"]
    assert scored["rationale"]["full"] == before["rationale"]["full"]


def test_a_backbone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = PAGE["A backbone"]
    commands = recipe.apply(project)
    shorten(project)
    run_here(commands)
    config = read_json(output_of(commands[0]) / "config.json")
    shape = content_of(recipe.one(".json"))
    assert {name: config["text_config"][name] for name in shape} == shape
    assert read_json(output_of(commands[0]) / "curve.json")[-1]["step"] == 4
    *_, predict = commands
    capsys.readouterr()
    run_here([predict])
    ours = capsys.readouterr().out
    run_here([[word.replace("runs/llama", "runs/quickstart/model") for word in predict]])
    assert "Rationale" in ours
    assert ours != capsys.readouterr().out


def test_a_metric(project: Path) -> None:
    from clinragen.evaluation.diagnosis import match_diagnoses

    commands = PAGE["A metric"].apply(project)
    run_changed(project, commands)
    output = output_of(commands[0])
    cohort = load_examples(project / "runs" / "quickstart" / "rationales")
    listed = read_json(output / "predictions.json")["diagnoses"]["full"]
    given = match_diagnoses(listed, cohort.vocabulary.diseases).predictions
    right = [sum(row != labels) <= 1 for row, labels in zip(given, np.array(cohort["test"]["labels"]), strict=True)]
    metrics = read_json(output / "metrics.json")
    score = metrics["systems"]["full"]["almost_right"]
    assert score["value"] == pytest.approx(sum(right) / len(right))
    assert score["low"] <= score["value"] <= score["high"]
    assert "almost_right" in metrics["differences"]["full_minus_prevalence"]
    report = (output / "report.md").read_text(encoding="utf-8")
    assert "| almost right |" in report
    rows = report.partition("## Diagnosis")[2].splitlines()
    assert f"{score['value']:.3f}" in next(row for row in rows if row.startswith("| Full model |"))


def test_a_teachers_provider(project: Path) -> None:
    commands = PAGE["A teacher's provider"].apply(project)
    run_changed(project, commands)
    output = output_of(commands[0])
    found = read_json(output / "rationales.json")
    assert found["teacher"] == "floor"
    taught, before = (rows_of(load_examples(folder)) for folder in (output, project / "runs/quickstart/rationales"))
    kept = [row for row in taught if row["rationale_note"]]
    assert kept
    for row in kept:
        names = ", ".join(row["diagnoses"]) or "(none of the diseases of interest)"
        assert row["rationale_note"] == f"The diagnoses are {names}."
    assert [row["rationale_note"] for row in taught] != [row["rationale_note"] for row in before]


def test_a_tab_of_the_page(project: Path) -> None:
    commands = PAGE["A tab of the page"].apply(project)
    patient = load_examples(project / "runs" / "quickstart" / "rationales")["test"][0]
    heart_rates = [values[3] for values in patient["lab_values"] if values[3] is not None]
    text = f"Heart rate is at most {max(heart_rates):.0f} bpm. Heart rate is always above 200 bpm."
    called = ["judge", [f"Patient 1: {patient['example_id']}", text]]
    run_changed(project, commands, page="page.json", called=called)
    page = read_json(project / "page.json")
    assert page["tabs"] == ["Explain", "Check a text", "How good is it", "About", "Check"]
    assert [row[1] for row in page["result"]] == ["supported", "contradicted"]


def test_a_phase(project: Path) -> None:
    recipe = PAGE["A phase"]
    commands = recipe.apply(project)
    shorten(project)
    printed = run_changed(project, commands)
    assert "phases backbone, joint" in printed
    parent, trained = project / "runs" / "quickstart" / "train" / "backbone", output_of(commands[1])
    assert read_json(trained / "config.json")["phase"] == "joint"
    weights, before = (load_file(folder / "model.safetensors") for folder in (trained, parent))
    learned = [name for name, value in weights.items() if not np.array_equal(value, before[name])]
    parts = [r"\.lora_[AB]\.", r"^lab_encoder\.", r"^knowledge_attention\.", r"^summary_encoder\.", r"^disease_head\."]
    assert all(any(re.search(part, name) for name in learned) for part in parts)
    assert all(any(re.search(part, name) for part in parts) for name in learned), "the backbone is frozen"
    metrics = read_json(output_of(commands[2]) / "metrics.json")
    baselines = {"gradient_boosting", "gradient_boosting_note", "gradient_boosting_labs"}
    lists = {key for key, _ in OTHER_LISTS.values()} & set(metrics["systems"])
    assert len(lists) == 1
    assert set(metrics["systems"]) == {"full", *lists, "joint", *baselines, "logistic_regression", "prevalence"}
    assert "| Joint |" in (output_of(commands[2]) / "report.md").read_text(encoding="utf-8")


def test_the_vocabulary_folder_of_the_data_page(tmp_path: Path, vocabulary: Vocabulary) -> None:
    for block in blocks_of((DOCS / "data.md").read_text(encoding="utf-8")):
        if block.path is not None:
            path = tmp_path / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.content, encoding="utf-8")
    definitions = load_definitions(tmp_path / "my-vocabulary")
    assert definitions.vocabulary.variable_keys == (*vocabulary.variable_keys, "lactate")
    assert definitions.vocabulary.disease_names == (*vocabulary.disease_names, "Gout")
    left_out = [line for line in definitions.left_out() if line.startswith(("lactate:", "Gout:"))]
    assert len(left_out) == 2
    assert "scale" in left_out[0]
    assert "terms" in left_out[1]


def test_each_recipe_touches_few_files_and_lists_them() -> None:
    assert set(PAGE) == set(LIMITS)
    for title, recipe in PAGE.items():
        assert len(recipe.files) <= LIMITS[title], title
        assert sorted(recipe.listed) == sorted(recipe.files), title


def test_each_block_is_used_and_says_which_file_it_is() -> None:
    for recipe in PAGE.values():
        tested = f"test_{re.sub('[^a-z ]', '', recipe.title.lower()).replace(' ', '_')}"
        assert tested in globals(), recipe.title
        assert any(block.language == "sh" for block in recipe.blocks)
        for block in recipe.blocks:
            if block.language != "sh":
                assert block.before.startswith(f"`{block.path}`"), f"the line before {block.path} must name it"


def test_the_changes_fit_the_files_as_they_are() -> None:
    """Also where the tests above shorten a file first."""
    for recipe in PAGE.values():
        for block in recipe.blocks:
            path = str(block.path).replace("my/vocabulary", "dataset_builder/contract/resources")
            if block.language == "diff":
                changed((ROOT / path).read_text(encoding="utf-8"), block.content)


@pytest.mark.parametrize(
    "diff", [" a\n+b\n c\n", "-missing\n", " a\n", " x\n+y\n"], ids=["apart", "missing", "nothing", "twice"]
)
def test_a_change_that_does_not_fit_is_refused(diff: str) -> None:
    with pytest.raises(AssertionError):
        changed("a\nb\nc\nx\nx\n", diff)
