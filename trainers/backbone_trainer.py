"""Before phase 1, for a backbone built from scratch: learn the language that a pretrained one would bring along.

Not part of the paper, whose backbones are pretrained. Every example is shown as text in three ways: note alone, lab
anomalies in words alone (the paper's A), and both.
"""

from trainers.data import LAB_TEXT_VIEW, MULTIMODAL_TEXT_VIEW, NOTE_VIEW
from trainers.phase_trainer import PhaseConfig, PhaseTrainer


class BackboneConfig(PhaseConfig):
    """Settings of the backbone phase; see `PhaseConfig`."""


class BackboneTrainer(PhaseTrainer):
    """Trains the whole language model on text; lab encoder and knowledge attention wait for their phase."""

    _name = "Backbone"
    phase = "backbone"
    parents = (None,)
    views = (NOTE_VIEW, LAB_TEXT_VIEW, MULTIMODAL_TEXT_VIEW)
    language_model_learns = True
    lab_encoder_learns = False
    knowledge_attention_learns = False
