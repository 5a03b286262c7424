"""The leakage audit of every build: what a model could know that it should not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from clinragen.knowledge import load_knowledge
from dataset_builder.contract.schema import SPLITS
from dataset_builder.contract.vocabulary import Disease, vocabulary_of


def _name_patterns(diseases: tuple[Disease, ...]) -> list[re.Pattern[str]]:
    """What names each disease in a note in lower case: its names and their abbreviations, as whole words.

    They are the names in the shipped knowledge, not its findings or drugs. A disease that it does not know has its own
    name alone; one such as "Pleurisy; pneumothorax; pulmonary collapse" is three names.
    """
    with vocabulary_of(None):
        known = {entry.key: entry for entry in load_knowledge().diseases}
    patterns = []
    for disease in diseases:
        own = re.sub(r"\(.*?\)", "", disease.name)
        names = [disease.name, own]
        if disease.key in known:
            terms = [term for term in known[disease.key].terms if term.kind == "name"]
            names += [surface for term in terms for surface in term.surfaces]
        else:
            names += own.split(";")
        # A name may be broken by the end of a line, or written with hyphens.
        words = sorted({tuple(re.split(r"[\s-]+", name.strip().lower())) for name in names if name.strip()})
        spelled = [r"[\s-]+".join(map(re.escape, name)) for name in words]
        patterns.append(re.compile(rf"(?<!\w)(?:{'|'.join(spelled)})s?(?!\w)"))
    return patterns


@dataclass
class LeakageAudit:
    """Collects counts over the finished examples, part by part; `examples` is their number by split."""

    diseases: tuple[Disease, ...]
    examples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    _splits_of_subject: dict[int, set[str]] = field(default_factory=dict)
    _splits_of_note: dict[str, set[str]] = field(default_factory=dict)
    _positives: np.ndarray | None = None
    _named: int = 0
    _patterns: list[re.Pattern[str]] = field(init=False)
    _late: int = 0

    def __post_init__(self) -> None:
        self._patterns = _name_patterns(self.diseases)

    def add(self, split: str, examples: pa.Table) -> None:
        """Look at a part of a split, a table of the data contract."""
        notes = examples["note"].to_pylist()
        self.examples[split] += len(notes)
        labels = np.array(examples["labels"].to_pylist(), dtype=np.int8).reshape(len(notes), len(self.diseases))
        self._positives = labels.sum(axis=0) + (0 if self._positives is None else self._positives)
        for subject, note, label in zip(examples["subject_id"].to_pylist(), notes, labels, strict=True):
            self._splits_of_subject.setdefault(subject, set()).add(split)
            if note:
                digest = hashlib.sha256(note.encode()).hexdigest()
                self._splits_of_note.setdefault(digest, set()).add(split)
            text = note.lower()
            for number in np.flatnonzero(label):
                self._named += self._patterns[number].search(text) is not None
        hours = examples["lab_hours"].combine_chunks()
        latest = np.repeat(examples["prediction_time"].to_numpy(), np.diff(hours.offsets.to_numpy()))
        self._late += int((hours.flatten().to_numpy() > latest).sum())

    def result(self) -> Mapping[str, int]:
        """The counts. All but the last two should be 0; those say how much of the answer the notes spell out.

        A label is named when its note has a name of its disease, whatever is said of it. That is no error: what was
        known on arrival, chronic diseases above all, is what the admission and structured policies tell on purpose.
        """
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
