"""One real training step of a tiny model: its model and its batch, for what is counted without either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.phase_config import PhaseConfig, parse_phase_config
from trainers.phases import phase_named
from trainers.step_memory import Sizes

LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}
# As many target tokens as the head is given at once, so that it is given no others.
SIZES = Sizes(batch=4, source=40, patches=16, target=128)


def phase_settings(folder: Path, **values: Any) -> PhaseConfig:
    """Settings of a phase, of one step in single precision if nothing else is given."""
    path = folder / "phase.yaml"
    path.write_text(yaml.safe_dump({"max_steps": 1, "bf16": False, **values}))
    return parse_phase_config(path, use_cpu=True, output_dir=folder / "checkpoints")


def lora_config(make_model: Callable[..., Any], kind: str, **fields: Any) -> Any:
    """The configuration of a tiny model with adapters in all layers."""
    made = make_model(kind, lora=False, **fields).config
    made.lora, made.credentialed = dict(LORA), False
    return made


def real_batch(config: Any) -> dict[str, torch.Tensor]:
    """A batch of `SIZES`."""
    steps = SIZES.patches * config.lab_patch_steps
    return {
        "input_ids": torch.randint(60, 200, (SIZES.batch, SIZES.source)),
        "attention_mask": torch.ones(SIZES.batch, SIZES.source, dtype=torch.long),
        "lab_features": torch.randn(SIZES.batch, steps, 11, 4),
        "lab_mask": torch.ones(SIZES.batch, steps, dtype=torch.bool),
        "labels": torch.randint(60, 200, (SIZES.batch, SIZES.target)),
        "disease_targets": torch.zeros(SIZES.batch, len(config.diseases)),
    }


def real_model(config: Any, phase: str) -> ClinRaGenForConditionalGeneration:
    """A model whose parts learn as in a phase."""
    model, learns = ClinRaGenForConditionalGeneration(config), phase_named(phase).learns
    model.set_trainable(
        backbone=False,
        adapter=learns.language_model,
        lab_encoder=learns.lab_encoder,
        knowledge_attention=learns.knowledge_attention,
        disease_head=True,
    )
    return model.train()
