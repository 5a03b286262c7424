"""Loading with fewer bits (`quantization_config` of bitsandbytes): the language model's layers, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from transformers import BitsAndBytesConfig

WHOLE_PARTS = (
    *("lab_encoder", "summary_encoder", "knowledge_attention", "disease_head"),
    *("lora_A", "lora_B", "lm_head", "wo"),
)
"""Parts that keep their precision: all beside the language model, its adapters and head, and T5's `wo`, of which that
model's own code asks the precision."""


def with_whole_parts(quantization: Any) -> Any:
    """A quantization config that leaves these parts as they are, unless it names parts; any other is unchanged."""
    if not isinstance(quantization, BitsAndBytesConfig) or quantization.llm_int8_skip_modules is not None:
        return quantization
    chosen = copy.copy(quantization)
    chosen.llm_int8_skip_modules = list(WHOLE_PARTS)
    return chosen


__all__ = ["WHOLE_PARTS", "with_whole_parts"]
