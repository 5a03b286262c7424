"""Beam search reorders only the generated part of the cache, not the encoded input; the text is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import EncoderDecoderCache

NOTES = ["Dyspnea and fever.", "No chest pain. History of hypertension and diabetes, now with cough."]


@pytest.mark.parametrize("kind", ["t5", "mt5", "bart", "t5gemma"])
@pytest.mark.parametrize("settings", [{}, {"cache_implementation": "static"}], ids=["dynamic", "static"])
def test_beams_that_leave_what_they_read_in_place_write_the_same(
    kind: str, settings: dict[str, Any], make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind)
    inputs = make_processor()(NOTES, [make_series(9, 1), make_series(17, 3)])
    changed_places: list[bool] = []

    def move_everything(cache: EncoderDecoderCache, beams: torch.Tensor) -> EncoderDecoderCache:
        changed_places.append(beams.tolist() != list(range(len(beams))))
        cache.reorder_cache(beams)
        return cache

    def texts() -> torch.Tensor:
        return model.generate(**inputs, max_new_tokens=14, num_beams=4, num_return_sequences=3, **settings)

    found = texts()
    model.language_model._reorder_cache = move_everything
    assert torch.equal(found, texts())
    assert any(changed_places)
