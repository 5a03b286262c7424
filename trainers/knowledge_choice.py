"""Which terms of the knowledge base a model is built with: all of them, some, or others in their place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.knowledge_map_clinragen import term_token_ids
from trainers.model_config import ModelConfig


@dataclass(frozen=True)
class ChosenKnowledge:
    """The knowledge of a new model.

    Args:
        tokens: Unique token ids of the terms, in order of appearance: the paper's V_k.
        disease_terms: Terms by key of the disease, which the queries of a disease head start from beside the names.
    """

    tokens: list[int]
    disease_terms: Mapping[str, Sequence[str]]


def choose_knowledge(
    settings: ModelConfig,
    terms: Sequence[str],
    disease_terms: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
) -> ChosenKnowledge:
    """The knowledge that `knowledge_share` and `knowledge_terms` leave of a knowledge base.

    Args:
        settings: Of the model.
        terms: The knowledge base's terms.
        disease_terms: Those of each disease.
        tokenizer: The language model's.
        seed: Seed of every choice. With one seed the terms of a smaller share are among those of a greater one.

    Raises:
        SettingsError: Terms are to be swapped between diseases and there is nothing that tells diseases apart, or the
            tokenizer has too few other tokens to draw random ones.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(terms))[: math.ceil(settings.knowledge_share * len(terms))]
    kept = [terms[index] for index in sorted(order)]
    dropped = set(terms) - set(kept)
    by_disease: Mapping[str, Sequence[str]] = {
        key: [term for term in own if term not in dropped] for key, own in disease_terms.items()
    }
    tokens = knowledge_token_ids(kept, tokenizer)
    if settings.knowledge_terms == "swapped":
        by_disease = _swapped(by_disease, settings, rng)
    elif settings.knowledge_terms == "random":
        by_disease = {}
        tokens = _random_tokens(tokens, knowledge_token_ids(terms, tokenizer), tokenizer, rng)
    return ChosenKnowledge([] if settings.knowledge_fusion == "none" else tokens, by_disease)


def knowledge_token_ids(terms: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Unique token ids of the knowledge terms, in order of appearance: the paper's V_k."""
    ids: dict[int, None] = {}
    for term in terms:
        ids.update(dict.fromkeys(term_token_ids(term, tokenizer)))
    return list(ids)


def _swapped(
    by_disease: Mapping[str, Sequence[str]], settings: ModelConfig, rng: np.random.Generator
) -> dict[str, Sequence[str]]:
    if not settings.disease_head or len(by_disease) < 2:
        raise SettingsError(
            "knowledge_terms: swapped changes which disease a term belongs to, and only a disease head with the terms "
            "of two diseases or more knows that: the paper's knowledge vocabulary is that of all diseases together; "
            "set disease_head: true, or knowledge_terms: random"
        )
    # Each gets those of the next one in a random circle, so that none keeps its own.
    circle = [list(by_disease)[index] for index in rng.permutation(len(by_disease))]
    return {key: by_disease[after] for key, after in zip(circle, circle[1:] + circle[:1], strict=True)}


def _random_tokens(
    own: Sequence[int], all_own: Sequence[int], tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> list[int]:
    """As many tokens as `own`, of those that are in no term."""
    others = sorted(set(range(len(tokenizer))) - set(all_own) - set(tokenizer.all_special_ids))
    if len(others) < len(own):
        raise SettingsError(
            f"knowledge_terms: random needs {len(own)} tokens that are in no term, and the tokenizer has "
            f"{len(others)}; lower knowledge_share, or raise vocab_size"
        )
    return [int(token) for token in rng.choice(others, size=len(own), replace=False)]
