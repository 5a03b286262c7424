"""What the disease head's answer rests on: gradients against finite differences, attention against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from intervened_patients import make_group

from clinragen.interventions.attributions import gradient_times_input, head_attention, reason_against, weigh
from clinragen.interventions.patient import SENTENCE, VARIABLE
from modeling_clinragen.modeling_clinragen import ClinRaGenModel
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture(scope="module", params=["t5", "qwen2", "tokens"])
def model(request: Any, make_model: Any) -> Any:
    kind = {"tokens": "t5"}.get(request.param, request.param)
    fusion = "tokens" if request.param == "tokens" else "gated"
    made = make_model(kind, disease_head=True, lab_summary=True, knowledge_fusion=fusion)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in (made.disease_head.weight, made.disease_head.queries):
            parameter.normal_(generator=generator)
        # Where a norm comes first, scaling a long vector changes nothing: as short as those of words.
        made.summary_encoder.variable.mul_(0.02)
    return made.double()


@pytest.fixture(scope="module")
def inputs(make_processor: Any, vocabulary: Vocabulary) -> Any:
    given = [case.shown.given for case in make_group(vocabulary, 3).cases]
    given[1] = (given[1][0], None)
    inputs = dict(make_processor()([note or "" for note, _ in given], [series for _, series in given], warn=False))
    return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}


@pytest.fixture(scope="module")
def wanted(vocabulary: Vocabulary) -> torch.Tensor:
    return torch.rand(3, len(vocabulary.diseases), generator=torch.Generator().manual_seed(1)) > 0.5


def test_gradient_times_input_is_a_finite_difference(
    model: Any, inputs: Any, wanted: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gradient_times_input(model, inputs, wanted)
    # The head answers in single precision, so that a smaller step would measure its rounding.
    step, row = 2e-2, 0
    tokens = inputs["input_ids"].shape[1]
    vectors = model.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])[0].detach()
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach()

    def logit(place: int, factor: float) -> float:
        """The answer of the model's ordinary way, with one embedding scaled."""
        given, labs = embeds.clone(), vectors.clone()
        (given if place < tokens else labs)[row, place - tokens if place >= tokens else place] *= factor
        masks = model.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])[1]
        with monkeypatch.context() as patched:
            patched.setattr(type(model), "get_lab_vectors", lambda *args, **settings: (labs, masks, None))
            others = {name: inputs[name] for name in ("attention_mask", "lab_features", "lab_mask")}
            with torch.no_grad():
                encoded = ClinRaGenModel.forward(model, inputs_embeds=given, **others)
                logits = model.disease_head(encoded.last_hidden_state, encoded.attention_mask)
        return float((logits.double() * wanted)[row].sum())

    text = np.flatnonzero(inputs["attention_mask"][row].numpy())
    variables = len(model.config.variables)
    for place in [
        *text[:: max(1, len(text) // 4)].tolist(),
        *range(tokens + vectors.shape[1] - variables, tokens + vectors.shape[1], 4),
    ]:
        expected = (logit(place, 1 + step) - logit(place, 1 - step)) / (2 * step)
        own = (
            found.tokens[row, place]
            if place < tokens
            else found.variables[row, place - tokens - vectors.shape[1] + variables]
        )
        assert own == pytest.approx(expected, rel=2e-2, abs=4e-4)
    padding = ~inputs["attention_mask"].bool().numpy()
    assert (found.tokens[padding] == 0).all()
    assert (found.variables[1] == 0).all(), "nothing was measured of the second one"
    assert min(np.abs(found.variables[0]).max(), np.abs(found.tokens[0]).max()) > 5e-3
    assert all(parameter.grad is None for parameter in model.parameters())


def test_attention_is_that_of_the_head_in_the_places_of_the_input(
    model: Any, inputs: Any, wanted: torch.Tensor
) -> None:
    found = head_attention(model, inputs, wanted)
    encoded = ClinRaGenModel.forward(model, **inputs)
    _, weights = model.disease_head.read(encoded.last_hidden_state, encoded.attention_mask)
    summed = (weights.mean(1) * wanted[:, :, None]).sum(1).detach().numpy()
    behind = len(model.knowledge_token_ids) if model.config.knowledge_fusion == "tokens" else 0
    for row in range(3):
        tokens = int(inputs["attention_mask"][row].sum())
        known = inputs["attention_mask"][row].bool().numpy()
        assert found.tokens[row, known] == pytest.approx(summed[row, :tokens])
        steps = int(inputs["lab_mask"][row].sum())
        if not steps:
            assert (found.variables[row] == 0).all()
            continue
        start = tokens + -(-steps // 4)
        assert found.variables[row] == pytest.approx(summed[row, start : start + len(model.config.variables)])
        assert int(encoded.attention_mask[row].sum()) == start + len(model.config.variables) + behind
    total = found.tokens.sum(1) + found.variables.sum(1)
    assert (total <= wanted.sum(1).numpy() + 1e-6).all()


def test_every_piece_of_evidence_is_weighed(make_model: Any, make_processor: Any, vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary, 3)
    model = make_model("t5", disease_head=True, lab_summary=True)
    with torch.no_grad():
        model.disease_head.queries.normal_(generator=torch.Generator().manual_seed(1))
    processor = make_processor()
    listed = np.ones((3, len(vocabulary.diseases)), dtype=bool)
    for attention in (True, False):
        together, single = (
            weigh(model, processor, group.cases, listed, attention=attention, batch_size=size) for size in (3, 1)
        )
        for case, weights, alone in zip(group.cases, together, single, strict=True):
            assert set(weights) == set(case.units)
            assert [weights[unit] for unit in case.units] == pytest.approx(
                [alone[unit] for unit in case.units], abs=1e-4
            )
    # What the head gives to a sentence is what it gives to its tokens.
    case, weights = (
        group.cases[0],
        weigh(model, processor, group.cases[:1], listed[:1], attention=True, batch_size=1)[0],
    )
    given = case.shown.given
    inputs = dict(processor([given[0]], [given[1]], warn=False))
    found = head_attention(model, inputs, torch.tensor(listed[:1])).tokens[0]
    start, tokens = processor.note_start(), processor.reading(*given).ids
    inside = found[start : start + len(tokens)].sum()
    assert sum(weights[unit] for unit in case.units if unit.kind == SENTENCE) == pytest.approx(inside, rel=0.2)
    assert {unit.number for unit in weights if unit.kind == VARIABLE} == set(range(len(vocabulary.variables)))


def test_reasons_why_it_cannot_be_weighed(make_model: Any, make_processor: Any) -> None:
    processor = make_processor()
    headless, patches = make_model("t5"), make_model("t5", disease_head=True)
    assert "no disease head" in str(reason_against(headless, processor))
    assert "no summary tokens" in str(reason_against(patches, processor))
    assert reason_against(make_model("t5", disease_head=True, lab_summary=True), processor) is None
