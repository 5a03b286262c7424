"""Calibrates a disease head on the validation split: temperatures, and thresholds from which diseases are listed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from modeling_clinragen.disease_head_clinragen import MODALITIES
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.data import disease_targets
from trainers.phases import Phase
from trainers.thresholds import choose_thresholds

logger = logging.getLogger(__name__)

TEMPERATURES = torch.logspace(-1, 1, 201)


@torch.no_grad()
def head_logits(
    model: ClinRaGenForConditionalGeneration,
    processor: ClinRaGenProcessor,
    items: Sequence[Mapping[str, Any]],
    *,
    note: bool = True,
    labs: bool = True,
    batch_size: int = 64,
) -> torch.Tensor:
    """The disease head's logits `(examples, diseases)`, before calibration.

    Args:
        model, processor: A model with a disease head, and its processor.
        items: Examples with `note` and `series`.
        note, labs: Which of them the model is shown.
        batch_size: Examples at once; similar lengths are put together.
    """
    model.eval()
    order = sorted(range(len(items)), key=lambda row: len(items[row]["note"]))
    logits = torch.zeros(len(items), len(model.config.diseases))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        notes = [items[row]["note"] if note else "" for row in rows]
        series = [items[row]["series"] for row in rows] if labs else None
        encoded = model.encode(**processor(notes, series, warn=False).to(model.device))
        logits[rows] = model.disease_logits(encoded).cpu()
    return logits


def best_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature with the least negative log-likelihood of the labels; both are `(examples, diseases)`."""
    losses = [
        float(nn.functional.binary_cross_entropy_with_logits(logits / temperature, labels))
        for temperature in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def calibrate_head(
    model: ClinRaGenForConditionalGeneration,
    processor: ClinRaGenProcessor,
    items: Sequence[Mapping[str, Any]],
    phase: Phase,
    batch_size: int = 64,
) -> None:
    """Set the head's temperatures and thresholds for what a phase reads; both modalities are also shown alone.

    Args:
        model, processor: The trained model and its processor.
        items: Those of `PhaseExamples` of the validation split, with `subject`; without any, nothing is changed.
        phase: The phase that the model was trained in.
        batch_size: Examples at once.
    """
    head = model.require_disease_head()
    if not items:
        logger.warning("The validation split is empty: the disease head is not calibrated")
        return
    labels = disease_targets(items, model.config.diseases)
    subjects = [item["subject"] for item in items]
    for place, modality in enumerate(MODALITIES):
        note, labs = modality != "labs", modality != "note"
        if (note and not phase.reads_note) or (labs and not phase.reads_labs):
            continue
        logits = head_logits(model, processor, items, note=note, labs=labs, batch_size=batch_size)
        temperature = best_temperature(logits, labels)
        probabilities = (logits / temperature).sigmoid().numpy()
        thresholds, kind, reached = choose_thresholds(labels.numpy(), probabilities, subjects)
        head.temperatures[place] = temperature
        head.thresholds[place] = torch.tensor(thresholds, dtype=head.thresholds.dtype)
        logger.info("Disease head, %s: temperature %.2f, %s thresholds, F1 %.3f", modality, temperature, kind, reached)


__all__ = ["best_temperature", "calibrate_head", "head_logits"]
