"""The knowledge that a stay's labs attend to: attention weights mapped back to hours and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .errors import ModelInputError, SettingsError
from .processing_clinragen import ClinRaGenProcessor
from .series_input_clinragen import standard_series


@dataclass(frozen=True)
class KnowledgeMap:
    """The data of a heat map of patches by knowledge words.

    Args:
        hours: Hours since ICU admission of the first and the last step in each patch, `(patches, 2)`.
        words: The knowledge vocabulary's tokens as text, or the requested terms.
        weights: `(patches, words)`. The attention of a patch is a mixture of prototypes, and each prototype is a
            mixture of token embeddings, so that every token has one coefficient, which may be negative, in the
            attention output of the patch. The weight of a term is the mean over its tokens.
        prototype_weights: The attention itself, mean over the heads, `(patches, prototypes)`; rows sum to 1.
        variables: Keys of the variables with a summary token; none without `lab_summary`.
        variable_weights: The same as `weights` for these tokens, which are of the whole stay, `(variables, words)`.
    """

    hours: np.ndarray
    words: tuple[str, ...]
    weights: np.ndarray
    prototype_weights: np.ndarray
    variables: tuple[str, ...]
    variable_weights: np.ndarray


def term_token_ids(term: str, tokenizer: Any) -> list[int]:
    """Tokens of a knowledge term as inside a sentence, with a space before it."""
    return tokenizer(f" {term}", add_special_tokens=False)["input_ids"]


@torch.no_grad()
def map_knowledge(
    model: Any, processor: ClinRaGenProcessor, series: Any, terms: Sequence[str] | None = None
) -> KnowledgeMap:
    """The knowledge attention of one stay.

    It depends on the series alone, not on the note or the generated text, so one map holds for every text that the
    model generates for the stay.

    Args:
        model: A ClinRaGen model with knowledge attention.
        processor: Its processor, whose tokenizer turns V_k back into words.
        series: The series, as the processor takes it.
        terms: Terms of the knowledge base to group tokens by; without them every token has its own column.

    Raises:
        ModelInputError: A term has tokens that are not in the model's knowledge vocabulary.
        SettingsError: The model has no knowledge attention.
    """
    if model.knowledge_attention is None:
        raise SettingsError(
            f"this model has no knowledge attention: its knowledge_fusion is '{model.config.knowledge_fusion}'"
        )
    known = standard_series(series, processor.feature_extractor.variables, processor.vocabulary)
    features = processor.feature_extractor([known], return_tensors="pt").to(model.device)
    _, _, weights = model.get_lab_vectors(features["lab_features"], features["lab_mask"], return_weights=True)
    # (1, heads, vectors, prototypes) -> (vectors, prototypes) -> (vectors, tokens)
    attention = weights[0].float().mean(dim=0)
    tokens = (attention @ model.knowledge_attention.prototype_map.weight.float()).cpu().numpy()
    ids = model.knowledge_token_ids.tolist()
    if terms is None:
        words = tuple(processor.tokenizer.decode([token]).strip() for token in ids)
    else:
        words = tuple(terms)
        column = {token: index for index, token in enumerate(ids)}
        groups = [term_token_ids(term, processor.tokenizer) for term in words]
        unknown = next((word for word, group in zip(words, groups, strict=True) if not set(group) <= set(ids)), None)
        if unknown is not None:
            raise ModelInputError(
                f"the term '{unknown}' has tokens outside this model's knowledge vocabulary of {len(ids)}; use terms "
                "of its knowledge base"
            )
        tokens = np.stack([tokens[:, [column[token] for token in group]].mean(axis=1) for group in groups], axis=1)
    hours = processor.feature_extractor.patch_hours(known["hours"])
    return KnowledgeMap(
        hours=hours,
        words=words,
        weights=tokens[: len(hours)],
        prototype_weights=attention[: len(hours)].cpu().numpy(),
        variables=tuple(model.config.variables) if model.config.lab_summary else (),
        variable_weights=tokens[len(hours) :],
    )


__all__ = ["KnowledgeMap", "map_knowledge", "term_token_ids"]
