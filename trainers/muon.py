"""Muon for the weight matrices of hidden layers, AdamW for everything else, as one optimizer.

A randomly initialised backbone learns several times faster this way on small data: Muon makes every update of a matrix
equally strong in all directions (Keller Jordan et al., 2024; in torch since 2.9). The paper's phases on a pretrained
backbone use AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.overrides import TorchFunctionMode

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration


class _SinglePrecisionOnCpu(TorchFunctionMode):
    """Lets torch's Muon, which turns every update into bfloat16, keep single precision for what is on the CPU.

    A processor without instructions for bfloat16 multiplies it many times more slowly: the optimizer then takes longer
    than all the rest of a tiny model's step. With them there is nothing to gain on matrices this small, and the same
    training should not end in other weights on another processor.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.bfloat16 and args[0].device.type == "cpu":
            return args[0].to(torch.float32, copy=True)
        return func(*args, **(kwargs or {}))


class MuonWithAdamW(Optimizer):
    """Two optimizers that share one list of parameter groups, so that schedules and checkpoints see a single one.

    Args:
        matrices: Parameters for Muon, each with two dimensions.
        others: Parameters for AdamW.
        matrix_lr, lr: Their learning rates.
        weight_decay: For both.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        *,
        matrix_lr: float,
        lr: float,
        weight_decay: float,
    ) -> None:
        self._parts: list[Optimizer] = []
        if matrices:
            # An update of AdamW's size, so that one weight decay fits both.
            muon = Muon(matrices, lr=matrix_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self._parts.append(muon)
        if others:
            self._parts.append(AdamW(others, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98)))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:end]
            part.state = self.state
            start = end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both parts."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both parts."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with _SinglePrecisionOnCpu():
            for part in self._parts:
                part.step()
        return loss


def muon_with_adamw(model: ClinRaGenForConditionalGeneration, args: Any) -> MuonWithAdamW:
    """The optimizer of a model's trainable parameters.

    Args:
        model: The model; what is frozen is left out.
        args: Settings of the training: `muon_learning_rate`, `learning_rate`, `weight_decay`.
    """
    matrices, others = split_parameters(model)
    return MuonWithAdamW(
        matrices, others, matrix_lr=args.muon_learning_rate, lr=args.learning_rate, weight_decay=args.weight_decay
    )


def split_parameters(model: ClinRaGenForConditionalGeneration) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters, as (matrices of hidden layers, all others).

    Embeddings, the head and the prototype map are looked up or sum over tokens, which Muon is not designed for.
    """
    apart = {id(model.get_input_embeddings().weight)}
    head = model.get_output_embeddings()
    if head is not None:
        apart.add(id(head.weight))
    if model.knowledge_attention is not None:
        apart.add(id(model.knowledge_attention.prototype_map.weight))
    hidden = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear) and id(module.weight) not in apart
    }
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in learning if id(parameter) in hidden]
    return matrices, [parameter for parameter in learning if id(parameter) not in hidden]
