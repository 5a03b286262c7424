"""The whole command on a made-up cohort: what it writes, what it cannot answer, and what it refuses."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from command_line import fails_with_one_line, in_process
from made_up_cohort import SIZES, make_cohort, write_cohort
from scripted_model import drafted, let_write

from clinragen.interventions.changes import INPUTS
from clinragen.interventions.config import InterventionsConfig
from clinragen.interventions.report import KNOWN, SUFFICIENT
from clinragen.interventions.stage import run
from clinragen.interventions.sufficiency import ATTENTION, CITED, GRADIENT
from clinragen.knowledge import load_knowledge
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.files import read_json
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.knowledge_map_clinragen import term_token_ids
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SECRET = "Fever and chills"
SMALL = InterventionsConfig(patients=None, permutations=99, heat_maps=1, batch_size=4)
WRITTEN = drafted(["Septicemia (except in labor)"], '"Fever" fits Septicemia (except in labor).')
DISEASE = "Septicemia (except in labor)"


def write_hospital(folder: Path, stays: list[int]) -> Path:
    """A truth in which fever is the only sign of septicemia."""
    (folder / "tables").mkdir(parents=True)
    with gzip.open(folder / "tables" / TRUTH, "wt", encoding="utf-8") as stream:
        for stay in stays:
            found = {"phrase": SECRET, "more_phrases": [], "effects": []}
            diseases = {"septicemia": found} if stay % 2 else {}
            stream.write(json.dumps({"hadm_id": stay, "stay_id": stay, "diseases": diseases}) + "\n")
    return folder


@pytest.fixture(scope="module")
def save_model(make_model: Any, make_processor: Any, vocabulary: Vocabulary) -> Callable[..., Path]:
    """Save a tiny model with every part, or without some, which lists septicemia of everybody."""

    def save(folder: Path, *, layout: str = "diagnosis-first", **changes: Any) -> Path:
        settings = {"disease_head": True, "lab_summary": True, "knowledge_fusion": "gated", **changes}
        processor = make_processor(layout=layout, max_target_tokens=60)
        base = load_knowledge(None, vocabulary)
        tokens = [term_token_ids(entry.terms[0].term, processor.tokenizer) for entry in base.diseases]
        known = sorted({token for ids in tokens for token in ids})
        if settings["knowledge_fusion"] != "none":
            settings["num_knowledge_tokens"] = len(known)
        else:
            settings["num_knowledge_tokens"] = settings["num_prototypes"] = 0
        model = make_model("bart", **settings)
        if settings["knowledge_fusion"] != "none":
            model.set_knowledge_tokens(known)
        if model.disease_head is not None:
            with torch.no_grad():
                model.disease_head.bias[vocabulary.disease_names.index(DISEASE)] = 5.0
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="module")
def folders(save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path_factory: Any) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("interventions")
    first = SIZES["train"] + SIZES["validation"]
    return {
        "model": save_model(root / "model"),
        "cohort": write_cohort(root / "cohort", make_cohort(vocabulary)),
        "truth": write_hospital(root / "hospital", list(range(first, first + SIZES["test"]))),
    }


def test_every_question_is_answered(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, WRITTEN)
    reported: list[Progress] = []
    run(SMALL, folders, tmp_path, reported.append)
    found = read_json(tmp_path / "interventions.json")
    assert found["decided_by"] == "the disease head"
    assert found["held_out"]["examples"] == SIZES["test"]
    assert set(found["inputs"]) == {intervention.name for intervention in INPUTS}
    assert len(found["variables"]) == len(shipped_definitions().vocabulary.variables)
    assert all(one["effect"]["cases"] == SIZES["test"] for one in found["variables"].values())
    assert found["config"] == {"patients": None, "units": 5, "permutations": 99, "heat_maps": 1, "seed": 0}
    # Every other patient has fever and chills, and the head lists septicemia of everybody.
    cause = found["known_cause"]
    assert set(cause) == {"all", "note"}
    assert (cause["note"]["causes"], cause["note"]["gone"]["value"]) == (4, 0.0)
    assert {ATTENTION, GRADIENT, CITED} <= set(found["necessity"]) < set(found["sufficiency"])
    assert found["alignment"]["patients"] == SIZES["test"]
    assert found["answers"] == reported[-1].done > 30 * SIZES["test"] / 2
    names = {"interventions.json", "report.md", "provenance.json", "knowledge_1.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    report = (tmp_path / "report.md").read_text()
    for heading in ("The input changed", "The only cause removed", "Sufficiency", "Necessity", "Lab vectors and"):
        assert f"## {heading}" in report
    assert f"{100 * SUFFICIENT:.0f} %" in report
    assert f"{100 * KNOWN:.0f} %" in report
    assert "The patients are synthetic" in report
    for path in tmp_path.glob("*.*"):
        assert SECRET.encode() not in path.read_bytes(), "nothing of a patient is in the numbers"


def test_the_same_input_gives_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    results = []
    for name, batch_size in (("one", 4), ("two", 4)):
        (tmp_path / name).mkdir()
        config = InterventionsConfig(patients=3, permutations=99, heat_maps=0, batch_size=batch_size)
        run(config, folders, tmp_path / name, lambda progress: None)
        results.append([(tmp_path / name / file).read_bytes() for file in ("interventions.json", "report.md")])
    assert results[0] == results[1]
    assert json.loads(results[0][0])["held_out"]["examples"] == 3


def test_without_head_knowledge_or_truth_the_report_says_what_it_cannot_answer(
    save_model: Callable[..., Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model", disease_head=False, knowledge_fusion="none")
    done = in_process(
        *("interventions", model, "--cohort", folders["cohort"], "--output", tmp_path / "out", "--patients", 4)
    )
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "out" / "interventions.json")
    assert found["decided_by"] == "the decoder's list"
    assert found["known_cause"] is found["alignment"] is None
    assert not {ATTENTION, GRADIENT} & set(found["sufficiency"])
    reasons = " ".join(one["because"] for one in found["unanswerable"])
    for reason in ("no disease head", "no knowledge attention (knowledge_fusion: none)", "no truth"):
        assert reason in reasons
        assert reason in done.stdout.replace("\n", " ")
    report = (tmp_path / "out" / "report.md").read_text()
    assert report.count("not answerable here, because") == len(found["unanswerable"])


def test_a_model_that_lists_last_is_asked_without_rationales(
    save_model: Callable[..., Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    last = save_model(tmp_path / "last", layout="rationale-first")
    (tmp_path / "out").mkdir()
    config = InterventionsConfig(patients=4, permutations=99, heat_maps=0)
    run(config, {**folders, "model": last}, tmp_path / "out", lambda progress: None)
    found = read_json(tmp_path / "out" / "interventions.json")
    assert found["sufficiency"] is None
    assert found["pairs"] == {}
    assert "sentence_gone" not in found["known_cause"]["all"]
    assert "Which evidence does the rationale cite?" in [one["question"] for one in found["unanswerable"]]
    headless = save_model(tmp_path / "headless", layout="rationale-first", disease_head=False)
    with pytest.raises(SettingsError, match="nothing is known of its diagnoses alone"):
        run(config, {**folders, "model": headless}, tmp_path / "out", lambda progress: None)


def test_what_is_made_of_credentialed_data_is_private_and_logs_nothing_of_a_patient(
    folders: dict[str, Path], vocabulary: Vocabulary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = write_cohort(tmp_path / "cohort", make_cohort(vocabulary, credentialed=True, synthetic=False))
    done = in_process(
        *("interventions", folders["model"], "--cohort", cohort, "--output", tmp_path / "out", "--patients", 3),
        *("--permutations", 99),
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    provenance = read_json(tmp_path / "out" / "provenance.json")
    assert provenance["credentialed"] is True
    assert provenance["steps"][-1]["step"] == "interventions"
    for text in (done.stdout, done.stderr, caplog.text):
        assert "Dyspnea" not in text
        assert SECRET not in text


def test_what_does_not_fit_is_refused_in_one_line(
    folders: dict[str, Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    empty = write_cohort(tmp_path / "empty", make_cohort(vocabulary))
    held_out = empty / "data" / "test.parquet"
    pq.write_table(pq.read_table(held_out).slice(0, 0), held_out)
    strangers = write_hospital(tmp_path / "hospital", [900, 901])
    other = write_cohort(tmp_path / "renamed", make_cohort(vocabulary))
    content = read_json(other / "vocabulary.json")
    (tmp_path / "nothing").mkdir()
    text = json.dumps(content).replace("Essential hypertension", "Hypertension without complication")
    (other / "vocabulary.json").write_text(text)
    cases = {
        "the cohort's test split is empty; build a larger cohort": {"cohort": empty},
        "has none of the cohort's held-out stays; give the hospital that": {"truth": strangers},
        "Hypertension without complication": {"cohort": other},
        "truth.jsonl.gz: is missing": {"truth": tmp_path / "nothing"},
        "is not a folder; give the model folder": {"model": tmp_path / "nowhere"},
        "is not a model folder": {"model": tmp_path / "nothing"},
        "--patients: ": {"patients": 1},
    }
    for message, changed in cases.items():
        given = {**folders, "patients": 4, "output": tmp_path / "out", **changed}
        model = given.pop("model")
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        fails_with_one_line(in_process("interventions", model, *words), message)
        assert not (tmp_path / "out").exists()
