"""A phase for which there is too little memory is refused, or warned of, in one line before any weights are loaded."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_examples import tiny_splits
from tiny_steps import lora_config, phase_settings
from transformers import T5Config, T5ForConditionalGeneration

from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers import memory
from trainers.memory import FreeMemory
from trainers.memory_check import FAR_ABOVE, UNCOUNTABLE, PhaseMemory
from trainers.model_config import ModelConfig
from trainers.model_size import laid_out
from trainers.phases import phase_named
from trainers.run_phase import NewModel, train_phase
from trainers.step_memory import CountedModel, HeldMemory, held_in_phase

PLENTY = 10**13
WEIGHTS = "model.safetensors"
BOTH = phase_named("multimodal")


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    return partial(phase_settings, tmp_path, per_device_train_batch_size=4)


@pytest.fixture
def require(make_model: Any, make_processor: Any) -> Any:
    """Check a phase of a tiny model, laid out anew."""

    def check(settings: Any, **free: Any) -> None:
        config = lora_config(make_model, "t5", disease_head=True)
        PhaseMemory(BOTH, settings, FreeMemory(**free)).require(laid_out(config), make_processor())

    return check


@pytest.fixture
def held(make_model: Any, settings: Any) -> HeldMemory:
    return held_in_phase(laid_out(lora_config(make_model, "t5", disease_head=True)), BOTH, settings())


def one_line(caught: Any) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_cannot_fit_on_the_machine_is_refused(require: Any, held: HeldMemory, settings: Any) -> None:
    with pytest.raises(SettingsError, match=r"the model's weights need .* of memory, of which .* are free; choose"):
        require(settings(), machine=held.weights - 1)
    with pytest.raises(SettingsError, match=r"'multimodal' needs at least .* of memory \(.*\), of which") as caught:
        require(settings(), machine=held.whole - 1)
    assert "for weights" in one_line(caught)
    assert one_line(caught).endswith("choose a smaller backbone, end other programs, or use a machine with more")


def test_what_may_not_fit_on_the_machine_is_warned_of_once(
    require: Any, held: HeldMemory, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="trainers"):
        require(settings(), machine=PLENTY)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="trainers"):
        require(settings(), machine=held.whole)
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("The phase 'multimodal': a step with the longest examples that there can be is estimated")
    assert "lower per_device_train_batch_size" in said
    assert "set activation_checkpointing: true" in said
    assert "\n" not in said


def test_what_cannot_fit_on_the_gpu_is_refused(require: Any, held: HeldMemory, settings: Any) -> None:
    with pytest.raises(SettingsError, match=r"needs at least .* of the GPU's memory .* or set load_in_4bit: true"):
        require(settings(), machine=PLENTY, gpu=held.whole - 1)
    # What is far above is refused, what may be shorter in truth is warned of.
    with pytest.raises(
        SettingsError, match=r"is estimated to take .* of the GPU's memory, of which .* are f"
    ) as caught:
        require(settings(), machine=PLENTY, gpu=held.whole)
    assert "load_in_4bit" in one_line(caught)
    with pytest.raises(SettingsError, match="the model's weights need"):
        require(settings(), machine=held.weights - 1, gpu=PLENTY)


def test_the_estimate_decides_on_the_gpu(
    require: Any, settings: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    needed = 0

    def remembered(self: CountedModel, *given: Any, **more: Any) -> Any:
        nonlocal needed
        found = counted(self, *given, **more)
        needed = found.whole
        return found

    counted = CountedModel.memory
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountedModel, "memory", remembered)
        with pytest.raises(SettingsError):
            require(settings(), machine=PLENTY, gpu=2 * 10**6)
    with caplog.at_level(logging.WARNING, logger="trainers"):
        require(settings(), machine=PLENTY, gpu=needed)
        assert not caplog.records
        require(settings(), machine=PLENTY, gpu=needed // FAR_ABOVE + 1)
    assert "estimated to take" in caplog.text


def test_a_model_that_gpus_divide_must_be_loaded_all_the_same(
    require: Any, held: HeldMemory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    require(chosen, machine=held.weights, gpu=1)
    with pytest.raises(SettingsError, match="the model's weights need"):
        require(chosen, machine=held.weights - 1, gpu=1)


def test_a_model_that_looks_at_values_is_not_estimated(
    require: Any, held: HeldMemory, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def looks(*_: Any) -> Any:
        raise UNCOUNTABLE[0]("aten._local_scalar_dense.default")

    monkeypatch.setattr(CountedModel, "loss", looks)
    with caplog.at_level(logging.INFO, logger="trainers"):
        require(settings(), machine=held.whole)
    assert "the memory of a step cannot be estimated" in caplog.text


def test_a_new_model_is_refused_before_its_backbone_is_loaded(
    tiny_tokenizer: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder, cohort = tmp_path / "backbone", tiny_splits(vocabulary, 3)
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tiny_tokenizer), **shape)).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).unlink()
    small: dict[str, Any] = {"lab_width": 8, "lab_layers": 1, "lab_heads": 2, "lora_r": 2, "knowledge_fusion": "none"}
    start = NewModel(ModelConfig(backbone=str(folder), **small))
    phase_settings(tmp_path)
    train = partial(train_phase, "note", cohort=cohort, start=start, config=tmp_path / "phase.yaml")
    with pytest.raises(
        SettingsError, match=r"the model's weights need .* of memory, of which 9 kB are free"
    ) as caught:
        train(tmp_path / "note", free=FreeMemory(9_000))
    one_line(caught)
    assert not list((tmp_path / "note").glob("*"))
    with pytest.raises(SettingsError, match="no language model could be loaded"):
        train(tmp_path / "note", free=FreeMemory(PLENTY))


def test_a_parent_is_refused_before_its_weights_are_loaded(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    model = make_model("t5")
    model.config.phase = "lab"
    model.save_pretrained(parent)
    make_processor().save_pretrained(parent)
    (parent / WEIGHTS).unlink()
    phase_settings(tmp_path)
    given: dict[str, Any] = {"cohort": tiny_splits(vocabulary, 3), "start": parent, "config": tmp_path / "phase.yaml"}
    with pytest.raises(
        SettingsError, match=r"the model's weights need .* of memory, of which 9 kB are free"
    ) as caught:
        train_phase("multimodal", tmp_path / "out", **given, free=FreeMemory(9_000))
    one_line(caught)
    with pytest.raises(InputDataError, match="the model's weights are missing"):
        train_phase("multimodal", tmp_path / "out", **given, free=FreeMemory(PLENTY))


def test_processes_on_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_available", lambda meminfo: 1000)
    monkeypatch.setattr(memory, "_left_in_groups", lambda root: iter(()))
    assert FreeMemory.at_present(torch.device("cpu")) == FreeMemory(machine=1000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert FreeMemory.at_present(torch.device("cpu")) == FreeMemory(machine=250)
