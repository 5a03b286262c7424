"""A model that learned from credentialed data is private and unpublished, and so is every model trained from it."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_teacher import with_rationales
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_examples import OPEN, tiny_splits
from tiny_mimic import crowd, make_cohort
from tiny_training import SETTINGS, SHAPE, TERMS

from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.governance import read_provenance, require_publishable
from modeling_clinragen.errors import GovernanceError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.model_config import ModelConfig
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.run_phase import CURVE, TENSORBOARD, NewModel, load_model_config, load_parent, train_phase


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small hospital built twice: without a licence file (the strictest case), and as synthetic."""
    folder = tmp_path_factory.mktemp("cohorts")
    root = crowd(12).write(folder / "tables")
    make_cohort("mimic-iv", root, folder / "closed", note_policy="full")
    (root / "LICENSE.txt").write_text("Synthetic hospital")
    make_cohort("mimic-iv", root, folder / "open", note_policy="full")
    return {name: folder / name for name in ("closed", "open")}


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]


PHASE = "per_device_train_batch_size: 2\nsave_strategy: 'no'\nlogging_steps: 1\n"


@pytest.fixture
def recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "recipe"
    shutil.copytree(tiny_recipe.parent, folder)
    (folder / "phase.yaml").write_text(f"{PHASE}max_steps: 1\n")
    return folder


def test_training_on_credentialed_data_marks_and_closes_the_model_for_good(
    cohorts: dict[str, Path], recipe: Path, tmp_path: Path
) -> None:
    lessons = {name: tmp_path / f"rationales-{name}" for name in cohorts}
    for name, cohort in cohorts.items():
        with_rationales(cohort, lessons[name])
    folders = {name: tmp_path / f"backbone-{name}" for name in lessons}
    for name, folder in folders.items():
        train_phase(
            "backbone",
            folder,
            cohort=load_examples(lessons[name]),
            config=recipe / "phase.yaml",
            start=NewModel(
                replace(load_model_config(recipe / "model.yaml"), tokenizer_from_credentialed=True),
                ["fever", "insulin"],
            ),
        )
        assert json.loads((folder / "config.json").read_text())["credentialed"] is (name == "closed")
        assert (open_to_others(folder) == []) == (name == "closed")
        carried = read_provenance(folder)
        assert [step["step"] for step in carried["steps"]] == ["build", "rationales", "train backbone"]
    # An open cohort afterwards opens nothing again.
    last = tmp_path / "note"
    train_phase(
        "note",
        last,
        cohort=load_examples(lessons["open"]),
        config=recipe / "phase.yaml",
        start=folders["closed"],
    )
    assert json.loads((last / "config.json").read_text())["credentialed"] is True
    assert open_to_others(last) == []
    carried = read_provenance(last)
    trained = [step["step"] for step in carried["steps"] if step["step"].startswith("train")]
    assert trained == ["train backbone", "train note"]
    assert {origin["release"] for origin in carried["origins"]} == {"mimic-iv", "synthetic"}
    with pytest.raises(GovernanceError):
        require_publishable(last, "the Hub")

    # Saved by hand, model and processor take both with them.
    learned, processor = load_parent(last)
    learned.save_pretrained(tmp_path / "by-hand")
    processor.save_pretrained(tmp_path / "by-hand")
    assert open_to_others(tmp_path / "by-hand") == []
    assert read_provenance(tmp_path / "by-hand") == carried

    settings: dict[str, Any] = {"output_dir": str(tmp_path / "out"), "use_cpu": True, "max_steps": 1}
    examples = load_examples(lessons["open"])
    model, processor = load_parent(folders["open"])
    own: dict[str, Any] = {"processing_class": processor, "vocabulary": examples.vocabulary}
    pushing = NoteConfig(**settings, push_to_hub=True, hub_model_id="someone/model", hub_token="none")
    with pytest.raises(GovernanceError):  # without a provenance the examples count as credentialed
        NoteTrainer(model, pushing, examples["train"], **own)
    assert model.config.credentialed is True
    with pytest.raises(GovernanceError, match=r"report_to: comet_ml, wandb may send.*none or tensorboard"):
        NoteTrainer(model, NoteConfig(**settings, report_to=["wandb", "comet_ml"]), examples["train"], **own)
    trainer = NoteTrainer(model, NoteConfig(**settings), examples["train"], **own)
    with pytest.raises(GovernanceError):
        trainer.push_to_hub()


def test_what_went_to_tensorboard_stays_beside_the_model(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    (tmp_path / "phase.yaml").write_text(
        "max_steps: 3\nlogging_steps: 1\ntrain_backbone: true\nreport_to: tensorboard\n"
    )
    # Credentialed data too: nothing leaves the disk.
    cohort = tiny_splits(vocabulary, provenance={**OPEN, "credentialed": True})
    config = ModelConfig(scratch=tmp_path / "t5.json", tokenizer_from_credentialed=True, **SETTINGS)
    folder = tmp_path / "model"
    train_phase("note", folder, cohort=cohort, start=NewModel(config, TERMS), config=tmp_path / "phase.yaml")
    (run,) = (folder / TENSORBOARD).iterdir()
    events = EventAccumulator(str(run)).Reload()
    logged = {event.step: event.value for event in events.Scalars("train/loss")}
    curve = {entry["step"]: entry["loss"] for entry in json.loads((folder / CURVE).read_text()) if "loss" in entry}
    assert len(logged) == 3
    assert logged == pytest.approx(curve, rel=1e-5)
    assert not (folder / "checkpoints").exists()
    assert open_to_others(folder) == []
