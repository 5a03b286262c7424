"""The command `prefer`: from a model folder to a model folder that learned by the checker's preferences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import fails_with_one_line, in_process

from clinragen.inference import Explainer
from clinragen.pipeline.prefer import PreferConfig, run
from clinragen.preference import rewards
from clinragen.preference import run as preference_run
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.progress import Progress, no_report
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.calibration import calibrate_head
from trainers.data import PhaseExamples
from trainers.memory import FreeMemory
from trainers.muon import MuonWithAdamW
from trainers.phases import phase_named

SETTINGS: dict[str, Any] = {
    "train_backbone": True,
    "patients": 6,
    "curve_patients": 3,
    "group_size": 3,
    "max_new_tokens": 16,
    "max_steps": 4,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "save_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "eval_on_start": True,
    "logging_steps": 1,
}
DPO = {**SETTINGS, "loss": "dpo", "rounds": 2, "verified": True, "length_tolerance": 1.0, "chosen_weight": 0.5}
GRPO = {**SETTINGS, "loss": "grpo", "beta": 0.05}

MUON = {"muon_learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def fewer_letters_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps teach a model no claims that could be told apart, so that texts are ranked by something simpler."""

    def fewest_false(self: Any, texts: Sequence[str], patients: Any) -> list[float]:
        return [-float(len(text)) for text in texts]

    monkeypatch.setattr(rewards.ClinicalRewards, "fewest_false", fewest_false)


def written(folder: Path, settings: dict[str, Any]) -> Path:
    file = folder / "prefer.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def test_too_little_memory_is_told_before_anything_is_loaded(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, output = tiny_run / "model", tmp_path / "preferred"
    words = ["prefer", parent, "--cohort", tiny_run / "rationales", "--output", output]
    words += ["--config", written(tmp_path, DPO)]
    weights = (parent / "model.safetensors").stat().st_size
    # Room for the weights, but not for gradients, the optimizer and what the model is held to.
    free = FreeMemory(machine=weights)
    monkeypatch.setattr(preference_run.FreeMemory, "at_present", lambda device: free)
    fails_with_one_line(in_process(*words), "preference training needs at least", "end other programs")
    assert not output.exists()


@pytest.mark.parametrize("settings", [DPO, GRPO], ids=["dpo", "grpo"])
def test_a_model_folder_becomes_another_one(settings: dict[str, Any], tiny_run: Path, tmp_path: Path) -> None:
    parent, output = tiny_run / "model", tmp_path / "preferred"
    words = ["prefer", parent, "--cohort", tiny_run / "rationales", "--output", output]
    words += ["--config", written(tmp_path, settings)]
    done = in_process(*words)
    assert done.returncode == 0, done.stderr[-1500:]
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (parent, output))
    assert before["phase"] == after["phase"]
    assert before["diseases"] == after["diseases"]
    step = json.loads((output / "provenance.json").read_text())["steps"][-1]
    assert (step["step"], step["loss"], step["seed"]) == ("prefer", settings["loss"], 0)
    curve = json.loads((output / "preference_curve.json").read_text())
    shown = [entry for entry in curve if "eval_length" in entry]
    rounds = settings.get("rounds", 1)
    # Once before the first step of all; a later round begins with what the one before it ended with.
    assert [entry["step"] for entry in shown] == [*range(0, 4 * rounds + 1, 2)]
    assert {entry["round"] for entry in curve} == set(range(1, rounds + 1))
    for name in ("nothing_contradicted", "evidence_recall", "diagnosis_f1", "length_in_bounds", "claims", "supported"):
        assert f"eval_{name}" in shown[-1]
    assert not (output / "checkpoints").exists()
    assert (output / "knowledge.json").read_bytes() == (parent / "knowledge.json").read_bytes()
    # The head lists as before, since what it reads was frozen; what is written is not what it was.
    one, other = (ClinRaGenForConditionalGeneration.from_pretrained(folder) for folder in (parent, output))
    moved = {name for name, value in one.state_dict().items() if not torch.equal(value, other.state_dict()[name])}
    assert moved
    assert all("decoder." in name and "embed_tokens" not in name for name in moved)
    assert shown[0]["eval_diagnosis_f1"] == shown[-1]["eval_diagnosis_f1"]
    assert Explainer.from_pretrained(output).vocabulary == Explainer.from_pretrained(parent).vocabulary
    # Nothing is left to do.
    stamp = (output / "stage.json").stat().st_mtime_ns
    assert in_process(*words).returncode == 0
    assert (output / "stage.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("settings", [DPO, GRPO], ids=["dpo", "grpo"])
def test_measuring_before_the_first_step_shows_the_parent_and_changes_no_bit(
    settings: dict[str, Any], tiny_run: Path, tmp_path: Path
) -> None:
    inputs = {"model": tiny_run / "model", "cohort": tiny_run / "rationales"}
    found, curves = [], []
    # At a rate of 0 what is measured at the end is the parent.
    still = {"eval_on_start": False, "learning_rate": 0.0, "rounds": 1, "max_steps": 1}
    for changes in ({}, {"eval_on_start": False}, still):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        config = PreferConfig(config=written(folder, {**settings, **changes}))
        run(config, inputs, folder / "preferred", no_report)
        found.append(ClinRaGenForConditionalGeneration.from_pretrained(folder / "preferred").state_dict())
        entries = json.loads((folder / "preferred" / "preference_curve.json").read_text())
        curves.append([entry for entry in entries if "eval_length" in entry])
    on, off, parent = curves
    assert {name for name, value in found[0].items() if not torch.equal(value, found[1][name])} == set()
    assert on[0]["step"] == 0
    assert on[1:] == off
    assert {**parent[-1], "step": 0} == on[0]


def test_the_head_is_calibrated_anew_where_what_it_reads_has_learned(tiny_run: Path, tmp_path: Path) -> None:
    inputs = {"model": tiny_run / "model", "cohort": tiny_run / "rationales"}
    settings = {**GRPO, "train_encoder": True, "learning_rate": 0.1, "max_steps": 1, "eval_strategy": "no"}
    output = tmp_path / "preferred"
    run(PreferConfig(config=written(tmp_path, settings)), inputs, output, no_report)
    parent, model = (ClinRaGenForConditionalGeneration.from_pretrained(one) for one in (inputs["model"], output))
    moved = {name for name, value in parent.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert any("encoder.block" in name for name in moved)
    heads = {name for name in moved if name.startswith("disease_head.")}
    assert heads
    assert heads <= {"disease_head.temperatures", "disease_head.thresholds"}
    # What is in the folder is what a calibration of the trained model finds.
    found = {name: model.state_dict()[name].clone() for name in heads}
    for name in heads:
        model.state_dict()[name].fill_(0.3)
    phase, processor = phase_named(model.config.phase), ClinRaGenProcessor.from_pretrained(output)
    items = PhaseExamples(load_examples(inputs["cohort"])["validation"], phase, processor).items
    calibrate_head(model, processor, items, phase)
    for name, value in found.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-4, msg=name)


class StopError(Exception):
    pass


@pytest.mark.parametrize(("settings", "stops"), [({**DPO, **MUON}, 7), (GRPO, 3)], ids=["dpo", "grpo"])
def test_an_interrupted_training_ends_where_a_straight_one_does(
    settings: dict[str, Any], stops: int, tiny_run: Path, tmp_path: Path
) -> None:
    """The second round of DPO is stopped after a checkpoint, as is the one of GRPO."""
    config = PreferConfig(config=written(tmp_path, settings))
    inputs = {"model": tiny_run / "model", "cohort": tiny_run / "rationales"}
    steps = 0

    def stop(progress: Progress) -> None:
        nonlocal steps
        steps += progress.unit == "steps"
        if steps == stops:
            raise StopError

    run(config, inputs, tmp_path / "straight", no_report)
    with pytest.raises(StopError):
        run(config, inputs, tmp_path / "broken", stop)
    made: list[int] = []
    optimizers: list[Any] = []
    trainer = preference_run.ClinRaGenPreferenceTrainer
    original, original_train = trainer.make_pairs, trainer.train

    def counted(self: Any, *args: Any) -> Any:
        made.append(1)
        return original(self, *args)

    def trained(self: Any, *args: Any, **kwargs: Any) -> Any:
        optimizers.append(self.optimizer)
        return original_train(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "make_pairs", counted)
        patch.setattr(trainer, "train", trained)
        run(config, inputs, tmp_path / "broken", no_report)
    assert all(isinstance(one, MuonWithAdamW) == ("muon_learning_rate" in settings) for one in optimizers)
    assert not made, "the pairs of the interrupted round are on the disk"
    one, other = (
        ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / name).state_dict()
        for name in ("straight", "broken")
    )
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5, msg=name)
    curves = [json.loads((tmp_path / name / "preference_curve.json").read_text()) for name in ("straight", "broken")]
    steps_of = [[(entry["step"], "loss" in entry) for entry in curve] for curve in curves]
    assert steps_of[0] == steps_of[1], steps_of


def test_what_is_wrong_is_said_in_one_line(tiny_run: Path, tmp_path: Path) -> None:
    words = ["prefer", str(tiny_run / "model"), "--output", str(tmp_path / "out")]
    words += ["--config", str(written(tmp_path, {**SETTINGS, "looses": "dpo"}))]
    done = in_process(*words, "--cohort", tiny_run / "rationales")
    fails_with_one_line(done, "unknown setting 'looses'")
    done = in_process(*words, "--cohort", tmp_path / "none")
    fails_with_one_line(done, "is not a folder; give the cohort folder")
