"""What a phase reads from the cohort, and how a batch of it becomes tensors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset

from dataset_builder.contract.arrays import series_column
from modeling_clinragen.errors import StageError
from modeling_clinragen.modeling_clinragen import IGNORED, MULTIPLE
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class View:
    """One way of showing an example to the model: what is read, and which rationales are to be written."""

    note: bool
    labs: bool
    rationales: tuple[str, ...]


NOTE_VIEW = View(note=True, labs=False, rationales=("rationale_note",))
LAB_VIEW = View(note=False, labs=True, rationales=("rationale_lab",))
MULTIMODAL_VIEW = View(note=True, labs=True, rationales=("rationale_note", "rationale_lab"))


class PhaseExamples(torch.utils.data.Dataset[dict[str, Any]]):
    """A cohort split as a phase sees it: every example once per view; left out where its rationale was rejected.

    Raises:
        StageError: There are examples, but none has a rationale.
    """

    def __init__(self, examples: Dataset, views: Sequence[View], processor: ClinRaGenProcessor) -> None:
        columns = {name: list(examples[name]) for view in views for name in view.rationales}
        taught = [all(texts) for texts in zip(*columns.values(), strict=True)]
        if taught and not any(taught):
            raise StageError(
                f"{' and '.join(columns)} are empty for all examples; run `clinragen rationales` first, and see its "
                "rationales.json if all were rejected"
            )
        if not all(taught):
            logger.info("%d of %d examples have no rationale and are left out", taught.count(False), len(taught))
        notes = list(examples["note"])
        series = series_column(examples) if any(view.labs for view in views) else None
        self.items: list[dict[str, Any]] = []
        for row, diagnoses in enumerate(examples["diagnoses"]):
            for view in views if taught[row] else ():
                item = {
                    "note": notes[row] if view.note else "",
                    "series": series[row] if series is not None and view.labs else None,
                }
                item["target"] = processor.target(diagnoses, *(columns[name][row] for name in view.rationales))
                self.items.append(item)
        self.reads_labs = series is not None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]

    def lengths(self, processor: ClinRaGenProcessor) -> list[int]:
        """About how many positions each example takes: enough to put examples of like length together."""
        patches = processor.feature_extractor.num_positions
        return [
            min(len(item["note"]) // CHARACTERS_PER_TOKEN, processor.max_source_tokens)
            + (0 if item["series"] is None else patches(len(item["series"]["hours"])))
            for item in self.items
        ]


class PhaseCollator:
    """Turns items of `PhaseExamples` into a padded batch. A phase that reads no labs gets no lab tensors.

    `diagnosis_weight` is how much a token of the disease list counts in the loss, compared with one of the rationale;
    within an example the weights have mean 1, so that losses stay comparable.
    """

    def __init__(self, processor: ClinRaGenProcessor, reads_labs: bool, diagnosis_weight: float = 1.0) -> None:
        self.processor = processor
        self.reads_labs = reads_labs
        self.diagnosis_weight = diagnosis_weight

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate; the batch has the keys of `ClinRaGenProcessor.__call__`, and `target_weights` where needed."""
        series = [item["series"] for item in items] if self.reads_labs else None
        targets = [item["target"] for item in items]
        batch = dict(self.processor([item["note"] for item in items], series, targets))
        labels = batch["labels"]
        # A few lengths instead of one for every batch: kernels and memory are reused.
        batch["labels"] = torch.nn.functional.pad(labels, (0, -labels.shape[1] % MULTIPLE), value=IGNORED)
        if self.diagnosis_weight != 1.0:
            weights = torch.zeros(batch["labels"].shape)
            for row, target in enumerate(targets):
                listed = torch.tensor(self.processor.diagnosis_positions(target))
                weight = torch.where(listed, self.diagnosis_weight, 1.0)
                weights[row, : len(listed)] = weight / weight.mean()
            batch["target_weights"] = weights
        return batch
