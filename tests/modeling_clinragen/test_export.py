"""`torch.export` of a model: programs that give what the model gives, for other shapes than those of the example."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, in_layout, three_stays
from torch.export import Dim, export

from modeling_clinragen import ClinRaGenModel, ExportableDecoder, ExportableEncoder

KINDS = ["t5", "bart", "qwen3"]
SOURCE = ("input_ids", "attention_mask", "lab_features", "lab_mask")
ANY = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}


@pytest.fixture
def batches(make_processor: Any, make_series: Any) -> list[dict[str, torch.Tensor]]:
    """Two batches of different sizes and lengths."""
    processor = make_processor()
    stays = three_stays(make_series)
    one = processor(NOTES, stays, TARGETS)
    other = processor([NOTES[2], NOTES[0]], [make_series(14, 5), make_series(6, 6)], [TARGETS[2], TARGETS[1]])
    return [dict(one), dict(other)]


def source(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What an encoder reads."""
    return {name: batch[name] for name in SOURCE}


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_is_one_program_for_all_shapes(
    kind: str, make_model: Any, batches: list[dict[str, torch.Tensor]]
) -> None:
    model = make_model(kind)
    encoder = ExportableEncoder(model)
    program = export(encoder, (), source(batches[0]), dynamic_shapes=dict.fromkeys(SOURCE, ANY)).module()
    for batch in batches:
        expected, valid = model.encode(**source(batch))
        states, mask = program(**source(batch))
        # The program keeps all padding.
        assert torch.equal(mask.sum(dim=1), valid.sum(dim=1))
        torch.testing.assert_close(states[mask], expected[valid], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_is_one_program_and_writes_what_the_model_generates(
    kind: str, make_model: Any, batches: list[dict[str, torch.Tensor]]
) -> None:
    model = make_model(kind)
    with torch.no_grad():
        states, mask = model.encode(**source(batches[0]))
        example = {"states": states, "mask": mask, "target_ids": batches[0]["labels"].clamp(min=0)}
        decoder = ExportableDecoder(model)
        program = export(decoder, (), example, dynamic_shapes=dict.fromkeys(example, ANY)).module()
        for batch in batches:
            encoded = dict(zip(("states", "mask"), model.encode(**source(batch)), strict=True))
            made = model.generate(**source(batch), max_new_tokens=6, do_sample=False)
            made = made[:, 1:] if model.config.is_encoder_decoder else made
            written = made[:, :0]
            for step in range(made.shape[1]):
                # Filled up with anything: tokens do not depend on later ones.
                filled = torch.cat((written, written.new_full((len(written), 9 - step), 7)), dim=1)
                logits = program(**encoded, target_ids=filled)
                torch.testing.assert_close(logits, decoder(**encoded, target_ids=filled), rtol=1e-4, atol=1e-5)
                written = torch.cat((written, logits[:, step].argmax(dim=-1, keepdim=True)), dim=1)
            ended = (made == 1).cumsum(dim=1) > (made == 1).long()
            assert torch.equal(written[~ended], made[~ended])


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_model_and_its_body_are_programs_too(
    kind: str, make_model: Any, batches: list[dict[str, torch.Tensor]]
) -> None:
    model, batch = make_model(kind), batches[0]
    with torch.no_grad():
        loss = export(model, (), batch).module()(**batch).loss
        torch.testing.assert_close(loss, model(**batch).loss, rtol=1e-4, atol=1e-5)
        body = ClinRaGenModel(model.config).eval()
        found = export(body, (), source(batch)).module()(**source(batch))
        expected = body(**source(batch))
    torch.testing.assert_close(
        found.last_hidden_state[found.attention_mask],
        expected.last_hidden_state[expected.attention_mask],
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_authors_layout_is_exported_as_well(make_model: Any, make_processor: Any, make_series: Any) -> None:
    model, processor = in_layout("paper", make_model, make_processor)
    inputs = dict(processor(NOTES[:2], [make_series(9, 1), make_series(3, 2)]))
    states, mask = export(ExportableEncoder(model), (), inputs).module()(**inputs)
    expected, valid = model.encode(**inputs)
    torch.testing.assert_close(states[mask], expected[valid], rtol=1e-4, atol=1e-5)
