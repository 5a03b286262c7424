"""Every kind of language model that the configuration can name, as a tiny random one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT_CONFIGS
from model_inputs import NOTES, TARGETS, randomise, three_stays

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

KINDS = sorted(TEXT_CONFIGS)


@pytest.fixture
def series(make_series: Any) -> list[Any]:
    return three_stays(make_series)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_examples_and_padding_changes_nothing(
    kind: str, make_model: Any, make_processor: Any, series: list[Any], tiny_tokenizer: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    tokens = [(processor(note, [one], target)["labels"] != -100).sum() for note, one, target in _rows(series)]
    losses = [model(**processor(note, [one], target)).loss for note, one, target in _rows(series)]
    mean = sum(loss * count for loss, count in zip(losses, tokens, strict=True)) / sum(tokens)
    torch.testing.assert_close(model(**processor(NOTES, series, TARGETS)).loss, mean, rtol=1e-4, atol=1e-4)
    tiny_tokenizer.padding_side = "left"
    try:
        torch.testing.assert_close(model(**processor(NOTES, series, TARGETS)).loss, mean, rtol=1e-4, atol=1e-4)
    finally:
        tiny_tokenizer.padding_side = "right"


@pytest.mark.parametrize("kind", KINDS)
def test_generation_begins_where_scoring_does_and_both_read_note_and_labs(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind, knowledge_fusion="gated"), make_processor()
    # A new model hardly attends to its input.
    for name, value in model.language_model.named_parameters():
        if name.endswith(("weight", "bias")) and value.ndim == 2 and value.shape[0] < 100:
            torch.nn.init.normal_(value, std=0.3)
    read = []
    for note, seed in (("Dyspnea and fever.", 1), ("Dyspnea and fever.", 2), ("No chest pain, no fever.", 1)):
        inputs = processor([note, "Cough."], [make_series(9, seed), None], TARGETS[:2])
        scored = model(**inputs).logits
        # Decoder-only: the last input position predicts the first token, three patches after the note.
        context = inputs["attention_mask"].sum(dim=1) + torch.tensor([3, 0])
        first = torch.zeros(2, dtype=torch.long) if model.config.is_encoder_decoder else context - 1
        options = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_logits": True}
        begun = model.generate(**inputs, **options).logits[0]
        torch.testing.assert_close(begun, scored[torch.arange(2), first], rtol=1e-4, atol=1e-4)
        read.append(begun[0])
    for other in read[1:]:
        assert (other - read[0]).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_generation_of_a_batch_equals_its_examples_with_any_cache_or_none(
    kind: str, make_model: Any, make_processor: Any, series: list[Any], tiny_tokenizer: Any
) -> None:
    model, processor = make_model(kind), make_processor()

    def texts(rows: list[int], **settings: Any) -> list[str]:
        inputs = processor([NOTES[row] for row in rows], [series[row] for row in rows])
        made = model.generate(**inputs, max_new_tokens=10, do_sample=False, **settings)
        return tiny_tokenizer.batch_decode(made, skip_special_tokens=True)

    together = texts([0, 1, 2])
    assert together == [texts([row])[0] for row in range(3)]
    assert together == texts([0, 1, 2], use_cache=False)
    assert together == texts([0, 1, 2], cache_implementation="static")
    assert texts([0, 1, 2], num_beams=2) == [texts([row], num_beams=2)[0] for row in range(3)]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_is_the_same(
    kind: str, make_model: Any, make_processor: Any, series: list[Any], tmp_path: Path
) -> None:
    model, processor = make_model(kind), make_processor()
    inputs = processor(NOTES, series, TARGETS)
    randomise(model, "lora_B")
    expected = model(**inputs).logits
    model.save_pretrained(tmp_path)
    loaded = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path).eval()
    # Where in memory a weight lies may change the last bits of what is computed with it.
    torch.testing.assert_close(loaded(**inputs).logits, expected, rtol=1e-5, atol=5e-5)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_last_phase_every_parameter_that_learns_has_a_gradient(
    kind: str, make_model: Any, make_processor: Any, series: list[Any]
) -> None:
    model, processor = make_model(kind), make_processor()
    model.set_trainable(backbone=False, adapter=True, lab_encoder=False, knowledge_attention=True)
    randomise(model, "lora_B")
    model.train()
    model(**processor(NOTES, series, TARGETS)).loss.backward()
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    assert not [name for name, value in learning.items() if value.grad is None or not value.grad.abs().sum()]
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad and value.grad is not None]
    assert not frozen


@pytest.mark.parametrize("kind", KINDS)
def test_merged_adapters_give_the_same_model_without_them(
    kind: str, make_model: Any, make_processor: Any, series: list[Any], tmp_path: Path
) -> None:
    model, processor = make_model(kind), make_processor()
    randomise(model, "lora_")
    inputs = processor(NOTES, series, TARGETS)
    expected = model(**inputs).logits
    model.merge_adapters()
    assert model.config.lora is None
    assert not [name for name, _ in model.named_parameters() if "lora_" in name]
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-4, atol=1e-5)
    model.save_pretrained(tmp_path)
    loaded = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**inputs).logits, expected, rtol=1e-4, atol=1e-5)


def _rows(series: list[Any]) -> list[tuple[str, Any, str]]:
    return list(zip(NOTES, series, TARGETS, strict=True))
