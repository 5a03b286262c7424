"""`all-linear` adapts every linear layer of a language model but its head, through saving, loading and merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT_CONFIGS
from model_inputs import NOTES, TARGETS, randomise, three_stays
from peft.tuners.lora import LoraLayer
from torch import nn

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0, "target_modules": "all-linear"}


@pytest.fixture
def inputs(make_processor: Any, make_series: Any) -> Any:
    return make_processor()(NOTES, three_stays(make_series), TARGETS)


@pytest.mark.parametrize("kind", TEXT_CONFIGS)
def test_all_linear_layers_but_the_head_are_adapted_and_kept(
    kind: str, make_model: Any, inputs: Any, tmp_path: Path
) -> None:
    plain = make_model(kind, lora=False)
    head = plain.language_model.get_output_embeddings()
    layers = {
        name
        for name, module in plain.language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    expected = plain(**inputs).logits
    plain.add_lora(dict(LORA))
    model = plain.eval()
    adapted = {name for name, module in model.language_model.named_modules() if isinstance(module, LoraLayer)}
    assert adapted == layers
    assert layers
    torch.testing.assert_close(model(**inputs).logits, expected)
    randomise(model, "lora_")
    trained = model(**inputs).logits
    assert not torch.allclose(trained, expected, atol=1e-3)
    model.save_pretrained(tmp_path)
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path)
    assert again.config.lora == LORA
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(again(**inputs).logits, trained)
    again.merge_adapters()
    torch.testing.assert_close(again(**inputs).logits, trained, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, LoraLayer) for module in again.modules())


@pytest.mark.parametrize("kind", ["t5", "opt", "llama"])
def test_every_adapter_learns(kind: str, make_model: Any, inputs: Any) -> None:
    model = make_model(kind, lora=False)
    model.add_lora(dict(LORA))
    randomise(model, "lora_")
    model.set_trainable(backbone=False, adapter=True, lab_encoder=False, knowledge_attention=False)
    model.train()(**inputs).loss.backward()
    for name, parameter in model.language_model.named_parameters():
        learns = "lora_" in name
        assert parameter.requires_grad is learns, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) is learns, name


def test_an_embedding_narrower_than_the_layers_is_projected_by_adapted_layers(make_model: Any, inputs: Any) -> None:
    # As in OPT's 350M.
    config = make_model("opt").config
    config.text_config.word_embed_proj_dim = 16
    config.lora = dict(LORA)
    model = ClinRaGenForConditionalGeneration(config).eval()
    adapted = {name for name, module in model.language_model.named_modules() if isinstance(module, LoraLayer)}
    assert {"model.decoder.project_in", "model.decoder.project_out"} <= adapted
    assert torch.isfinite(model(**inputs).loss)
