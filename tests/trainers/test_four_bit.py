"""QLoRA: layers in four bits while adapters learn, and ordinary folders before, after and in between.

bitsandbytes lies apart from the other libraries (see OPTIONAL in the Makefile), and only these tests see it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_examples import tiny_splits
from tiny_training import SETTINGS, TERMS
from torch import nn
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import is_bitsandbytes_available

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.progress import Progress, no_report
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model
from trainers.four_bit import FourBitLayers, bytes_saved, frozen_layers
from trainers.model_config import ModelConfig
from trainers.phase_config import check_phase_config
from trainers.run_phase import CURVE, NewModel, train_phase

OPTIONAL = Path(sys.prefix) / "optional"
SHAPES: dict[str, dict[str, Any]] = {
    "t5": {"model_type": "t5", "d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 1, "num_heads": 2},
    "llama": {
        "model_type": "llama",
        **{"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"max_position_embeddings": 512, "tie_word_embeddings": True},
    },
}
TARGETS: dict[str, Any] = {"t5": ["q", "v", "wi"], "llama": "all-linear"}
PHASE = """
max_steps: 6
per_device_train_batch_size: 4
learning_rate: 1.0e-2
load_in_4bit: true
eval_strategy: steps
eval_steps: 3
save_steps: 3
logging_steps: 1
"""
Train = Callable[..., Path]


class StopError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module", autouse=True)
def bitsandbytes() -> Iterator[Any]:
    """The library, for as long as these tests run."""
    assert OPTIONAL.is_dir() or find_spec("bitsandbytes"), f"{OPTIONAL} is missing; run `make install-dev`"
    sys.path.insert(0, str(OPTIONAL))
    is_bitsandbytes_available.cache_clear()
    try:
        yield import_module("bitsandbytes")
    finally:
        sys.path.remove(str(OPTIONAL))
        is_bitsandbytes_available.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "bitsandbytes"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary)


@pytest.fixture(scope="module", params=sorted(SHAPES))
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    shape = tmp_path_factory.mktemp("shape") / "shape.json"
    shape.write_text(json.dumps(SHAPES[request.param]))
    return ModelConfig(scratch=shape, **{**SETTINGS, "lora_targets": TARGETS[request.param]})


@pytest.fixture(scope="module")
def train(settings: ModelConfig, cohort: CohortSplits, tmp_path_factory: pytest.TempPathFactory) -> Train:
    file = tmp_path_factory.mktemp("phase") / "phase.yaml"
    file.write_text(PHASE)

    def run(folder: Path, *overrides: str, stop: int | None = None) -> Path:
        def kill(progress: Progress) -> None:
            if progress.done == stop:
                raise StopError

        report = no_report if stop is None else kill
        start = NewModel(settings, TERMS)
        train_phase("note", folder, cohort=cohort, start=start, config=file, overrides=overrides, report=report)
        return folder

    return run


@pytest.fixture
def built(settings: ModelConfig, cohort: CohortSplits) -> tuple[Any, Any]:
    return build_model(settings, cohort, TERMS, 0)


def test_only_adapters_learn_and_the_folder_is_an_ordinary_one(
    train: Train, built: tuple[Any, Any], tmp_path: Path
) -> None:
    before = built[0].state_dict()
    folder = train(tmp_path / "model")
    after = ClinRaGenForConditionalGeneration.from_pretrained(folder)
    assert load_file(folder / "model.safetensors").keys() <= before.keys()
    moved = {name for name, value in after.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    losses = [entry["loss"] for entry in json.loads((folder / CURVE).read_text()) if "loss" in entry]
    assert losses[-1] < losses[0]


def test_four_bits_learn_nearly_what_single_precision_does(train: Train, tmp_path: Path) -> None:
    curves = []
    for bits in ("true", "false"):
        folder = train(tmp_path / bits, "--load_in_4bit", bits)
        curves.append([entry["loss"] for entry in json.loads((folder / CURVE).read_text()) if "loss" in entry])
    assert curves[0] != curves[1]
    assert curves[0] == pytest.approx(curves[1], rel=0.05)


def test_a_killed_training_goes_on_as_a_straight_one(train: Train, tmp_path: Path) -> None:
    straight = train(tmp_path / "straight")
    with pytest.raises(StopError):
        train(tmp_path / "killed", stop=4)
    # A checkpoint is an ordinary model, too.
    ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "killed/checkpoints/checkpoint-3")
    killed = train(tmp_path / "killed")
    weights, others = (load_file(folder / "model.safetensors") for folder in (straight, killed))
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_layers_are_close_to_themselves_and_come_back_to_the_bit(built: tuple[Any, Any], bitsandbytes: Any) -> None:
    language_model = built[0].language_model
    before = {name: layer.weight.clone() for name, layer in frozen_layers(language_model)}
    assert before
    small = FourBitLayers(language_model, torch.device("cpu"), torch.float32)
    for name, weight in before.items():
        layer = language_model.get_submodule(name)
        assert isinstance(layer, bitsandbytes.nn.Linear4bit)
        found = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        # Of a block of 64 weights, NF4's steps are at most 0.304 of the largest (Dettmers et al. 2023, appendix E),
        # which is itself rounded to eight bits.
        largest, off = weight.reshape(-1, 64).abs().amax(dim=1), (found - weight).reshape(-1, 64).abs().amax(dim=1)
        assert 0.05 < (off / largest).max() < 0.17
    with small.whole():
        for name, weight in before.items():
            assert torch.equal(language_model.get_submodule(name).weight, weight)
    assert isinstance(language_model.get_submodule(next(iter(before))), bitsandbytes.nn.Linear4bit)
    small.give_back()
    for name, weight in before.items():
        layer = language_model.get_submodule(name)
        assert type(layer) is nn.Linear
        assert torch.equal(layer.weight, weight)


def test_head_adapters_and_what_must_be_precise_stay(built: tuple[Any, Any]) -> None:
    language_model = built[0].language_model
    names = [name for name, _ in frozen_layers(language_model)]
    head = language_model.get_output_embeddings()
    assert all(language_model.get_submodule(name) is not head for name in names)
    assert not any("lora_" in name or ".wo" in name for name in names)
    whole = sum(layer.weight.numel() * 4 for _, layer in frozen_layers(language_model))
    assert bytes_saved(language_model) == pytest.approx(whole * (1 - 4.13 / 32), rel=1e-3)


def test_rows_that_are_not_whole_blocks_stay() -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**{**SHAPES["llama"], "intermediate_size": 96}))
    names = {name.rpartition(".")[2] for name, _ in frozen_layers(model)}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"}


def test_a_loaded_model_may_have_its_language_model_in_few_bits(
    built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    model.save_pretrained(tmp_path)
    inputs = dict(processor(list(cohort["test"]["note"][:2])))
    for bits, kind in (("load_in_4bit", "Linear4bit"), ("load_in_8bit", "Linear8bitLt")):
        chosen = BitsAndBytesConfig(**{bits: True})
        small = ClinRaGenForConditionalGeneration.from_pretrained(
            tmp_path, quantization_config=chosen, dtype=torch.float32
        )
        assert chosen.llm_int8_skip_modules is None  # it is the caller's
        packed = {name for name, module in small.named_modules() if type(module).__name__ == kind}
        assert packed
        assert all(name.startswith("language_model.") for name in packed)
        assert small.generate(**inputs, max_new_tokens=4).shape[0] == 2
        assert not any(value.requires_grad for value in small.parameters() if not value.is_floating_point())


def test_it_excludes_what_trains_the_language_model_whole(tmp_path: Path) -> None:
    (tmp_path / "phase.yaml").write_text(f"{PHASE}train_backbone: true\n")
    with pytest.raises(SettingsError, match="load_in_4bit: freezes the language model"):
        check_phase_config("note", tmp_path / "phase.yaml")


def test_without_the_library_it_says_what_to_install(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SettingsError, match=r"load_in_4bit needs bitsandbytes; install it"):
        train(tmp_path / "model")
