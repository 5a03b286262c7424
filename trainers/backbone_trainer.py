"""Before phase 1, for a backbone built from scratch: train everything at once, on note and series together.

Not part of the paper, whose backbones are pretrained. A scratch backbone has nothing that LoRA could adapt and could
not read lab vectors while frozen. So it first learns whole, together with lab encoder and knowledge attention, from
both modalities; the paper's three phases then adapt it, each to its own input.
"""

from trainers.phase_config import PhaseConfig
from trainers.phase_trainer import PhaseTrainer
from trainers.phases import phase_named


class BackboneConfig(PhaseConfig):
    """Settings of the backbone phase; see `PhaseConfig`. `train_backbone` must be set."""


class BackboneTrainer(PhaseTrainer):
    """Trains language model, lab encoder and knowledge attention together."""

    _name = "Backbone"
    phase = phase_named("backbone")
