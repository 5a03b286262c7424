"""A training that has diverged ends with an error, not with a model of numbers that are none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from modeling_clinragen.errors import StageError

CURE = "lower learning_rate (and muon_learning_rate), or train in single precision"


def require_finite_loss(loss: float, step: int, rate: float, rows: Sequence[int]) -> None:
    """Raise `StageError` where the loss of a step is infinite or not a number.

    Args:
        loss: The loss of a (micro-)batch.
        step: Number of the step.
        rate: Its learning rate.
        rows: The rows of the training split that the batch is of, from 0; a stay's own id would be patient data.
    """
    if not math.isfinite(loss):
        raise StageError(
            f"the loss of step {step} is {loss} (learning rate {rate:.3g}, rows {', '.join(map(str, rows))} of the "
            f"training split): the training has diverged, or one of these examples is faulty; {CURE}"
        )


def require_finite_weights(model: torch.nn.Module, where: str, cure: str = CURE) -> None:
    """Raise `StageError` where a weight is infinite or not a number; `where` says whose, and `cure` what to do."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    wrong = [name for name, value in tensors if value.is_floating_point() and not bool(value.isfinite().all())]
    if wrong:
        raise StageError(
            f"{where}: {len(wrong)} of {len(tensors)} tensors hold infinite values or ones that are not numbers, such "
            f"as {wrong[0]}; {cure}"
        )
