"""The language model of a backbone that also sees, such as MedGemma: it is taken out, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.language_model_clinragen import load_language_config, load_language_model

LORA = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "target_modules": "all-linear"}


def seeing() -> Gemma3ForConditionalGeneration:
    torch.manual_seed(0)
    text: dict[str, Any] = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8}
    sight = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight |= {"image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=sight, mm_tokens_per_image=4, image_token_index=89)
    return Gemma3ForConditionalGeneration(config).eval()


@pytest.mark.parametrize("published", [True, False])
def test_the_language_model_writes_as_the_whole_does(published: bool, tmp_path: Path) -> None:
    whole = seeing()
    whole.save_pretrained(tmp_path)
    weights = {name: one for name, one in whole.state_dict().items() if name != "lm_head.weight"}
    if published:
        # As the weights are called on the Hub.
        pairs = {"model.language_model.": "language_model.model.", "model.vision_tower.": "vision_tower."}
        for ours, theirs in pairs.items():
            weights = {name.replace(ours, theirs): one for name, one in weights.items()}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    ids = torch.randint(3, 80, (2, 12))
    expected = whole(input_ids=ids).logits
    assert load_language_config(tmp_path).model_type == "gemma3_text"
    alone = load_language_model(tmp_path)
    torch.testing.assert_close(alone.eval()(input_ids=ids).logits, expected)
    assert {parameter.dtype for parameter in alone.parameters()} == {torch.float32}
    patch = {"num_input_channels": 11, "patch_length": 32, "patch_stride": 32, "context_length": 64, "d_model": 16}
    model = ClinRaGenForConditionalGeneration.from_backbone(
        tmp_path, lora=LORA, lab_config=patch, num_knowledge_tokens=3, diseases=["Shock"]
    )
    torch.testing.assert_close(model.language_model(input_ids=ids).logits, expected)
    assert not any("vision" in name for name, _ in model.named_parameters())
    model.save_pretrained(tmp_path / "whole")
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
