"""Rationales of made-up patients, ready to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.score_types import Verified, WrittenRationales
from clinragen.knowledge.base import KnowledgeBase
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def row_with(vocabulary: Vocabulary, key: str, *readings: float, note: str = "", number: int = 0) -> dict[str, Any]:
    """A row of the data contract with one reading of one variable every hour and nothing else."""
    columns = range(len(vocabulary.variables))
    index = vocabulary.variable_keys.index(key)
    return {
        "subject_id": number,
        "hadm_id": number,
        "stay_id": number,
        "lab_hours": [float(hour) for hour in range(len(readings))],
        "lab_values": [[reading if column == index else None for column in columns] for reading in readings],
        "lab_observed": [[column == index for column in columns]] * len(readings),
        "note": note,
    }


class Rows(list[dict[str, Any]]):
    """Rows that also give a column by its name, as a data set does."""

    def __getitem__(self, wanted: Any) -> Any:
        return [row[wanted] for row in self] if isinstance(wanted, str) else super().__getitem__(wanted)


def checking_of(
    vocabulary: Vocabulary, range_set: str = "clinical", knowledge: KnowledgeBase | None = None
) -> Checking:
    """Standards with a range set of the vocabulary."""
    return Checking(vocabulary, vocabulary.range_set(range_set), knowledge)


def written_by(
    texts: Sequence[str | Verified | None], rows: Sequence[dict[str, Any]], checking: Checking, **given: Any
) -> WrittenRationales:
    """One system's rationales; each row is a patient of its own unless the test gives other resamples."""
    return WrittenRationales(
        **{
            "answers": [text if isinstance(text, Verified) else Verified.unchecked(text) for text in texts],
            "listed": [frozenset()] * len(texts),
            "references": [""] * len(texts),
            "examples": Rows(rows),
            "checking": checking,
            "bootstrap": Bootstrap(range(len(rows)), resamples=100),
            **given,
        }
    )
