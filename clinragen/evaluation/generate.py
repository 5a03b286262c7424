"""Generates texts for held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset

from dataset_builder.contract.arrays import series_column


@torch.inference_mode()
def generate_texts(
    model: Any,
    processor: Any,
    examples: Dataset,
    *,
    note: bool = True,
    labs: bool = True,
    batch_size: int = 32,
    num_beams: int = 1,
    max_new_tokens: int | None = None,
    logits_processor: Sequence[Any] = (),
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Generate one text per example, deterministically.

    Args:
        model, processor: A ClinRaGen model and its processor, however they were loaded.
        examples: Rows of the data contract.
        note, labs: Which modalities the model is shown.
        batch_size, num_beams, max_new_tokens: Generation settings; the model's own limit by default.
        logits_processor: What decides which next tokens are possible, as in transformers' `generate`.
        on_progress: Called with the number of examples finished since the last call.
    """
    model.eval()
    notes = list(examples["note"])
    series = series_column(examples)
    # Similar lengths together: less padding, and short answers need not wait for long ones.
    order = sorted(range(len(notes)), key=lambda row: (len(notes[row]), len(series[row]["hours"])))
    ways: dict[str, Any] = {"do_sample": False, "num_beams": num_beams, "logits_processor": list(logits_processor)}
    if max_new_tokens is not None:
        ways["max_new_tokens"] = max_new_tokens
    texts = [""] * len(notes)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs = processor(
            note=[notes[row] if note else "" for row in rows], series=[series[row] for row in rows] if labs else None
        ).to(model.device)
        generated = model.generate(**inputs, **ways)
        decoded = processor.tokenizer.batch_decode(generated, skip_special_tokens=True)
        for row, text in zip(rows, decoded, strict=True):
            texts[row] = text.strip()
        if on_progress is not None:
            on_progress(len(rows))
    return texts
