"""How much work gradient boosting does: the full setting, and a light one for short runs. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BoostingSetting:
    """The size of the inputs and of the models.

    Args:
        longest_phrase: Phrases of the note of up to so many words.
        least_notes: In how many training notes a phrase must stand; fewer in a small cohort.
        trees: At most so many trees a disease.
        learning_rate: What each tree adds.
        bins: At most so many bins of the values of a statistic.
    """

    longest_phrase: int
    least_notes: int
    trees: int
    learning_rate: float
    bins: int


BOOSTING = {
    "full": BoostingSetting(longest_phrase=3, least_notes=8, trees=400, learning_rate=0.05, bins=255),
    "light": BoostingSetting(longest_phrase=2, least_notes=25, trees=200, learning_rate=0.1, bins=63),
}
"""The settings by name."""

BOOSTED: Mapping[str, Literal["both", "note", "labs"]] = {
    "gradient_boosting": "both",
    "gradient_boosting_note": "note",
    "gradient_boosting_labs": "labs",
}
"""The systems that are gradient boosting, and what each reads."""
