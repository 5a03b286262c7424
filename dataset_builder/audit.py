"""The leakage audit of every build: what a model could know that it should not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from dataset_builder.schema import SPLITS
from dataset_builder.vocabulary import Disease


def _name_parts(disease: Disease) -> list[str]:
    """A disease's name as a note would write it: "Pleurisy; pneumothorax; pulmonary collapse" is three names."""
    return [part.strip().lower() for part in re.sub(r"\(.*?\)", "", disease.name).split(";") if part.strip()]


@dataclass
class LeakageAudit:
    """Collects counts over the finished examples, part by part; `examples` is their number by split."""

    diseases: tuple[Disease, ...]
    examples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    _splits_of_subject: dict[int, set[str]] = field(default_factory=dict)
    _splits_of_note: dict[str, set[str]] = field(default_factory=dict)
    _positives: np.ndarray | None = None
    _named: int = 0
    _late: int = 0

    def add(self, split: str, examples: pa.Table) -> None:
        """Look at a part of a split, a table of the data contract."""
        notes = examples["note"].to_pylist()
        self.examples[split] += len(notes)
        labels = np.array(examples["labels"].to_pylist(), dtype=np.int8).reshape(len(notes), len(self.diseases))
        self._positives = labels.sum(axis=0) + (0 if self._positives is None else self._positives)
        parts = [_name_parts(disease) for disease in self.diseases]
        for subject, note, label in zip(examples["subject_id"].to_pylist(), notes, labels, strict=True):
            self._splits_of_subject.setdefault(subject, set()).add(split)
            if note:
                digest = hashlib.sha256(note.encode()).hexdigest()
                self._splits_of_note.setdefault(digest, set()).add(split)
            text = note.lower()
            for number in np.flatnonzero(label):
                self._named += any(part in text for part in parts[number])
        hours = examples["lab_hours"].combine_chunks()
        latest = np.repeat(examples["prediction_time"].to_numpy(), np.diff(hours.offsets.to_numpy()))
        self._late += int((hours.flatten().to_numpy() > latest).sum())

    def result(self) -> Mapping[str, int]:
        """The counts. All but the last two should be 0; those say how much of the answer the notes spell out."""
        return {
            "patients_in_several_splits": sum(len(splits) > 1 for splits in self._splits_of_subject.values()),
            "notes_identical_across_splits": sum(len(splits) > 1 for splits in self._splits_of_note.values()),
            "measurements_after_prediction_time": self._late,
            "labels_named_in_their_note": self._named,
            "labels": sum(self.positives().values()),
        }

    def positives(self) -> dict[str, int]:
        """How many examples have each disease, by disease key."""
        counts = np.zeros(len(self.diseases), int) if self._positives is None else self._positives
        return {disease.key: int(count) for disease, count in zip(self.diseases, counts, strict=True)}
