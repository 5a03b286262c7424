"""How much of the knowledge base a model is built with, and what takes its place in an ablation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tiny_examples import tiny_splits

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model
from trainers.knowledge_choice import ChosenKnowledge, choose_knowledge, knowledge_token_ids
from trainers.model_config import ModelConfig

TERMS = ["fever", "troponin leak", "hypotension", "insulin", "rigors", "oliguria", "haematemesis", "orthopnoea"]
OF_DISEASES = {"sepsis": ["fever", "rigors"], "infarction": ["troponin leak"], "shock": ["hypotension", "oliguria"]}


def settings(**changes: Any) -> ModelConfig:
    return ModelConfig(backbone="any", disease_head=True, **changes)


def chosen(tokenizer: Any, seed: int = 0, **changes: Any) -> ChosenKnowledge:
    return choose_knowledge(settings(**changes), TERMS, OF_DISEASES, tokenizer, seed)


def test_by_default_everything_is_taken_in_its_order(tiny_tokenizer: Any) -> None:
    found = chosen(tiny_tokenizer)
    assert found.tokens == knowledge_token_ids(TERMS, tiny_tokenizer)
    assert found.disease_terms == OF_DISEASES
    assert chosen(tiny_tokenizer, knowledge_fusion="none").tokens == []


def test_a_smaller_share_is_part_of_a_greater_one_and_of_its_seed(tiny_tokenizer: Any) -> None:
    def terms(share: float, seed: int = 0) -> set[str]:
        found = chosen(tiny_tokenizer, seed, knowledge_share=share)
        of_diseases = {term for own in found.disease_terms.values() for term in own}
        inside = {term for term in TERMS if set(knowledge_token_ids([term], tiny_tokenizer)) <= set(found.tokens)}
        assert of_diseases <= inside
        return inside

    shares = [terms(share) for share in (0.25, 0.5, 0.75, 1.0)]
    assert all(less < more for less, more in pairwise(shares))
    assert shares[-1] == set(TERMS)
    assert chosen(tiny_tokenizer, knowledge_share=0.5) == chosen(tiny_tokenizer, knowledge_share=0.5)
    assert len({frozenset(terms(0.5, seed)) for seed in range(6)}) > 1


def test_random_tokens_are_as_many_and_in_no_term(tiny_tokenizer: Any) -> None:
    found = chosen(tiny_tokenizer, knowledge_terms="random")
    own = knowledge_token_ids(TERMS, tiny_tokenizer)
    assert len(found.tokens) == len(set(found.tokens)) == len(own)
    assert not {*found.tokens} & {*own, *tiny_tokenizer.all_special_ids}
    assert found.disease_terms == {}
    every = [tiny_tokenizer.decode([token]) for token in range(len(tiny_tokenizer))]
    with pytest.raises(SettingsError, match=r"random needs \d+ tokens that are in no term, and the tokenizer has"):
        choose_knowledge(settings(knowledge_terms="random"), every, {}, tiny_tokenizer, 0)


@pytest.mark.parametrize("seed", range(4))
def test_swapped_gives_each_disease_the_terms_of_another(seed: int, tiny_tokenizer: Any) -> None:
    found = chosen(tiny_tokenizer, seed, knowledge_terms="swapped")
    assert found.tokens == knowledge_token_ids(TERMS, tiny_tokenizer)
    assert sorted(map(tuple, found.disease_terms.values())) == sorted(map(tuple, OF_DISEASES.values()))
    assert all(found.disease_terms[key] != own for key, own in OF_DISEASES.items())


def test_swapping_is_refused_where_it_would_change_nothing(tiny_tokenizer: Any) -> None:
    plain = ModelConfig(backbone="any", knowledge_terms="swapped")
    with pytest.raises(SettingsError, match="swapped changes which disease a term belongs to"):
        choose_knowledge(plain, TERMS, OF_DISEASES, tiny_tokenizer, 0)


def test_a_model_is_built_with_what_was_chosen(vocabulary: Vocabulary, tmp_path: Any) -> None:
    shape = '{"model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}'
    (tmp_path / "t5.json").write_text(shape)
    cohort = tiny_splits(vocabulary, 20)
    models = {}
    for share in (0.5, 1.0):
        made = ModelConfig(
            scratch=tmp_path / "t5.json", vocab_size=600, lora_r=2, max_source_tokens=64, knowledge_share=share
        )
        models[share], processor = build_model(made, cohort, TERMS, 0)
        expected = choose_knowledge(made, TERMS, {}, processor.tokenizer, 0).tokens
        assert models[share].knowledge_token_ids.tolist() == expected
        assert models[share].config.num_knowledge_tokens == len(expected)
    assert models[0.5].config.num_knowledge_tokens < models[1.0].config.num_knowledge_tokens
