"""The sequence that the language model reads: note tokens, then lab vectors and knowledge, without gaps."""

from __future__ import annotations

from typing import Any

import torch

from .errors import ModelInputError
from .export_clinragen import checks_values


class WithInputEmbeddings:
    """Embedding of the inputs of a ClinRaGen model; needs its `get_lab_vectors`, embeddings and configuration."""

    config: Any
    knowledge_token_ids: torch.Tensor
    get_input_embeddings: Any
    get_lab_vectors: Any

    def _embed_inputs(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        lab_features: torch.Tensor | None,
        lab_mask: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None = None,
        *,
        return_weights: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        # Note tokens, then lab vectors: (batch, tokens + patches, width) and a boolean mask.
        embeds, masks, weights = [], [], None
        note = input_ids if inputs_embeds is None else inputs_embeds
        if note is not None:
            if input_ids is not None and inputs_embeds is not None:
                raise ModelInputError("input_ids and inputs_embeds are two forms of one note; give one of them")
            if attention_mask is None:
                attention_mask = torch.ones(note.shape[:2], dtype=torch.long, device=note.device)
            if note.ndim != (2 if inputs_embeds is None else 3) or attention_mask.shape != note.shape[:2]:
                raise ModelInputError(
                    f"attention_mask has the shape {tuple(attention_mask.shape)} and the note {tuple(note.shape)}; "
                    "attention_mask and input_ids are (batch, tokens), inputs_embeds (batch, tokens, width)"
                )
            embeds.append(self.get_input_embeddings()(note) if inputs_embeds is None else note)
            masks.append(attention_mask.bool())
        if lab_features is not None:
            if lab_mask is None:
                raise ModelInputError("lab_features are given without lab_mask (batch, steps); give both")
            vectors, patch_mask, weights = self.get_lab_vectors(lab_features, lab_mask, return_weights)
            embeds.append(vectors)
            masks.append(patch_mask)
            if self.config.knowledge_fusion == "tokens":
                knowledge = self.get_input_embeddings()(self.knowledge_token_ids)
                embeds.append(knowledge.expand(vectors.shape[0], -1, -1))
                masks.append(patch_mask.new_ones(vectors.shape[0], len(knowledge)))
        if not embeds:
            raise ModelInputError("give input_ids (a note), lab_features (a series), or both")
        if len(embeds) > 1 and embeds[0].shape[0] != embeds[1].shape[0]:
            raise ModelInputError(f"{len(embeds[0])} notes but {len(embeds[1])} series are in the batch")
        mask = torch.cat(masks, dim=1)
        if checks_values() and (empty := int((~mask.any(dim=1)).sum())):
            raise ModelInputError(f"{empty} of {len(mask)} examples are empty: they have neither a token nor a step")
        self._check_length(mask)
        return torch.cat([part.to(embeds[0].dtype) for part in embeds], dim=1), mask, weights

    def _place_evidence(
        self,
        evidence: torch.Tensor,
        mask: torch.Tensor,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
    ) -> torch.Tensor:
        # (batch, tokens or tokens + variables, diseases) -> (batch, positions, diseases), as embedded above.
        note = input_ids if inputs_embeds is None else inputs_embeds
        tokens = 0 if note is None else note.shape[1]
        variables, behind = evidence.shape[1] - tokens, 0
        if self.config.knowledge_fusion == "tokens":
            behind = len(self.knowledge_token_ids)
        if variables not in (0, self.config.lab_config.num_input_channels):
            raise ModelInputError(
                f"disease_evidence has the shape {tuple(evidence.shape)} and the note {tokens} tokens; it is (batch, "
                "tokens, diseases), or (batch, tokens + variables, diseases)"
            )
        positions = mask.shape[1]
        placed = evidence.new_zeros(len(mask), positions, evidence.shape[2])
        placed[:, :tokens] = evidence[:, :tokens]
        if variables and self.config.lab_summary:
            placed[:, positions - behind - variables : positions - behind] = evidence[:, tokens:]
        return placed & mask[:, :, None]

    def _check_length(self, mask: torch.Tensor) -> None:
        limit = self.config.text_max_positions
        if limit is not None and checks_values() and (longest := int(mask.sum(dim=1).max())) > limit:
            raise ModelInputError(
                f"an example needs {longest} positions but this language model has {limit}; lower the processor's "
                "max_source_tokens"
            )


__all__ = ["WithInputEmbeddings"]
