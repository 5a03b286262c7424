"""Before phase 1, for a backbone built from scratch: train everything at once, on note and series together.

Not part of the paper, whose backbones are pretrained and bring a language along. A scratch backbone has nothing that
LoRA could adapt and, frozen, could not read lab vectors. So it first learns whole, together with lab encoder and
knowledge attention, from both modalities; the paper's three phases then adapt it, each to what it reads.
"""

from trainers.data import MULTIMODAL_VIEW
from trainers.phase_trainer import PhaseConfig, PhaseTrainer


class BackboneConfig(PhaseConfig):
    """Settings of the backbone phase; see `PhaseConfig`. `train_backbone` must be set."""


class BackboneTrainer(PhaseTrainer):
    """Trains language model, lab encoder and knowledge attention together."""

    _name = "Backbone"
    phase = "backbone"
    parents = (None,)
    views = (MULTIMODAL_VIEW,)
    language_model_learns = True
    lab_encoder_learns = True
    knowledge_attention_learns = True
