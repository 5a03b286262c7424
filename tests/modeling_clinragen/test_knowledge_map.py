"""Attention over the knowledge mapped back to hours and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_inputs import in_layout, randomise

from modeling_clinragen import KnowledgeMap, map_knowledge
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.knowledge_map_clinragen import term_token_ids

TERMS = ["dyspnea", "heart rate", "hypertension"]


@pytest.fixture(params=["patches", "paper"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def explained(layout: str, make_model: Any, make_processor: Any, tiny_tokenizer: Any) -> tuple[Any, Any]:
    """A model whose V_k is the tokens of `TERMS`, and its processor."""
    ids = list(dict.fromkeys(token for term in TERMS for token in term_token_ids(term, tiny_tokenizer)))
    model, processor = in_layout(
        layout, make_model, make_processor, num_knowledge_tokens=len(ids), knowledge_fusion="gated"
    )
    model.set_knowledge_tokens(ids)
    # Prototypes far apart, so that patches attend to different ones.
    return randomise(model, "knowledge_attention.prototype_map", "lab_encoder"), processor


def test_weights_are_the_attention_spread_over_the_prototypes_tokens(
    explained: tuple[Any, Any], make_series: Any
) -> None:
    model, processor = explained
    series = make_series(9, 1)
    found = map_knowledge(model, processor, series)
    inputs = processor("Fever.", series, "x")
    attention = model(**inputs, return_knowledge_weights=True).knowledge_weights[0].detach().numpy()
    mixture = model.knowledge_attention.prototype_map.weight.detach().numpy()
    heads, patches, prototypes = attention.shape
    for patch in range(patches):
        shares = [np.mean([attention[head, patch, at] for head in range(heads)]) for at in range(prototypes)]
        np.testing.assert_allclose(found.prototype_weights[patch], shares, rtol=1e-4, atol=1e-6)
        for token in range(mixture.shape[1]):
            expected = sum(share * mixture[at, token] for at, share in enumerate(shares))
            assert found.weights[patch, token] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(found.prototype_weights.sum(axis=1), 1, rtol=1e-6)
    assert found.weights.shape == (patches, len(found.words)) == (len(found.hours), mixture.shape[1])
    # The attention output of the patch is the same mixture of embeddings.
    knowledge = model.get_input_embeddings()(model.knowledge_token_ids)
    prototypes_seen = found.prototype_weights @ model.knowledge_attention.prototypes(knowledge).detach().numpy()
    np.testing.assert_allclose(found.weights @ knowledge.detach().numpy(), prototypes_seen, rtol=1e-3, atol=1e-5)


def test_words_are_the_vocabularys_tokens_or_the_terms_asked_for(
    explained: tuple[Any, Any], make_series: Any, tiny_tokenizer: Any
) -> None:
    model, processor = explained
    plain = map_knowledge(model, processor, make_series(9, 1))
    ids = model.knowledge_token_ids.tolist()
    assert plain.words == tuple(tiny_tokenizer.decode([token]).strip() for token in ids)
    by_term = map_knowledge(model, processor, make_series(9, 1), TERMS[::-1])
    assert by_term.words == tuple(TERMS[::-1])
    for at, term in enumerate(by_term.words):
        columns = [ids.index(token) for token in term_token_ids(term, tiny_tokenizer)]
        np.testing.assert_allclose(by_term.weights[:, at], plain.weights[:, columns].mean(axis=1), rtol=1e-5)
    with pytest.raises(ModelInputError, match="'gout' has tokens outside"):
        map_knowledge(model, processor, make_series(9, 1), ["dyspnea", "gout"])


def test_hours_are_those_of_the_first_and_last_step_of_each_patch(
    layout: str, explained: tuple[Any, Any], make_series: Any
) -> None:
    def hours_of(steps: int) -> tuple[np.ndarray, KnowledgeMap]:
        series = make_series(steps, steps)
        return series["hours"], map_knowledge(*explained, series)

    # Patches of four steps, the last one filled by one step alone.
    hours, found = hours_of(9)
    expected = [[hours[0], hours[3]], [hours[4], hours[7]], [hours[8], hours[8]]]
    np.testing.assert_array_equal(found.hours[:3], expected)
    if layout == "patches":
        assert len(found.hours) == 3
        assert hours_of(0)[1].hours.shape == (0, 2)
    else:
        # The last step is repeated to the end; without any step the hours are unknown; 64 steps are read.
        assert len(found.hours) == 16
        assert (found.hours[3:] == hours[8]).all()
        assert np.isnan(hours_of(0)[1].hours).all()
        hours, found = hours_of(70)
        assert found.hours[-1].tolist() == [hours[60], hours[63]]


@pytest.mark.parametrize("fusion", ["tokens", "none"])
def test_a_model_without_knowledge_attention_says_so(
    fusion: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model("t5", knowledge_fusion=fusion)
    with pytest.raises(SettingsError, match=f"knowledge_fusion is '{fusion}'"):
        map_knowledge(model, make_processor(), make_series(9, 1))
