"""Of a cohort's examples: whether their vocabulary fits, their sizes, and how much of their notes is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets import Dataset

from dataset_builder.contract.arrays import series_column
from modeling_clinragen.profile_clinragen import Cut
from modeling_clinragen.vocabulary_clinragen import Vocabulary

if TYPE_CHECKING:
    from modeling_clinragen.processing_clinragen import ClinRaGenProcessor


def require_vocabulary(processor: ClinRaGenProcessor, vocabulary: Vocabulary, model: str = "the model") -> None:
    """Refuse to read a cohort's series and labels as those of another vocabulary.

    Args:
        processor: The model's processor.
        vocabulary: The cohort's vocabulary.
        model: What the message calls the model.

    Raises:
        SettingsError: Variables, units, diseases or their order differ, or the processor has no vocabulary.
    """
    processor.require_vocabulary(where=model).require_same(vocabulary, model, "the cohort")


def count_cut(processor: ClinRaGenProcessor, examples: Dataset, *, labs: bool) -> Cut:
    """How much of the notes a model reads; beside a series (`labs`) there is a little less room for them."""
    series = series_column(examples) if labs else [None] * len(examples)
    readings = [processor.reading(note, one) for note, one in zip(examples["note"], series, strict=True)]
    return Cut.of_counts((len(reading.ids), reading.total) for reading in readings)


def sizes_of(examples: Dataset) -> list[tuple[int, int]]:
    """The sizes that examples are ordered by before they are put into batches.

    Similar lengths together: less padding, and short answers need not wait for long ones.
    """
    return [
        (len(note), len(one["hours"])) for note, one in zip(examples["note"], series_column(examples), strict=True)
    ]
