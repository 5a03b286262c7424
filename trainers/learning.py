"""The parts that learn in a phase: its row says it, and an ablation's settings may say otherwise."""

from __future__ import annotations

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.phase_config import PhaseConfig
from trainers.phases import Learns, Phase


def learning_parts(phase: Phase, settings: PhaseConfig) -> Learns:
    """The parts that learn in a phase with these settings."""
    return phase.learns if settings.learns is None else Learns.only(settings.learns)


def set_learning(model: ClinRaGenForConditionalGeneration, phase: Phase, settings: PhaseConfig) -> None:
    """Let these parts of a model learn, and freeze the others.

    Raises:
        SettingsError: The adapters are to learn, and the model has none.
    """
    learns = learning_parts(phase, settings)
    model.set_trainable(
        backbone=learns.language_model and settings.train_backbone,
        adapter=learns.language_model and not settings.train_backbone,
        lab_encoder=learns.lab_encoder,
        knowledge_attention=learns.knowledge_attention,
        disease_head=learns.disease_head,
    )


__all__ = ["learning_parts", "set_learning"]
