"""Phase 2: the lab encoder and the knowledge attention learn to address a frozen language model.

L = -log P(D, R_t | H), H being the knowledge-augmented lab vectors.
"""

from trainers.phase_config import PhaseConfig
from trainers.phase_trainer import PhaseTrainer
from trainers.phases import phase_named


class LabConfig(PhaseConfig):
    """Settings of the lab phase; see `PhaseConfig`."""


class LabTrainer(PhaseTrainer):
    """Trains lab encoder and knowledge attention on the series alone; the language model is frozen."""

    _name = "Lab"
    phase = phase_named("lab")
