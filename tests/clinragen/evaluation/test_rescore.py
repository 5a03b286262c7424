"""An evaluation is scored again from what it saved: the same to the byte, and without a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import fails_with_one_line, in_process
from made_up_cohort import checking_of, make_cohort, write_cohort
from safetensors.numpy import load_file, save_file

from clinragen.evaluation.config import EvaluateConfig, ScoreConfig
from clinragen.evaluation.predictions import ARRAYS, PREDICTIONS, Predictions, read_predictions, write_predictions
from clinragen.evaluation.run import evaluate_systems
from clinragen.evaluation.scoring import score_predictions
from clinragen.evaluation.systems import systems_alone, systems_of
from clinragen.pipeline.evaluate import run as run_evaluate
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SCORED = ("metrics.json", "report.md", "patient.json", "f1_per_disease.png", "patient_series.png")
WITHOUT_A_MODEL = """
import sys
from clinragen.cli.main import app
app(sys.argv[1:], standalone_mode=False)
print("loaded:", *{"torch", "transformers", "peft", "lightgbm", "sentence_transformers"} & set(sys.modules))
"""


@pytest.fixture(scope="module")
def model(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose head lists about half of the diseases."""
    folder = tmp_path_factory.mktemp("model")
    model = make_model("t5", lab_summary=True, disease_head=True, list_from="head")
    with torch.no_grad():
        model.disease_head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(3))
    model.generation_config.max_new_tokens = 12
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    write_json(folder / "curve.json", [{"step": 1, "loss": 2.5}, {"step": 2, "eval_loss": 2.25}])
    return folder


@pytest.fixture(scope="module")
def cohort_folder(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, make_cohort(vocabulary))
    return folder


@pytest.fixture(scope="module")
def evaluation(model: Path, cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage `evaluate` writes; a sample of the rationales is written."""
    folder = tmp_path_factory.mktemp("evaluations") / "evaluation"
    folder.mkdir()
    config = EvaluateConfig(baselines="light", texts=3, alone=True, notices=("A sentence of the recipe.",))
    run_evaluate(config, {"cohort": cohort_folder, "full": model}, folder, lambda progress: None)
    return folder


@pytest.fixture(scope="module")
def rescored(evaluation: Path, cohort_folder: Path) -> Path:
    done = in_process("rescore", evaluation, "--cohort", cohort_folder)
    assert done.returncode == 0, done.stderr
    assert "Note: A sentence of the recipe." in done.stdout
    assert "Held-out: 8 examples" in done.stdout
    return evaluation.with_name("evaluation.rescored")


def test_the_scores_are_the_same_to_the_byte(evaluation: Path, rescored: Path) -> None:
    pictures = {path.name for path in evaluation.glob("*.png")}
    assert {"training_curves.png", "f1_per_disease.png", "patient_series.png"} <= pictures
    assert {"reliability.png", "risk_coverage.png"} <= pictures
    assert {path.name for path in rescored.glob("*.png")} == pictures
    for name in {*SCORED, *pictures}:
        assert (rescored / name).read_bytes() == (evaluation / name).read_bytes(), name
    assert [step["step"] for step in read_json(rescored / "provenance.json")["steps"]][-2:] == ["evaluate", "rescore"]


def test_no_model_and_no_library_of_models_is_loaded(evaluation: Path, cohort_folder: Path, tmp_path: Path) -> None:
    words = ["rescore", evaluation, "--cohort", cohort_folder, "--output", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_MODEL, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert (tmp_path / "out" / "metrics.json").read_bytes() == (evaluation / "metrics.json").read_bytes()


def test_the_diagnoses_alone_are_scored_alike(evaluation: Path, cohort_folder: Path, tmp_path: Path) -> None:
    done = in_process(
        "rescore", evaluation, "--cohort", cohort_folder, "--output", tmp_path / "out", "--diagnosis-only"
    )
    assert done.returncode == 0, done.stderr
    whole, alone = (read_json(folder / "metrics.json") for folder in (evaluation, tmp_path / "out"))
    assert alone.pop("rationale") == {}
    del whole["rationale"], whole["teacher"]
    assert alone == whole
    assert not (tmp_path / "out" / "patient.json").exists()
    report = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "## Diagnosis" in report
    assert not any(words in report for words in ("patient_series.png", "Generated text", "## Training"))


def test_changed_labels_change_the_scores_and_nothing_that_was_predicted(
    evaluation: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    cohort = make_cohort(vocabulary)

    def flipped(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"labels": [1 - label for label in row["labels"]]}

    cohort["test"] = cohort["test"].map(flipped, features=cohort["test"].features)
    found = score_predictions(
        tmp_path,
        cohort,
        read_predictions(evaluation),
        ScoreConfig(),
        checking=checking_of(vocabulary),
        diagnosis_only=True,
    )
    before = read_json(evaluation / "metrics.json")
    assert found["names"] == before["names"]
    labels = np.array(cohort["test"]["labels"])
    names = np.array(vocabulary.disease_names)
    listed = read_json(evaluation / PREDICTIONS)["diagnoses"]["full"]
    given = np.array([np.isin(names, row) for row in listed])
    expected = 2 * (given & (labels > 0)).sum() / (given.sum() + labels.sum())
    assert found["systems"]["full"]["micro_f1"]["value"] == pytest.approx(expected)
    assert before["systems"]["full"]["micro_f1"]["value"] != pytest.approx(expected)


def test_what_is_saved_is_what_was_answered(evaluation: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    found = read_predictions(evaluation)
    assert list(found.systems) == ["full", "note_only", "labs_only"]
    assert found.rows == read_json(evaluation / PREDICTIONS)["rows"]
    assert len(found.rows) == 3
    names = np.array(vocabulary.disease_names)
    for name in found.systems:
        place = {"full": 0, "note_only": 1, "labs_only": 2}[name]
        listed = found.probabilities["test"][name].astype(np.float32) >= found.thresholds[name][place]
        assert found.diagnoses[name] == [tuple(names[row].tolist()) for row in listed]
    for name in ("gradient_boosting", "logistic_regression"):
        listed = found.probabilities["test"][name] >= found.thresholds[name][0]
        assert found.diagnoses[name] == [tuple(names[row].tolist()) for row in listed]
    assert set(found.probabilities["test"]) == set(found.probabilities["validation"])
    assert found.curves == {"multimodal": [{"step": 1, "loss": 2.5}, {"step": 2, "eval_loss": 2.25}]}
    write_predictions(tmp_path, found)
    for name in (PREDICTIONS, ARRAYS):
        assert (tmp_path / name).read_bytes() == (evaluation / name).read_bytes()


def test_a_system_without_probabilities_is_scored_by_its_lists_alone(
    evaluation: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    found = read_predictions(evaluation)
    without = {
        split: {name: matrix for name, matrix in given.items() if name != "logistic_regression"}
        for split, given in found.probabilities.items()
    }
    write_predictions(tmp_path, Predictions(**(vars(found) | {"probabilities": without, "thresholds": {}})))
    scored = score_predictions(
        tmp_path,
        make_cohort(vocabulary),
        read_predictions(tmp_path),
        ScoreConfig(),
        checking=checking_of(vocabulary),
        diagnosis_only=True,
    )
    before = read_json(evaluation / "metrics.json")
    for part in ("calibration", "risk_coverage"):
        assert set(before[part]) - set(scored[part]) == {"logistic_regression"}
    own = scored["systems"]["logistic_regression"]
    assert own == {name: before["systems"]["logistic_regression"][name] for name in own}
    assert "brier" not in own
    assert scored["tests"] == before["tests"]


def test_a_truth_that_is_missing_is_said(
    evaluation: Path, cohort_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "evaluation"
    shutil.copytree(evaluation, folder)
    change(folder, truth=True)
    assert in_process("rescore", folder, "--cohort", cohort_folder).returncode == 0
    assert "was scored with a truth; without --truth, omissions are not counted against it" in caplog.text


def test_the_readers_are_compared(
    evaluation: Path, cohort_folder: Path, minilm: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = tmp_path / "evaluation"
    shutil.copytree(evaluation, folder)
    # The paper's reader takes the first for a disease, no reader the second.
    lists = [["acute renal failure", "septic shock"], ["Shock"], *[[]] * 6]
    change(folder, diagnoses=lambda found: {**found, "full": lists})
    words = ("rescore", folder, "--cohort", cohort_folder, "--diagnosis-only", "--output")
    assert in_process(*words, tmp_path / "exact").returncode == 0
    done = in_process(*words, tmp_path / "cosine", "--reader", "cosine", "--encoder", minilm)
    assert done.returncode == 0, done.stderr
    exact, cosine = (read_json(tmp_path / name / "metrics.json") for name in ("exact", "cosine"))
    assert (exact["reader"], cosine["reader"]) == ("exact", "cosine")
    assert "readers" not in exact
    # Those of other systems are the names of the vocabulary, none of which is close to another.
    assert set(cosine["readers"]) == {"full", "full_decoder", "note_only", "labs_only"}
    found = cosine["readers"]["full"]
    assert (found["added"], found["removed"]) == (1, 0)
    assert (found["examples"]["count"], found["examples"]["of"]) == (1, 8)
    for name, scores in (("exact", exact), ("cosine", cosine)):
        assert found["micro_f1"][name] == pytest.approx(scores["systems"]["full"]["micro_f1"]["value"])
    assert cosine["readers"]["note_only"]["examples"]["count"] == 0
    assert [scores["names"]["full"]["unmatched"] for scores in (exact, cosine)] == [2, 1]
    assert cosine["systems"]["gradient_boosting"] == exact["systems"]["gradient_boosting"]
    report = (tmp_path / "cosine" / "report.md").read_text("utf-8")
    assert "| Full model | 0." in report.partition("### Two readers")[2]
    assert "1 / 0" in report
    assert "Two readers" not in (tmp_path / "exact" / "report.md").read_text("utf-8")


def test_settings_of_the_reader_must_fit(evaluation: Path, cohort_folder: Path, tmp_path: Path) -> None:
    words = ("rescore", evaluation, "--cohort", cohort_folder, "--output", tmp_path / "out", "--diagnosis-only")
    fails_with_one_line(in_process(*words, "--reader", "cosine"), "--encoder: is needed by the reader cosine")
    fails_with_one_line(in_process(*words, "--encoder", tmp_path), "--encoder: is for the reader cosine")
    wrong = in_process(*words, "--reader", "cosine", "--encoder", tmp_path / "none")
    fails_with_one_line(wrong, "none")
    assert not (tmp_path / "out").exists()


# --- what cannot be rescored ends in one line


def change(folder: Path, **entries: Any) -> None:
    path = folder / PREDICTIONS
    content = json.loads(path.read_text())
    for name, value in entries.items():
        if value is None:
            del content[name]
        else:
            content[name] = value(content[name]) if callable(value) else value
    path.write_text(json.dumps(content))


def reversed_rows(content: list[Any]) -> list[Any]:
    return content[::-1]


def change_arrays(folder: Path, changed: Callable[[dict[str, np.ndarray]], None]) -> None:
    arrays = dict(load_file(folder / ARRAYS))
    changed(arrays)
    save_file(arrays, folder / ARRAYS)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda folder: change(folder, example_id=[]), "has no predictions"),
    "older": (lambda folder: change(folder, format=None), "saved by an earlier version"),
    "newer": (lambda folder: change(folder, format=7), "have format 7, this version reads 1"),
    "foreign": (lambda folder: (folder / PREDICTIONS).write_text("[1]"), "are not the predictions of an evaluation"),
    "cut off": (
        lambda folder: (folder / PREDICTIONS).write_text((folder / PREDICTIONS).read_text()[:-300]),
        "is not readable JSON",
    ),
    "missing": (lambda folder: (folder / PREDICTIONS).unlink(), "is missing"),
    "an entry lacks": (lambda folder: change(folder, shown=None), "an entry is missing or has another form"),
    "a list is short": (
        lambda folder: change(folder, diagnoses=lambda found: {**found, "full": found["full"][:-1]}),
        "7 lists of full for 8 examples",
    ),
    "twice": (
        lambda folder: change(folder, example_id=lambda found: [found[0], *found[:-1]]),
        "an example is there twice",
    ),
    "no arrays": (lambda folder: (folder / ARRAYS).unlink(), f"{ARRAYS}: is missing"),
    "arrays cut off": (
        lambda folder: (folder / ARRAYS).write_bytes((folder / ARRAYS).read_bytes()[:-9]),
        f"{ARRAYS}: is damaged",
    ),
    "other arrays": (
        lambda folder: change_arrays(folder, lambda arrays: arrays.pop("test.full")),
        "is not the one that was saved with it",
    ),
    "other examples": (
        lambda folder: change(folder, example_id=lambda found: ["unknown", *found[1:]]),
        "about other test examples than the cohort's: 1 of 8 are not in it, and 1 of its 8 have none",
    ),
    "another order": (
        lambda folder: change(folder, example_id=reversed_rows),
        "have the cohort's test examples in another order",
    ),
    "other validation examples": (
        lambda folder: change(folder, validation_id=lambda found: ["unknown", *found[1:]]),
        "about other validation examples than the cohort's",
    ),
    "other diseases": (
        lambda folder: change(folder, diseases=lambda found: ["depression", *found[1:]]),
        "about other diseases than the cohort's",
    ),
    "diseases in another order": (lambda folder: change(folder, diseases=reversed_rows), "they are in another order"),
    "an unknown disease": (
        lambda folder: change(
            folder, diagnoses=lambda found: {**found, "prevalence": [["Gout"], *found["prevalence"][1:]]}
        ),
        "predictions of prevalence hold 1 names of diseases that the cohort's vocabulary has not",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_predictions_end_in_one_line(damage: str, evaluation: Path, cohort_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(evaluation, folder)
    spoil, said = DAMAGES[damage]
    spoil(folder)
    done = in_process("rescore", folder, "--cohort", cohort_folder, "--output", tmp_path / "out", "--diagnosis-only")
    fails_with_one_line(done, said)
    assert not (tmp_path / "out").exists()


def test_probabilities_must_be_probabilities(evaluation: Path, tmp_path: Path) -> None:
    found = read_predictions(evaluation)
    for value in (1.5, float("nan")):
        wrong = found.probabilities["test"]["full"].copy()
        wrong[0, 0] = value
        probabilities = {**found.probabilities, "test": {**found.probabilities["test"], "full": wrong}}
        write_predictions(tmp_path, Predictions(**(vars(found) | {"probabilities": probabilities})))
        with pytest.raises(InputDataError, match="probabilities of full outside 0 to 1"):
            read_predictions(tmp_path)


def test_other_labels_of_the_validation_split_are_refused(evaluation: Path, vocabulary: Vocabulary) -> None:
    cohort = make_cohort(vocabulary)
    cohort["validation"] = cohort["validation"].map(
        lambda row: row | {"labels": [1 - label for label in row["labels"]]}, features=cohort["validation"].features
    )
    with pytest.raises(InputDataError, match="labels of the validation split are no longer those"):
        read_predictions(evaluation).require_cohort(cohort)


def test_the_evaluation_of_the_library_saves_the_same(model: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    systems = systems_of({"full": model})
    systems |= systems_alone(systems["full"])
    metrics = evaluate_systems(
        tmp_path / "one",
        make_cohort(vocabulary),
        systems,
        EvaluateConfig(baselines="light", texts=2, raw=True),
        checking=checking_of(vocabulary),
    )
    again = score_predictions(
        tmp_path / "two",
        make_cohort(vocabulary),
        read_predictions(tmp_path / "one"),
        ScoreConfig(),
        checking=checking_of(vocabulary),
    )
    assert again == metrics
    for name in SCORED:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_command_says_what_is_not_a_folder(cohort_folder: Path, tmp_path: Path) -> None:
    done = in_process("rescore", tmp_path / "none", "--cohort", cohort_folder)
    fails_with_one_line(done, "none: is not a folder; give the folder of an evaluation")
    (tmp_path / "bare").mkdir()
    fails_with_one_line(in_process("rescore", tmp_path / "bare", "--cohort", cohort_folder), "predictions.json")
