"""The loss of target tokens, computed only at the positions that count."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .processing_clinragen import IGNORED

HEAD_MULTIPLE = 512


def target_losses(language_model: Any, inputs: dict[str, Any], targets: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of every target `(batch, positions)`, 0 where ignored.

    Logits are by far the largest tensor of a step, so only counted positions are computed. Language models differ in
    how they get from hidden states to logits (T5 scales, BART adds a bias, Gemma caps), but all of them call the head:
    a hook in front of the head selects the positions.

    Args:
        language_model: The language model.
        inputs: Its inputs.
        targets: `(batch, positions)`, -100 where ignored.
    """
    flat = targets.flatten()
    order = torch.sort((flat != IGNORED).to(torch.uint8), descending=True, stable=True).indices
    counted = int((flat != IGNORED).sum())
    # Rounded up with uncounted positions, so that few different sizes occur: see `pack`.
    chosen = order[: min(-(-counted // HEAD_MULTIPLE) * HEAD_MULTIPLE, len(flat))]
    handle = language_model.get_output_embeddings().register_forward_pre_hook(
        lambda _, hidden: (hidden[0].flatten(0, 1)[chosen], *hidden[1:])
    )
    try:
        logits = language_model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    losses = nn.functional.cross_entropy(
        logits.float().flatten(0, -2), flat[chosen], ignore_index=IGNORED, reduction="none"
    )
    return losses.new_zeros(flat.shape).index_put((chosen,), losses).view(targets.shape)


__all__ = ["target_losses"]
