"""Phase 3: language model and knowledge attention learn from both. L = -log P(D, R_m, R_t | M, f(T, V_k))."""

from trainers.phase_config import PhaseConfig
from trainers.phase_trainer import PhaseTrainer
from trainers.phases import phase_named


class MultimodalConfig(PhaseConfig):
    """Settings of the multimodal phase; see `PhaseConfig`."""


class MultimodalTrainer(PhaseTrainer):
    """Trains LoRA adapters (or the backbone) and knowledge attention on both; the lab encoder is frozen."""

    _name = "Multimodal"
    phase = phase_named("multimodal")
