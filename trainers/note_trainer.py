"""Phase 1: the language model learns to diagnose from the note, and to explain why. L = -log P(D, R_m | M)."""

from trainers.phase_config import PhaseConfig
from trainers.phase_trainer import PhaseTrainer
from trainers.phases import phase_named


class NoteConfig(PhaseConfig):
    """Settings of the note phase; see `PhaseConfig`."""


class NoteTrainer(PhaseTrainer):
    """Trains the language model on text alone: LoRA adapters, or the whole backbone with `train_backbone`."""

    _name = "Note"
    phase = phase_named("note")
