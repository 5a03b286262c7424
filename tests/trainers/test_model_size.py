"""Sizes that no model could have are refused at once, before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_examples import tiny_splits
from transformers import T5Config, T5ForConditionalGeneration

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model, check_size
from trainers.memory import machine_memory
from trainers.model_config import ModelConfig

SHAPE = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 48,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
}
SMALL: dict[str, Any] = {"lab_width": 8, "lab_layers": 1, "lab_heads": 2, "lora_r": 2, "vocab_size": 600}


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    path = tmp_path / "t5.json"
    path.write_text(json.dumps(SHAPE))
    return path


@pytest.mark.parametrize("layout", ["patches", "paper"])
@pytest.mark.parametrize("fusion", ["attention", "tokens", "none"])
def test_a_possible_model_is_no_fault_and_draws_no_number(
    layout: str, fusion: str, shape: Path, vocabulary: Vocabulary
) -> None:
    before = torch.random.get_rng_state()
    settings = ModelConfig(scratch=shape, lab_layout=layout, knowledge_fusion=fusion, disease_head=True, **SMALL)
    check_size(settings, vocabulary)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        # 32 is the width of q and v; a feed-forward layer of 32 x 48 has a rank of 32, too.
        ({"lora_r": 33}, r"lora_r is 33, but no layer of lora_targets \(q, v\) has a rank above 32; give at most 32"),
        ({"lora_r": 33, "lora_targets": ["wi_0"]}, "above 32; give at most 32"),
        ({"lora_targets": ["query"]}, "lora's target_modules name 'query', but no layer"),
        ({"disease_head": True, "disease_heads": 5}, "disease_heads is 5, which does not divide .* width 32"),
        ({"lab_width": 65_536, "lab_layers": 256}, "lab encoder: lower lab_width, lab_layers or lab_max_steps"),
        ({"lab_width": 65_536, "lab_max_steps": 10**6, "lab_patch_steps": 1}, "most is for the lab encoder"),
        ({"knowledge_head_dim": 65_536, "knowledge_heads": 1024, "num_prototypes": 10**6}, "knowledge attention"),
    ],
)
def test_an_absurd_size_is_refused_with_the_setting_to_lower(
    changed: dict[str, Any], fault: str, shape: Path, vocabulary: Vocabulary
) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        check_size(ModelConfig(scratch=shape, **{**SMALL, **changed}), vocabulary)
    assert "\n" not in str(caught.value)


def test_the_largest_useful_rank_is_built(shape: Path, vocabulary: Vocabulary) -> None:
    check_size(ModelConfig(scratch=shape, **{**SMALL, "lora_r": 32}), vocabulary)


def test_a_pretrained_backbone_is_measured_by_its_folder(
    tiny_tokenizer: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = tmp_path / "backbone"
    sizes = {name: size for name, size in SHAPE.items() if name != "model_type"}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tiny_tokenizer), **sizes)).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    settings = ModelConfig(backbone=str(folder), **{**SMALL, "lora_r": 60_000})
    with pytest.raises(SettingsError, match="lora_r is 60000, but no layer of lora_targets"):
        check_size(settings, vocabulary)
    with pytest.raises(SettingsError, match="lora_r is 60000, but no layer of lora_targets"):
        build_model(settings, tiny_splits(vocabulary, 2), [], 0)
    # On the Hub, it is nobody's business before it is loaded.
    check_size(ModelConfig(backbone="hf://nobody/nothing", **SMALL), vocabulary)


def test_memory_is_counted_in_bytes() -> None:
    assert 10**8 < machine_memory() < 10**15
