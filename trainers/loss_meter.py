"""The loss between two points of a training curve, which an interruption does not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import ExportableState


class LossMeter(TrainerCallback, ExportableState):
    """Sums the losses of the steps since the last log and keeps the sum with every checkpoint.

    transformers starts from zero after an interruption, so that the next point of the curve would be the mean over
    other steps than without it.

    Args:
        gather: The mean over all processes of one number of each.
    """

    def __init__(self, gather: Callable[[torch.Tensor], float]) -> None:
        self._gather = gather
        self._sum: torch.Tensor | float = 0.0
        self._logged = 0

    def add(self, loss: torch.Tensor) -> None:
        """Count the loss of a (micro-)batch, scaled as it is minimised."""
        self._sum = self._sum + loss.detach()

    def mean(self, step: int) -> float:
        """The mean loss of a step since the last call, `step` being the last one."""
        total, steps = self._total(), step - self._logged
        self._sum, self._logged = 0.0, step
        return total / steps

    def _total(self) -> float:
        return self._gather(torch.as_tensor(self._sum))

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Go on from the sum that the checkpoint has, where the training goes on from one."""
        kept = state.stateful_callbacks.get(type(self).__name__, {}) if state.global_step else {}
        attributes = kept.get("attributes", {})
        self._sum = attributes.get("sum", 0.0)
        self._logged = attributes.get("logged", state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """The curve of a training that logs has the last step, and a checkpoint the mean over all processes."""
        if state.global_step >= state.max_steps and args.logging_strategy != "no":
            control.should_log = True
        self._before_saving(control)

    def on_epoch_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """As `on_step_end`, for checkpoints between epochs."""
        self._before_saving(control)

    def _before_saving(self, control: Any) -> None:
        # A checkpoint is written by one process; a sum that is about to be logged is not kept.
        if control.should_save and not control.should_log:
            self._sum = self._total()

    def state(self) -> dict[str, Any]:
        """The sum and the last logged step, for a checkpoint (see `ExportableState`)."""
        return {"args": {}, "attributes": {"sum": float(self._sum), "logged": self._logged}}
