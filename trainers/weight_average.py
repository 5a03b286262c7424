"""The mean of the weights over the last part of a training (Izmailov et al. 2018, stochastic weight averaging)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainerState

AVERAGE = "weight_average.safetensors"
"""The mean so far, in a checkpoint."""


class WeightAverage(TrainerCallback):
    """Keeps the mean of the weights after each of the last steps, in single precision.

    At a learning rate that stays high the weights go around a good place without coming closer; their mean is closer,
    and does better on patients who were not seen than weights that a falling rate has brought to rest.

    Args:
        model: Whose weights are averaged, those that learn.
        share: The mean is over this share of the steps, the last ones.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self._model = model
        self._share = share
        self._mean: dict[str, torch.Tensor] = {}
        self._steps = 0

    def on_optimizer_step(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Count the weights after a step; the step's own number is not counted up yet."""
        if state.global_step + 1 <= self._first(state):
            return
        self._steps += 1
        for name, weight in self._learning():
            current = weight.detach().float()
            if name in self._mean:
                self._mean[name].lerp_(current, 1 / self._steps)
            else:
                self._mean[name] = current.clone()

    def _first(self, state: TrainerState) -> int:
        """The last step that does not count; of however few, the last one counts."""
        return min(state.max_steps - 1, math.floor(state.max_steps * (1 - self._share)))

    def _learning(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad]

    @torch.no_grad()
    def give(self) -> None:
        """Set the model's weights to their mean; before a step has counted they stay as they are."""
        for name, weight in self._learning():
            if name in self._mean:
                weight.copy_(self._mean[name])

    @contextmanager
    def given(self) -> Iterator[None]:
        """Within this, the model has the mean weights, as it will have after the training."""
        own = {name: weight.detach().clone() for name, weight in self._learning()} if self._mean else {}
        self.give()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self._learning():
                    if name in own:
                        weight.copy_(own[name])

    def save(self, folder: Path) -> None:
        """Keep the mean in a checkpoint, before that is sealed; nothing before a step has counted."""
        if self._mean:
            mean = {name: weight.contiguous() for name, weight in self._mean.items()}
            save_file(mean, folder / AVERAGE, {"steps": str(self._steps)})

    def load(self, folder: Path) -> None:
        """Go on from what a checkpoint has."""
        self._mean, self._steps = {}, 0
        if (folder / AVERAGE).is_file():
            device = next(self._model.parameters()).device
            with safe_open(folder / AVERAGE, "pt", device=str(device)) as kept:
                self._mean = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
                self._steps = int(kept.metadata()["steps"])
