"""A tiny T5 from scratch and what its trainers are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dataset_builder.contract.cohort_splits import CohortSplits

SHAPE = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 48,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu",
}
SETTINGS: dict[str, Any] = {
    "vocab_size": 600,
    "instruction": "",
    "max_source_tokens": 96,
    "max_target_tokens": 64,
    "lab_width": 8,
    "lab_layers": 1,
    "lab_heads": 2,
    "lab_dropout": 0.0,
    "lab_max_steps": 160,
    "knowledge_fusion": "gated",
    "knowledge_dropout": 0.0,
    "lora_r": 2,
    "lora_dropout": 0.0,
}
TERMS = ["fever", "troponin leak", "hypotension", "insulin"]


def arguments(kind: type, folder: Path, **changes: Any) -> Any:
    settings = {
        "output_dir": str(folder / "out"),
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        **changes,
    }
    return kind(**settings)


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def fitting(processor: Any, cohort: CohortSplits) -> dict[str, Any]:
    """What every trainer is given beside model, settings and splits."""
    return {"processing_class": processor, "vocabulary": cohort.vocabulary}


def changed(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
