"""The standards that rationales are checked by."""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.knowledge.base import KnowledgeBase
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary


@dataclass(frozen=True)
class Checking:
    """The standards that rationales are checked by.

    Args:
        vocabulary: Variables and diseases that rationales are about.
        range_set: What is low, normal and high.
        knowledge: What supports which disease; without it, nothing that needs it is checked.
    """

    vocabulary: Vocabulary
    range_set: RangeSet
    knowledge: KnowledgeBase | None

    @property
    def history_counts(self) -> dict[str, bool]:
        """By disease key, whether a past mention still supports it; without a base, of chronic diseases only."""
        if self.knowledge is not None:
            return self.knowledge.history_counts
        return {disease.key: disease.kind == "chronic" for disease in self.vocabulary.diseases}
