"""Interrupted, damaged and diverging trainings: they go on as if nothing had happened, or say why they cannot."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_examples import OPEN, tiny_splits

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.progress import Progress, no_report
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.checkpoints import SEAL, last_whole_checkpoint, remove_older, seal_checkpoint
from trainers.model_config import ModelConfig
from trainers.phase_config import check_phase_config
from trainers.run_phase import CURVE, NewModel, load_parent, train_phase

# Neither the logs nor the evaluations fall on the checkpoints.
PHASE = """
max_steps: 9
per_device_train_batch_size: 4
learning_rate: 1.0e-2
train_backbone: true
eval_strategy: steps
eval_steps: 4
save_steps: 3
logging_steps: 4
"""
DAMAGED = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
Train = Callable[..., Path]


class StopError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary, 24)


@pytest.fixture(scope="module")
def train(cohort: CohortSplits, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains a tiny model in a folder, killed after `stop` steps where that is given."""
    shape = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    files = tmp_path_factory.mktemp("settings")
    (files / "t5.json").write_text(json.dumps(shape))
    (files / "phase.yaml").write_text(PHASE)
    sizes: dict[str, Any] = {"lab_width": 8, "lab_layers": 1, "lab_heads": 2, "lora_r": 2}
    model = ModelConfig(scratch=files / "t5.json", vocab_size=500, max_source_tokens=48, max_target_tokens=24, **sizes)

    def run(folder: Path, *overrides: str, stop: int | None = None, start: Path | None = None) -> Path:
        def kill(progress: Progress) -> None:
            if progress.done == stop:
                raise StopError

        train_phase(
            "note",
            folder,
            cohort=cohort,
            start=start or NewModel(model, ["fever"]),
            config=files / "phase.yaml",
            overrides=overrides,
            report=no_report if stop is None else kill,
        )
        return folder

    return run


@pytest.fixture(scope="module")
def straight(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("straight") / "model")


@pytest.fixture
def killed(train: Train, tmp_path: Path) -> Path:
    """A folder with the checkpoints of steps 3 and 6; its training was killed after step 8."""
    with pytest.raises(StopError):
        train(tmp_path / "model", stop=8)
    assert {path.name for path in (tmp_path / "model/checkpoints").iterdir()} == {"checkpoint-3", "checkpoint-6"}
    return tmp_path / "model"


def same(folder: Path, other: Path) -> None:
    """The two models have the same weights and the same curve."""
    weights, others = (load_file(path / "model.safetensors") for path in (folder, other))
    assert weights.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert json.loads((folder / CURVE).read_text()) == json.loads((other / CURVE).read_text())


def test_the_curve_of_a_killed_training_is_that_of_a_straight_one(train: Train, straight: Path, killed: Path) -> None:
    logged = [point["step"] for point in json.loads((straight / CURVE).read_text()) if "loss" in point]
    assert logged == [4, 8, 9]
    same(train(killed), straight)


AVERAGED = ("--average_share", "0.5", "--lr_scheduler_type", "constant")


def test_an_averaged_model_has_the_mean_of_the_last_weights(train: Train, tmp_path: Path) -> None:
    ends = [train(tmp_path / f"steps-{steps}", *AVERAGED[2:], "--max_steps", str(steps)) for steps in range(5, 10)]
    averaged = load_file(train(tmp_path / "averaged", *AVERAGED) / "model.safetensors")
    weights = [load_file(folder / "model.safetensors") for folder in ends]
    moved = 0
    for name, mean in averaged.items():
        expected = torch.stack([one[name].float() for one in weights]).mean(0)
        assert torch.allclose(mean.float(), expected, atol=1e-6), name
        moved += not torch.allclose(mean, weights[-1][name], atol=1e-4)
    assert moved > 10


def test_a_killed_training_averages_as_a_straight_one(train: Train, tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", *AVERAGED)
    for stop in (4, 8):  # before and behind the first step that counts
        with pytest.raises(StopError):
            train(tmp_path / f"killed-{stop}", *AVERAGED, stop=stop)
        same(train(tmp_path / f"killed-{stop}", *AVERAGED), straight)


def test_the_best_step_and_the_mean_of_steps_exclude_each_other(train: Train, tmp_path: Path) -> None:
    best = ("--load_best_model_at_end", "--save_steps", "4")
    with pytest.raises(SettingsError, match=r"load_best_model_at_end: .*average_share"):
        train(tmp_path / "model", *AVERAGED, *best)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def poison(path: Path) -> None:
    weights = load_file(path)
    save_file({name: value * float("nan") for name, value in weights.items()}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("optimizer.pt", halve),
        ("trainer_state.json", lambda path: path.write_text("{}")),
        ("model.safetensors", poison),
        (SEAL, Path.unlink),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_in_one_line(
    name: str,
    damage: Callable[[Path], None],
    train: Train,
    straight: Path,
    killed: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(killed / "checkpoints/checkpoint-6" / name)
    with caplog.at_level(logging.WARNING, "trainers"):
        train(killed)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "trainers.checkpoints"]
    assert line.endswith(f"damaged or not finished: checkpoint-6 ({name}); going on from checkpoint-3")
    same(killed, straight)


@pytest.mark.parametrize("name", [*DAMAGED, SEAL])
@pytest.mark.parametrize("damage", [halve, flip, Path.unlink, lambda path: path.write_text("[]")])
def test_any_damage_is_seen(name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    for number in (3, 6):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        for one in DAMAGED:
            (folder / one).write_bytes(one.encode() * number)
        seal_checkpoint(folder)
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-6"
    damage(tmp_path / "checkpoint-6" / name)
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / "checkpoint-6").exists()


def test_without_a_whole_checkpoint_a_training_starts_anew(
    train: Train, straight: Path, killed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (3, 6):
        halve(killed / f"checkpoints/checkpoint-{number}/optimizer.pt")
    train(killed)
    assert "checkpoint-6 (optimizer.pt), checkpoint-3 (optimizer.pt); going on from the start" in caplog.text
    same(killed, straight)


def test_the_newest_whole_checkpoint_is_found_and_older_ones_removed(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path / "none") is None
    for number in (2, 10, 9, 30):
        (tmp_path / f"checkpoint-{number}" / "sub").mkdir(parents=True)
        (tmp_path / f"checkpoint-{number}" / "sub" / "part").write_bytes(b"content")
        seal_checkpoint(tmp_path / f"checkpoint-{number}")
    (tmp_path / "checkpoint-old").mkdir()
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-30"
    (tmp_path / "checkpoint-30" / "sub" / "part").write_bytes(b"CONTENT")
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    remove_older(tmp_path, None)
    remove_older(tmp_path, 1, best=tmp_path / "checkpoint-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2", "checkpoint-old"]


def test_an_older_checkpoint_stays_until_the_newer_one_is_sealed(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(folder: Path) -> None:
        if folder.name == "checkpoint-6":
            raise StopError
        seal_checkpoint(folder)

    monkeypatch.setattr("trainers.phase_trainer.seal_checkpoint", cut)
    with pytest.raises(StopError):
        train(tmp_path / "model", "--save_total_limit", "1")
    assert last_whole_checkpoint(tmp_path / "model/checkpoints") == tmp_path / "model/checkpoints/checkpoint-3"


@pytest.mark.parametrize("stop", ["during", "after"])
def test_a_training_that_diverges_saves_nothing(stop: str, train: Train, tmp_path: Path) -> None:
    # In the first case a loss shows it, in the second the weights of the last step do.
    steps = {"during": ("--save_steps", "9"), "after": ("--max_steps", "1", "--save_steps", "5")}[stop]
    message = {"during": r"the loss of step \d is (nan|inf)", "after": r"\d+ of \d+ tensors hold infinite values"}[
        stop
    ]
    with pytest.raises(StageError, match=f"{message}.*lower learning_rate") as caught:
        train(tmp_path, "--learning_rate", "1e39", "--warmup_steps", "0", *steps)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_parent_of_no_numbers_is_refused(train: Train, straight: Path, tmp_path: Path) -> None:
    model, processor = load_parent(straight)
    model.lab_encoder.patchtst.config.name_or_path = ""
    with torch.no_grad():
        next(model.lab_encoder.parameters()).fill_(float("inf"))
    model.config.phase = None
    for part in (model, processor):
        part.save_pretrained(tmp_path / "parent")
    with pytest.raises(StageError, match=r"the parent model .*1 of \d+ tensors hold infinite.*lab_encoder"):
        train(tmp_path / "model", start=tmp_path / "parent")


@pytest.mark.parametrize("settings", ["num_train_epochs: 0\n", "num_train_epochs: 0\nmax_steps: -5\n"])
def test_a_phase_of_no_steps_is_refused(settings: str, tmp_path: Path) -> None:
    (tmp_path / "phase.yaml").write_text(settings)
    with pytest.raises(SettingsError, match=r"phase.yaml: num_train_epochs: no step would be trained; give it"):
        check_phase_config("note", tmp_path / "phase.yaml")


def test_an_empty_training_split_is_refused(cohort: CohortSplits, straight: Path, tmp_path: Path) -> None:
    empty = CohortSplits({**cohort, "train": cohort["train"].select([])}, OPEN, cohort.vocabulary)
    (tmp_path / "phase.yaml").write_text("max_steps: 1\nallow_skipped_phases: true\n")
    with pytest.raises(StageError, match="training split has no example"):
        train_phase("note", tmp_path / "model", cohort=empty, start=straight, config=tmp_path / "phase.yaml")
