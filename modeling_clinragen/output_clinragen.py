"""The output of a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class ClinRaGenOutput(ModelOutput):
    """Output of a forward pass: loss and logits of the generating class, hidden states and their mask of the body.

    Args:
        loss: Mean negative log-likelihood of the labels that are not -100; with `disease_targets`, and that of the
            diseases, weighted.
        logits: Encoder-decoder: `(batch, target_tokens, vocabulary)`. Decoder-only: over context and target. None in
            training mode with labels, where only the positions that count are ever computed.
        disease_logits: `(batch, diseases)` where there is a disease head and labels of it; before calibration.
        last_hidden_state: `(batch, positions, width)` over the note's tokens and the lab vectors, without gaps.
        attention_mask: Which of these positions are not padding, `(batch, positions)`.
        knowledge_weights: `(batch, heads, patches, prototypes)` where requested.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    disease_logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    knowledge_weights: torch.Tensor | None = None


__all__ = ["ClinRaGenOutput"]
