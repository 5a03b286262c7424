"""A tiny model whose first draft is given: what is checked and shown of it is up to the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import DIAGNOSIS_MARK, RATIONALE_MARK


def save_short_model(folder: Path, make_model: Any, make_processor: Any, **settings: Any) -> Path:
    """Save a model that would end every text at once; where that is not allowed, it writes of shock."""
    model, processor = make_model("bart", **settings), make_processor(**settings)
    bias = model.language_model.final_logits_bias[0]
    bias[processor.list_ids(["Shock"])] = 100.0
    bias[processor.tokenizer.eos_token_id] = 200.0
    model.generation_config.max_new_tokens = 90
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def drafted(diagnoses: list[str], rationale: str) -> str:
    """A whole output of a model."""
    return f"{DIAGNOSIS_MARK} {','.join(diagnoses)}. {RATIONALE_MARK} {rationale}"


def let_write(monkeypatch: pytest.MonkeyPatch, tokenizer: Any, text: str) -> None:
    """Let every model write `text` when a whole output is asked for; what it writes behind given text is its own.

    Lists of diseases have to be in the order of the vocabulary, as the constraint would have them.
    """
    import torch

    generate: Callable[..., Any] = ClinRaGenForConditionalGeneration.generate

    def scripted(self: Any, *args: Any, **settings: Any) -> Any:
        if "target_prefix" in settings:
            return generate(self, *args, **settings)
        rows = len(settings["encoded"][0]) if "encoded" in settings else len(settings["input_ids"])
        # An encoder-decoder's output begins with the token that its decoder starts with.
        start = [self.language_model.config.decoder_start_token_id] if self.config.is_encoder_decoder else []
        return torch.tensor([[*start, *tokenizer(text, add_special_tokens=False)["input_ids"]]] * rows)

    monkeypatch.setattr(ClinRaGenForConditionalGeneration, "generate", scripted)
