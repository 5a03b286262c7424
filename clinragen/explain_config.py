"""How one patient is explained: the settings of `predict`, of the page and of `Explainer`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting
from trainers.device import AUTO, check_device


@dataclass(frozen=True)
class ExplainConfig:
    """Settings of an explanation. Raises `SettingsError` for a value out of its range."""

    num_beams: int = setting(1, help="Beams of the search; 1 is greedy.", at_least=1)
    raw: bool = setting(
        False,
        help="Show what the model writes freely, each sentence marked as the checker finds it: nothing is grounded, "
        "written again or withheld.",
    )
    probabilities: bool = setting(False, help="Also give the probability of every disease.")
    device: str = setting(AUTO, help="Device of the model: auto (a GPU where there is one), cpu, cuda or cuda:N.")

    def __post_init__(self) -> None:
        check_values(self)
        check_device(self.device)
