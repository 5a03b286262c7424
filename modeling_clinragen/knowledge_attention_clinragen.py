"""Knowledge-augmented attention: lab vectors attend to prototypes of the domain-knowledge vocabulary."""

from __future__ import annotations

import torch
from torch import nn

from .configuration_clinragen import ClinRaGenConfig


class ClinRaGenKnowledgeAttention(nn.Module):
    """Multi-head cross-attention from lab vectors to knowledge prototypes (section 3.3; "reprogramming" in the code).

    The embeddings of the knowledge vocabulary V_k, taken from the language model's own table, are mapped over the
    *token* axis to `num_prototypes` prototypes; lab vectors are the queries, prototypes the keys and values.
    """

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__()
        width = config.text_width
        inner = config.knowledge_heads * config.knowledge_head_dim
        self.heads = config.knowledge_heads
        self.head_dim = config.knowledge_head_dim
        self.dropout = config.knowledge_dropout
        self.gated = config.knowledge_fusion == "gated"
        self.prototype_map = nn.Linear(config.num_knowledge_tokens, config.num_prototypes, bias=False)
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)
        if self.gated:
            self.gate = nn.Linear(2 * width, width)

    def prototypes(self, knowledge_embeddings: torch.Tensor) -> torch.Tensor:
        """Map `(knowledge_tokens, width)` to `(prototypes, width)`."""
        return self.prototype_map(knowledge_embeddings.transpose(0, 1)).transpose(0, 1)

    def forward(
        self, lab_vectors: torch.Tensor, knowledge_embeddings: torch.Tensor, return_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Fuse knowledge into lab vectors.

        Args:
            lab_vectors: `(batch, patches, width)`.
            knowledge_embeddings: `(knowledge_tokens, width)`.
            return_weights: Also return the attention's weights.

        Returns:
            Fused vectors `(batch, patches, width)`, and weights `(batch, heads, patches, prototypes)` or None.
        """
        batch, patches, _ = lab_vectors.shape
        prototypes = self.prototypes(knowledge_embeddings)
        query = self.q_proj(lab_vectors).view(batch, patches, self.heads, self.head_dim).transpose(1, 2)
        # The prototypes are the same for the whole batch: (1, heads, prototypes, head_dim), broadcast.
        key = self.k_proj(prototypes).view(1, -1, self.heads, self.head_dim).transpose(1, 2)
        value = self.v_proj(prototypes).view(1, -1, self.heads, self.head_dim).transpose(1, 2)
        # There are few prototypes: explicit attention is faster than a fused one, and gives the weights.
        weights = (query @ key.transpose(-1, -2) * self.head_dim**-0.5).softmax(-1)
        attended = nn.functional.dropout(weights, self.dropout, self.training) @ value
        fused = self.out_proj(attended.transpose(1, 2).flatten(2))
        if self.gated:
            gate = torch.sigmoid(self.gate(torch.cat((lab_vectors, fused), dim=-1)))
            fused = lab_vectors + gate * fused
        return fused, weights if return_weights else None


__all__ = ["ClinRaGenKnowledgeAttention"]
