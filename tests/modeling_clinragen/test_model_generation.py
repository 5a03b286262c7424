"""Generation: any batch and padding, missing modalities, transformers' own options, and what is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import NOTES, TARGETS, three_stays
from transformers import GenerationConfig

KINDS = ["t5", "qwen3"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 3])
def test_generation_does_not_depend_on_the_batch_or_the_padding_side(
    kind: str, beams: int, make_model: Any, make_processor: Any, make_series: Any, tiny_tokenizer: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    series = [make_series(9, 1), make_series(3, 2), make_series(17, 3)]
    settings = {"max_new_tokens": 12, "num_beams": beams, "do_sample": False}

    def texts(rows: list[int]) -> list[str]:
        inputs = processor([NOTES[row] for row in rows], [series[row] for row in rows])
        return tiny_tokenizer.batch_decode(model.generate(**inputs, **settings), skip_special_tokens=True)

    alone = [texts([row])[0] for row in range(3)]
    assert texts([0, 1, 2]) == alone
    tiny_tokenizer.padding_side = "left"
    try:
        assert texts([0, 1, 2]) == alone
    finally:
        tiny_tokenizer.padding_side = "right"


@pytest.mark.parametrize("kind", KINDS)
def test_generation_takes_transformers_names_and_a_trainers_batch(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind)
    batch = make_processor()(NOTES, three_stays(make_series), TARGETS)
    labels, note = batch.pop("labels"), batch["input_ids"]
    # The start token of an encoder-decoder counts as generated.
    start = 1 if kind == "t5" else 0
    expected = model.generate(**batch, max_new_tokens=7, min_new_tokens=7).tolist()
    lengths = {"max_length": start + 7, "min_length": start + 7}
    asked = GenerationConfig(**lengths)
    with_targets = {**batch, "labels": labels, "target_weights": torch.ones(labels.shape)}
    assert model.generate(**with_targets, **lengths).tolist() == expected
    assert model.generate(**batch, generation_config=asked).tolist() == expected
    assert asked.max_length == start + 7
    del batch["input_ids"]
    assert model.generate(inputs=note, **batch, max_new_tokens=7, min_new_tokens=7).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_stay_lacks_it_can_be_read(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind)
    processor = make_processor(instruction="", lab_marker="")
    no_weight, nothing_measured, no_steps = (make_series(steps, steps) for steps in (9, 5, 0))
    no_weight["values"][:, 9] = np.nan
    nothing_measured["values"][:] = np.nan
    notes = ["Fever.", "", "", "", None]
    stays = [no_weight, no_weight, nothing_measured, no_steps, None]
    ways = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    inputs = processor(notes, stays, ["a b c"] * 5)
    assert torch.isfinite(model(**inputs).loss)
    together = model.generate(**processor(notes, stays), **ways).tolist()
    for note, stay, expected in zip(notes, stays, together, strict=True):
        assert model.generate(**processor([note], [stay]), **ways).tolist() == [expected]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 3])
def test_note_labs_and_knowledge_are_read_once_for_all_generated_tokens(
    kind: str, beams: int, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind)
    attention = model.knowledge_attention
    once = [model.lab_encoder, attention.prototype_map, attention.k_proj, attention.v_proj, attention.q_proj]
    if kind == "t5":
        once.append(model.get_encoder())
    calls = dict.fromkeys([*once, model.get_output_embeddings()], 0)
    for module in calls:
        module.register_forward_hook(lambda module, *_: calls.update({module: calls[module] + 1}))
    inputs = make_processor()(NOTES, three_stays(make_series))
    model.generate(**inputs, max_new_tokens=9, min_new_tokens=9, do_sample=False, num_beams=beams)
    assert [calls[module] for module in once] == [1] * len(once)
    assert calls[model.get_output_embeddings()] == 9
