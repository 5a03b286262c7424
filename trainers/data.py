"""What a phase reads from the cohort, and how a batch of it becomes tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers.trainer_pt_utils import get_length_grouped_indices

from dataset_builder.columns import series_column
from modeling_clinragen.errors import StageError
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor


@dataclass(frozen=True)
class View:
    """One way of showing an example to the model: what is read, and which rationales are to be written."""

    note: bool
    labs: bool
    rationales: tuple[str, ...]
    lab_text: bool = False


NOTE_VIEW = View(note=True, labs=False, rationales=("rationale_note",))
LAB_VIEW = View(note=False, labs=True, rationales=("rationale_lab",))
MULTIMODAL_VIEW = View(note=True, labs=True, rationales=("rationale_note", "rationale_lab"))
# The lab modality as words (the paper's A): what a language model that never saw lab vectors can be taught with.
LAB_TEXT_VIEW = View(note=False, labs=False, rationales=("rationale_lab",), lab_text=True)
MULTIMODAL_TEXT_VIEW = View(note=True, labs=False, rationales=("rationale_note", "rationale_lab"), lab_text=True)


class PhaseExamples(torch.utils.data.Dataset[dict[str, Any]]):
    """A cohort split as a phase sees it: every example once per view.

    Raises:
        StageError: An example has no rationale yet.
    """

    def __init__(self, examples: Dataset, views: Sequence[View], processor: ClinRaGenProcessor) -> None:
        columns = {name: list(examples[name]) for view in views for name in view.rationales}
        for name, texts in columns.items():
            if not all(texts):
                raise StageError(f"the column '{name}' is empty for some examples; run `clinragen rationales` first")
        notes = list(examples["note"])
        series = series_column(examples) if any(view.labs for view in views) else None
        summaries = list(examples["lab_summary"]) if any(view.lab_text for view in views) else []
        self.items: list[dict[str, Any]] = []
        for row, diagnoses in enumerate(examples["diagnoses"]):
            for view in views:
                text = notes[row] if view.note else ""
                if view.lab_text:
                    text = f"{text} {processor.lab_marker} {summaries[row]}".strip()
                item = {"note": text, "series": series[row] if series is not None and view.labs else None}
                item["target"] = processor.target(diagnoses, *(columns[name][row] for name in view.rationales))
                self.items.append(item)
        self.reads_labs = series is not None
        # Characters stand for tokens: good enough to put examples of a length together.
        self.lengths = [len(item["note"]) + 2 * len(item["target"]) for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]


class LengthGroups(torch.utils.data.Sampler[int]):
    """Random order in which neighbours are of similar length: in a random batch, half the positions are padding.

    The order of an epoch depends on seed and epoch only, so that a resumed run meets the batches of a straight one.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class PhaseCollator:
    """Turns items of `PhaseExamples` into a padded batch. A phase that reads no labs gets no lab tensors at all."""

    def __init__(self, processor: ClinRaGenProcessor, reads_labs: bool) -> None:
        self.processor = processor
        self.reads_labs = reads_labs

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate; the batch has the keys of `ClinRaGenProcessor.__call__`."""
        series = [item["series"] for item in items] if self.reads_labs else None
        targets = [item["target"] for item in items]
        return dict(self.processor([item["note"] for item in items], series, targets))
