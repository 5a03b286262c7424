"""Batches without gaps, so that results do not depend on the amount and the side of padding."""

from __future__ import annotations

import torch

from .export_clinragen import checks_values

MULTIPLE = 8


def pack(*tensors: torch.Tensor, padding_side: str) -> tuple[torch.Tensor, ...]:
    """Move every row's valid positions together, in order, and drop positions that are padding in all rows.

    Args:
        tensors: `(batch, positions, ...)` each; the last one is the boolean mask `(batch, positions)`.
        padding_side: Side of the remaining padding. The length is rounded up to a multiple of `MULTIPLE`, as far as
            there are positions, so that kernels and memory are reused from batch to batch. An exported program drops
            none.
    """
    mask = tensors[-1]
    right = padding_side == "right"
    order = torch.sort(mask.to(torch.uint8), dim=1, descending=right, stable=True).indices
    if checks_values():
        longest = int(mask.sum(dim=1).max())
        longest = min(-(-longest // MULTIPLE) * MULTIPLE, mask.shape[1])
        order = order[:, :longest] if right else order[:, order.shape[1] - longest :]
    packed = []
    for tensor in tensors:
        index = order.view(*order.shape, *(1,) * (tensor.ndim - 2)).expand(*order.shape, *tensor.shape[2:])
        packed.append(tensor.gather(1, index))
    return tuple(packed)
