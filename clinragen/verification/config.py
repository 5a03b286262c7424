"""How rationales are written and checked. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Settings of verified generation.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    num_beams: int = setting(1, help="Beams of the search; 1 is greedy.", unit="beams", at_least=1)
    numbers: str = setting(
        "statistic",
        help="Which numbers a rationale may hold: those of the statistic that its words name, any of the variable's "
        "readings, or any at all.",
        choices=("statistic", "readings", "free"),
    )
    candidates: int = setting(2, help="Sentences that are written in each try in place of a refused one.", at_least=1)
    tries: int = setting(1, help="How often a refused sentence is written again before it is left out.", at_least=0)
    temperature: float = setting(0.7, help="Temperature of sentences that are written again.", at_least=0.01)
    floor: float = setting(
        0.0005,
        help="A token of running text that the model gives a lower probability than this ends the sentence: the data "
        "do not hold what the model would say.",
        at_least=0,
        at_most=1,
    )
    complete: bool = setting(
        True, help="Ask the model for a sentence about evidence of a listed disease that it left out."
    )
    seed: int = setting(0, help="Draws the sentences that are written again.", at_least=0)
    batch_size: int = setting(32, help="Patients generated at once.", unit="patients", at_least=1, decides=False)

    def __post_init__(self) -> None:
        check_values(self)
