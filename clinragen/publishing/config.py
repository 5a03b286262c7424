"""Settings of the memorisation check. Nothing heavy is imported: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import check_values, setting


@dataclass(frozen=True, kw_only=True)
class MemorisationConfig:
    """When generated text counts as memorised.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    overlap_words: int = setting(
        13,
        help="Length from which on words that a text shares with another patient's note are looked at.",
        unit="words",
        at_least=3,
    )
    fewest_patients: int = setting(
        10,
        help="Words that occur in the notes of fewer patients count as memorised; so do a tokenizer's tokens.",
        unit="patients",
        at_least=2,
    )

    def __post_init__(self) -> None:
        check_values(self)
