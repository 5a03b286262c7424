"""Settings of a ClinRaGen model's preference training."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_mapping, setting
from trainers.preference_config import PreferenceConfig


@dataclass
class ClinicalPreferenceConfig(PreferenceConfig):
    """Settings of `clinragen prefer`: those of `PreferenceConfig`, and which patients and parts learn.

    Raises:
        SettingsError: A setting has the wrong type or is out of its range.
    """

    rounds: int = setting(
        1,
        help="DPO: how often texts are sampled, ranked and learned from, each time from the model of the last round.",
        at_least=1,
    )
    patients: int | None = setting(
        None, help="Training patients a round, others in each as far as there are; all by default.", at_least=1
    )
    curve_patients: int = setting(64, help="Validation patients that the curve is measured on.", at_least=1)
    verified: bool = setting(
        False,
        help="DPO: rank beside the samples also the text that the model writes under the constraint, with what the "
        "checker does not support left out (docs/verification.md).",
    )
    train_backbone: bool = setting(
        False, help="Train the language model itself instead of its LoRA adapters; for a backbone built from scratch."
    )
    train_encoder: bool = setting(
        False,
        help="Train an encoder-decoder's encoder as well; the disease head, which reads it, is calibrated anew then.",
    )
    muon_learning_rate: float | None = setting(
        None, help="Learning rate of Muon for hidden weight matrices; without it AdamW trains everything.", at_least=0
    )
    attn_implementation: str | None = setting(
        None, help="Attention implementation during training (sdpa, eager, ...); the model's own by default."
    )

    def __post_init__(self) -> None:
        own = {name: getattr(self, name) for name in ClinicalPreferenceConfig.__annotations__}
        check_mapping(ClinicalPreferenceConfig, own, "preference settings", partial=True)
        super().__post_init__()
