"""Phase 2: the lab encoder and the knowledge attention learn to speak to a frozen language model.

L = -log P(D, R_t | H), H being the knowledge-augmented lab vectors.
"""

from trainers.data import LAB_VIEW
from trainers.phase_trainer import PhaseConfig, PhaseTrainer


class LabConfig(PhaseConfig):
    """Settings of the lab phase; see `PhaseConfig`."""


class LabTrainer(PhaseTrainer):
    """Trains lab encoder and knowledge attention on the series alone; the language model is frozen."""

    _name = "Lab"
    phase = "lab"
    parents = ("note",)
    views = (LAB_VIEW,)
    language_model_learns = False
    lab_encoder_learns = True
    knowledge_attention_learns = True
