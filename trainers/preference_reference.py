"""The reference of preference training: the policy as it was at the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Start:
    """Keeps the parameters that learn as they are now, and puts them back for a while.

    With LoRA these are the adapters alone. Before they have been trained this is the model with its adapters switched
    off; of adapters that an earlier training has filled it is these, which switching off would lose.

    Args:
        model: The model, with `requires_grad` set.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kept = {name: value.detach().clone() for name, value in _learning(model).items()}

    @contextmanager
    def given(self) -> Iterator[None]:
        """Within this, the model is as it was."""
        learning = _learning(self._model)
        now = {name: value.detach().clone() for name, value in learning.items()}
        _set(learning, self._kept)
        try:
            yield
        finally:
            _set(learning, now)


def _learning(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@torch.no_grad()
def _set(parameters: dict[str, nn.Parameter], values: dict[str, torch.Tensor]) -> None:
    for name, value in values.items():
        parameters[name].copy_(value)


__all__ = ["Start"]
