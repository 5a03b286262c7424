"""The command `guarantee` on a run of the tiny quickstart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import fails_with_one_line, in_process

from dataset_builder.storage.files import read_json, write_json


@pytest.fixture
def words(tiny_run: Path, tmp_path: Path) -> list[str]:
    given = {"cohort": tiny_run / "rationales", "truth": tiny_run / "hospital", "output": tmp_path / "out"}
    options = [word for name, path in given.items() for word in (f"--{name}", str(path))]
    return ["guarantee", str(tiny_run / "evaluation"), *options, "--resplits", "10"]


def test_it_writes_thresholds_and_what_they_are_worth(words: list[str], tiny_run: Path, tmp_path: Path) -> None:
    other = [str(tiny_run / name) for name in ("evaluation", "rationales", "hospital")]
    options = zip(("--other-evaluation", "--other-cohort", "--other-truth"), other, strict=True)
    done = in_process(*words, *(word for pair in options for word in pair))
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "out" / "guarantee.json")
    predictions = read_json(tiny_run / "evaluation" / "predictions.json")
    assert found["patients"] + found["without_truth"] == len(predictions["rows"])
    for name in ("false_sentences", "missing_diseases"):
        assert [entry["alpha"] for entry in found[name]] == [0.02, 0.05, 0.1, 0.2]
        for entry in found[name]:
            assert 0 <= entry["risk"]["value"] <= entry["base"] + 0.5
            # The other hospital is this one.
            assert entry["other"]["base"] == entry["base"]
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "synthetic" in text
    assert "other hospital" in text
    assert read_json(tmp_path / "out" / "provenance.json")["steps"][-1]["step"] == "guarantee"


def test_predictions_of_other_patients_are_refused(words: list[str], tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run / "evaluation", tmp_path / "evaluation")
    file = tmp_path / "evaluation" / "predictions.json"
    content = read_json(file)
    content["example_id"][0] = "somebody"
    write_json(file, content)
    words[1] = str(tmp_path / "evaluation")
    fails_with_one_line(in_process(*words), "1 of")


def test_a_half_given_hospital_is_refused(words: list[str], tiny_run: Path) -> None:
    more = ["--other-evaluation", str(tiny_run / "evaluation")]
    fails_with_one_line(in_process(*words, *more), "other_evaluation", "needs its cohort", "--other-cohort")


def test_a_system_without_probabilities_is_refused(words: list[str], tiny_run: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from clinragen.evaluation.baselines.kept import digest_of

    shutil.copytree(tiny_run / "evaluation", tmp_path / "evaluation")
    file = tmp_path / "evaluation" / "predictions.safetensors"
    arrays = {name: array for name, array in load_file(file).items() if name not in ("test.full", "validation.full")}
    save_file(arrays, file)
    content = read_json(file.with_suffix(".json"))
    write_json(file.with_suffix(".json"), {**content, "arrays": digest_of(arrays)})
    words[1] = str(tmp_path / "evaluation")
    fails_with_one_line(in_process(*words), "disease head", "disease_head: true")
