"""The losses: of target tokens, computed only at the positions that count, and of the diseases."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .processing_clinragen import IGNORED

HEAD_MULTIPLE = 512
LEAST_SHARE = 1e-4
"""Added to a share of attention, whose logarithm is taken."""


def target_losses(
    language_model: Any, inputs: dict[str, Any], targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Negative log-likelihood of every target `(batch, positions)`, 0 where ignored.

    Logits are by far the largest tensor of a step, so only counted positions are computed. Language models differ in
    how they get from hidden states to logits (T5 scales, BART adds a bias, Gemma caps), but all of them call the head:
    a hook in front of the head selects the positions.

    Args:
        language_model: The language model.
        inputs: Its inputs.
        targets: `(batch, positions)`, -100 where ignored.

    Returns:
        The losses, and what the head was called with before the selection, `(batch, positions, width)`.
    """
    flat = targets.flatten()
    order = torch.sort((flat != IGNORED).to(torch.uint8), descending=True, stable=True).indices
    counted = int((flat != IGNORED).sum())
    # Rounded up with uncounted positions, so that few different sizes occur: see `pack`.
    chosen = order[: min(-(-max(counted, 1) // HEAD_MULTIPLE) * HEAD_MULTIPLE, len(flat))]
    states = []

    def select(_: nn.Module, hidden: tuple[Any, ...]) -> tuple[Any, ...]:
        states.append(hidden[0])
        return (hidden[0].flatten(0, 1)[chosen], *hidden[1:])

    handle = language_model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        logits = language_model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    losses = nn.functional.cross_entropy(
        logits.float().flatten(0, -2), flat[chosen], ignore_index=IGNORED, reduction="none"
    )
    return losses.new_zeros(flat.shape).index_put((chosen,), losses).view(targets.shape), states[0]


def target_logits(language_model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of all positions, and what the head was called with."""
    states = []
    head = language_model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, hidden: states.append(hidden[0]))
    try:
        logits = language_model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits, states[0]


def disease_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the patients of the negative log-likelihood of all their diseases; both are `(batch, diseases)`."""
    losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return losses.sum(dim=1).mean()


def evidence_loss(weights: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
    """How far the first head of the diseases' queries is from attending to the evidence that rationales cite for them.

    Mean over the patients of the sum, over the diseases that have evidence, of the negative logarithm of the attention
    that falls on it. The other heads stay free: what a rationale cites is not all that speaks for a disease.

    Args:
        weights: What each query attends to, `(batch, heads, diseases, positions)`.
        evidence: Where evidence for a disease stands, `(batch, positions, diseases)`.
    """
    found = evidence.transpose(1, 2)
    share = (weights[:, 0] * found).sum(dim=-1)
    return (-(share + LEAST_SHARE).log() * found.any(dim=-1)).sum(dim=1).mean()


def share_of_step(
    labels: torch.Tensor, tokens: torch.Tensor, of_examples: int | None, of_tokens: torch.Tensor | int | None
) -> torch.Tensor | float:
    """Which part of a step's examples a batch has, where the step is divided between batches or processes.

    Args:
        labels: The diseases of the batch's examples, `(batch, diseases)`.
        tokens: Number of its target tokens.
        of_examples, of_tokens: Examples and target tokens of the whole step. Where only the latter are known, as from
            transformers' own Trainer, the share of the tokens stands for that of the examples; where neither is, the
            batch is the step.
    """
    if of_examples:
        return len(labels) / of_examples
    return tokens / of_tokens if of_tokens and tokens else 1.0


__all__ = ["disease_loss", "evidence_loss", "share_of_step", "target_logits", "target_losses"]
