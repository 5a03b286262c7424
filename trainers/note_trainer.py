"""Phase 1: the language model learns to diagnose from the note, and to say why. L = -log P(D, R_m | M)."""

from trainers.data import NOTE_VIEW
from trainers.phase_trainer import PhaseConfig, PhaseTrainer


class NoteConfig(PhaseConfig):
    """Settings of the note phase; see `PhaseConfig`."""


class NoteTrainer(PhaseTrainer):
    """Trains the language model on text alone: LoRA adapters, or the whole backbone with `train_backbone`."""

    _name = "Note"
    phase = "note"
    parents = (None, "backbone")
    views = (NOTE_VIEW,)
    language_model_learns = True
    lab_encoder_learns = False
    knowledge_attention_learns = False
