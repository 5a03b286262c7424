"""Training that divides a model between GPUs: fully sharded data parallel (FSDP) and DeepSpeed ZeRO."""

from __future__ import annotations

import os
from typing import Any

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.phase_config import PhaseConfig

BY_LAUNCHER = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
"""What `accelerate launch` sets where its configuration file divides the model."""


def division_asked(args: PhaseConfig) -> bool:
    """Whether the settings, or the launcher's, ask for a model that is divided between GPUs."""
    return bool(args.fsdp or args.deepspeed or any(os.environ.get(name, "").lower() == "true" for name in BY_LAUNCHER))


def require_division_possible(args: PhaseConfig) -> None:
    """Check that a model can be divided as the settings, or the launcher's, ask for; nothing where none do.

    Raises:
        SettingsError: There are no GPUs to divide it between, which accelerate would not say and train whole models;
            or a setting needs the whole weights in every process.
    """
    if not division_asked(args):
        return
    if args.device.type == "cpu" or args.world_size == 1:
        raise SettingsError(
            "fsdp and deepspeed divide a model between several GPUs of `torchrun` or `accelerate launch`, which are "
            "not there; leave them out"
        )
    for name in ("muon_learning_rate", "average_share", "load_in_4bit"):
        if getattr(args, name):
            raise SettingsError(f"{name} needs whole weights in each process, and fsdp or deepspeed divides them")


def whole_model(trainer: Any) -> ClinRaGenForConditionalGeneration | None:
    """The model that a trainer has trained, with all of its weights; None in all processes but the first where it is
    divided between them.
    """
    model: ClinRaGenForConditionalGeneration = trainer.model
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return model
    # Every process must take part.
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return None
    whole = ClinRaGenForConditionalGeneration(model.config)
    whole.load_state_dict(weights)
    whole.set_provenance(model.provenance)
    return whole
