"""Generates texts for held-out examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset

from clinragen.evaluation.config import EvaluateConfig
from dataset_builder.contract.arrays import series_column
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.diagnosing_clinragen import write_targets
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


@torch.inference_mode()
def generate_texts(
    model: Any,
    processor: ClinRaGenProcessor,
    examples: Dataset,
    vocabulary: Vocabulary,
    *,
    note: bool = True,
    labs: bool = True,
    config: EvaluateConfig | None = None,
    report: Report = no_report,
) -> list[str]:
    """Generate one text per example, deterministically.

    Args:
        model, processor: A ClinRaGen model and its processor, however they were loaded.
        examples: Rows of the data contract.
        vocabulary: Whose variables, in order, the columns of their series are.
        note, labs: Which modalities the model is shown.
        config: Batch size and beams.
        report: Called with the number of examples finished.

    Raises:
        SettingsError: The model's vocabulary is another one; nothing has been generated then.
    """
    require_vocabulary(processor, vocabulary)
    config = config if config is not None else EvaluateConfig()
    model.eval()
    notes = list(examples["note"])
    series = series_column(examples)
    sizes = sizes_of(examples)
    order = sorted(range(len(notes)), key=sizes.__getitem__)
    texts = [""] * len(notes)
    for start in range(0, len(order), config.batch_size):
        rows = order[start : start + config.batch_size]
        # The metrics count what is cut.
        written = write_targets(
            model,
            processor,
            [(notes[row] if note else None, series[row] if labs else None) for row in rows],
            do_sample=False,
            num_beams=config.num_beams,
        )
        for row, text in zip(rows, written, strict=True):
            texts[row] = text
        report(Progress(start + len(rows), len(order), "examples"))
    return texts
