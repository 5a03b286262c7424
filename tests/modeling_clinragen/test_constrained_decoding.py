"""Constrained decoding: whatever a model would write, the list of diseases is well formed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_inputs import NOTES, three_stays

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.generation_clinragen import DiseaseListConstraint, ListGrammar
from modeling_clinragen.processing_clinragen import LAYOUTS, RATIONALE_MARK, ClinRaGenProcessor

NAMES = ["Shock", "Shock, septic".replace(",", ""), "Gout", "Pneumonia (except that caused by X.Y)"]


def accepts(grammar: ListGrammar, text: str) -> bool:
    state = grammar.start
    for character in text:
        state = grammar.step(state, character)
    return grammar.complete(state)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(names=st.lists(st.sampled_from(NAMES), unique=True), rationale=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_target_is_accepted(layout: str, names: list[str], rationale: str) -> None:
    # The marker of the list inside a rationale begins the list.
    rationale = rationale.replace("#", "")
    target = ClinRaGenProcessor.target(_Layout(layout), names, rationale)  # type: ignore[arg-type]
    assert accepts(ListGrammar(NAMES, layout), target)
    assert accepts(ListGrammar(NAMES, layout), f" {target}")


class _Layout:
    def __init__(self, layout: str) -> None:
        self.layout = layout


@pytest.mark.parametrize(
    "text",
    [
        "### Disease Diagnosed: Shock,Shock. ### Rationale: x",
        "### Disease Diagnosed: Flu. ### Rationale: x",
        "### Disease Diagnosed: Shoc. ### Rationale: x",
        "### Disease Diagnosed: Shock, Gout. ### Rationale: x",
        "### Disease Diagnosed: . ### Rationale: x",
        "### Disease Diagnosed: No disease is diagnosed,Gout. ### Rationale: x",
        "### Disease Diagnosed: Gout. Rationale: x",
        "Gout",
        "",
    ],
)
def test_malformed_texts_are_not_accepted(text: str) -> None:
    assert not accepts(ListGrammar(NAMES, "diagnosis-first"), text)


def test_a_name_that_begins_another_stays_possible() -> None:
    grammar = ListGrammar(NAMES, "diagnosis-first")
    assert accepts(grammar, "### Disease Diagnosed: Shock,Shock septic. ### Rationale: x")
    assert accepts(grammar, "### Disease Diagnosed: Shock septic,Shock. ### Rationale: x")


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
@pytest.mark.parametrize("way", [{}, {"num_beams": 3}, {"do_sample": True, "temperature": 3.0}])
def test_a_random_model_writes_well_formed_lists(
    kind: str, way: dict[str, Any], make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    torch.manual_seed(1)
    inputs = processor(NOTES, three_stays(make_series))
    constraint = DiseaseListConstraint(processor, model.config)
    plain = model.generate(**inputs, max_new_tokens=40, **way)
    texts = processor.tokenizer.batch_decode(plain, skip_special_tokens=True)
    assert all(processor.parse(text).problem for text in texts)
    bound = model.generate(**inputs, max_new_tokens=240, logits_processor=[constraint], **way)
    for text in processor.tokenizer.batch_decode(bound, skip_special_tokens=True):
        # The rationale is free; the text before it is not.
        listed, mark, _ = text.partition(RATIONALE_MARK)
        parsed = processor.parse(listed + mark)
        assert parsed.problem is None, text
        assert set(parsed.diagnoses) <= set(model.config.diseases)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_the_constraint_changes_nothing_for_a_model_that_obeys_anyway(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    processor = make_processor()
    constraint = DiseaseListConstraint(processor, make_model(kind).config)
    target = processor.target(["Shock", "Septicemia (except in labor)"], "heart rate is high")
    ids = processor.tokenizer(target, add_special_tokens=False)["input_ids"] + [processor.tokenizer.eos_token_id]
    start = [0] if kind == "t5" else []
    for at, token in enumerate(ids):
        given_so_far = torch.tensor([start + ids[:at]], dtype=torch.long)
        scores = torch.zeros(1, len(processor.tokenizer))
        assert constraint(given_so_far, scores)[0, token] == 0, (at, token)


def test_rationale_first_ends_with_the_list(make_model: Any, make_processor: Any) -> None:
    processor = make_processor(layout="rationale-first")
    constraint = DiseaseListConstraint(processor, make_model("t5").config)
    # The tokenizer has no token for the sign of degrees, which takes two.
    text = processor.target(["Shock"], "heart rate is high at 39 °C")
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    end = processor.tokenizer.eos_token_id

    def allowed(tokens: list[int]) -> set[int]:
        scores = constraint(torch.tensor([[0, *tokens]]), torch.zeros(1, len(processor.tokenizer)))
        return set(torch.nonzero(scores[0] == 0).flatten().tolist())

    for at, token in enumerate(ids):
        assert token in allowed(ids[:at])
        assert end not in allowed(ids[:at])
    assert allowed(ids) == {end}


def test_without_diseases_or_with_a_comma_it_says_so() -> None:
    with pytest.raises(SettingsError, match=r"config\.diseases is empty"):
        ListGrammar([], "diagnosis-first")
    with pytest.raises(SettingsError, match="contains a comma"):
        ListGrammar(["Gout, acute"], "diagnosis-first")
