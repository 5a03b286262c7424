"""From a cohort split to the batches of a phase."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset

from dataset_builder.contract.arrays import series_column
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.modeling_clinragen import IGNORED, MULTIPLE
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.phases import Phase

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4


def check_split(examples: Dataset, vocabulary: Vocabulary) -> None:
    """Check that a cohort split can be in a vocabulary: the widths of its series and labels, and its diseases' names.

    The order of variables is not recorded in a split; `Vocabulary.require_same` compares it for a whole cohort.

    Args:
        examples: A cohort split; columns that it lacks are not checked.
        vocabulary: That of the model's processor.

    Raises:
        SettingsError: The split has another number of variables or diseases, or an unknown disease.
    """
    checked = (("lab_values", "variables", vocabulary.variable_keys), ("labels", "diseases", vocabulary.disease_names))
    for column, what, names in checked:
        width = _width(examples, column)
        if width is not None and width != len(names):
            raise SettingsError(
                f"the examples' {column} are of {width} {what} but the model has {len(names)}: {', '.join(names)}; "
                "use a model and data of one vocabulary"
            )
    unknown = sorted({name for names in examples["diagnoses"] for name in names} - set(vocabulary.disease_names))
    if unknown:
        raise SettingsError(
            f"the examples have the disease '{unknown[0]}', which is not in the model's vocabulary: "
            f"{', '.join(vocabulary.disease_names)}; use a model and data of one vocabulary"
        )


def _width(examples: Dataset, column: str) -> int | None:
    """Length of the innermost lists of a column; None where there is no such column, or its lists have any length."""
    if column not in examples.column_names:
        return None
    kind = examples.data.schema.field(column).type
    while pa.types.is_list(kind):
        kind = kind.value_type
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else None


class PhaseExamples(torch.utils.data.Dataset[dict[str, Any]]):
    """A cohort split as a phase reads it. Examples with a rejected rationale are excluded.

    Args:
        examples: A cohort split (see `dataset_builder.contract.schema`) with rationales.
        phase: What is read and which rationales are targets.
        processor: The model's processor.

    Raises:
        StageError: There are examples, but none has a rationale.
    """

    def __init__(self, examples: Dataset, phase: Phase, processor: ClinRaGenProcessor) -> None:
        columns = {name: list(examples[name]) for name in phase.rationales}
        complete = [all(texts) for texts in zip(*columns.values(), strict=True)]
        if complete and not any(complete):
            raise StageError(
                f"no example has a text in {' and in '.join(columns)}; run `clinragen rationales` first, and see its "
                "rationales.json if all were rejected"
            )
        if not all(complete):
            logger.info("%d of %d examples have no rationale and are excluded", complete.count(False), len(complete))
        notes = list(examples["note"])
        series = series_column(examples) if phase.reads_labs else None
        self.items: list[dict[str, Any]] = [
            {
                "note": notes[row] if phase.reads_note else "",
                "series": series[row] if series is not None else None,
                "target": processor.target(diagnoses, *(column[row] for column in columns.values())),
            }
            for row, diagnoses in enumerate(examples["diagnoses"])
            if complete[row]
        ]
        self.reads_labs = phase.reads_labs

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]

    def lengths(self, processor: ClinRaGenProcessor) -> list[int]:
        """Approximate number of positions of each example, to group examples of similar length."""
        patches = processor.feature_extractor.num_positions
        return [
            min(len(item["note"]) // CHARACTERS_PER_TOKEN, processor.max_source_tokens)
            + (0 if item["series"] is None else patches(len(item["series"]["hours"])))
            for item in self.items
        ]


class PhaseCollator:
    """Collates items of `PhaseExamples` to a padded batch. A phase that reads no labs gets no lab tensors.

    Args:
        processor: The model's processor.
        reads_labs: Whether batches have lab tensors.
        diagnosis_weight: Loss weight of a token in the list of diseases, relative to one of the rationale; the weights
            of an example have mean 1, so that losses stay comparable.
    """

    def __init__(self, processor: ClinRaGenProcessor, reads_labs: bool, diagnosis_weight: float = 1.0) -> None:
        self.processor = processor
        self.reads_labs = reads_labs
        self.diagnosis_weight = diagnosis_weight

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate; the batch has the keys of `ClinRaGenProcessor.__call__`, and `target_weights` where needed."""
        series = [item["series"] for item in items] if self.reads_labs else None
        targets = [item["target"] for item in items]
        # How many notes are cut is said once, before the first batch.
        batch = dict(self.processor([item["note"] for item in items], series, targets, warn=False))
        labels = batch["labels"]
        # Rounded up, so that few different lengths occur and kernels and memory are reused.
        batch["labels"] = torch.nn.functional.pad(labels, (0, -labels.shape[1] % MULTIPLE), value=IGNORED)
        if self.diagnosis_weight != 1.0:
            weights = torch.zeros(batch["labels"].shape)
            for row, target in enumerate(targets):
                listed = torch.tensor(self.processor.diagnosis_positions(target))
                weight = torch.where(listed, self.diagnosis_weight, 1.0)
                weights[row, : len(listed)] = weight / weight.mean()
            batch["target_weights"] = weights
        return batch
