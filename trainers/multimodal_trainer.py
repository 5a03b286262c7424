"""Phase 3: language model and knowledge attention learn from both. L = -log P(D, R_m, R_t | M, f(T, V_k))."""

from trainers.data import MULTIMODAL_VIEW
from trainers.phase_trainer import PhaseConfig, PhaseTrainer


class MultimodalConfig(PhaseConfig):
    """Settings of the multimodal phase; see `PhaseConfig`."""


class MultimodalTrainer(PhaseTrainer):
    """Trains LoRA adapters (or the backbone) and knowledge attention on both; the lab encoder is frozen."""

    _name = "Multimodal"
    phase = "multimodal"
    parents = ("lab",)
    views = (MULTIMODAL_VIEW,)
    language_model_learns = True
    lab_encoder_learns = False
    knowledge_attention_learns = True
