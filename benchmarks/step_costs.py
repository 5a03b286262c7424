"""Operations of one training step, counted on tensors that have shapes and no content (see trainers/step_memory.py).

Every matrix product is counted, forward and backward, with frozen weights getting no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.utils.flop_counter import FlopCounterMode

from trainers.phase_config import PhaseConfig
from trainers.phases import Phase
from trainers.step_memory import CountedModel, Sizes


@dataclass(frozen=True)
class StepOperations:
    """Operations of a step, a multiplication and an addition being two.

    Args:
        forward: Those of the forward pass.
        backward: Those of the backward pass, and of activations that are computed again.
    """

    forward: int
    backward: int


def step_operations(counted: CountedModel, phase: Phase, settings: PhaseConfig, sizes: Sizes) -> StepOperations:
    """The operations of one step; arguments as of `CountedModel.memory`. Attention counts all products."""
    with counted.mode:
        model = counted.prepared(phase, settings)
        # The kernels of the others are not seen by PyTorch's counter everywhere.
        model.set_attn_implementation("eager")
        with FlopCounterMode(display=False) as counter:
            loss = counted.loss(phase, settings, sizes)
            forward = counter.get_total_flops()
            loss.backward()
    return StepOperations(forward, counter.get_total_flops() - forward)
