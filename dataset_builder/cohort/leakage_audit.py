"""The leakage audit of every build: counts of what a model could know that it should not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.schema import SPLITS


def _name_patterns(definitions: Definitions) -> list[re.Pattern[str]]:
    """Patterns of each disease's names and abbreviations in a note in lower case, as whole words.

    They are the disease's curated names with their spellings, not its findings or drugs. A disease without any has its
    own name alone; one such as "Pleurisy; pneumothorax; pulmonary collapse" is three names.
    """
    patterns = []
    for disease in definitions.vocabulary.diseases:
        own = re.sub(r"\(.*?\)", "", disease.name)
        curated = [term for term in definitions.diseases[disease.key].get("terms", ()) if term["kind"] == "name"]
        names = [disease.name, own]
        if curated:
            names += [surface for term in curated for surface in (term["term"], *term.get("spellings", ()))]
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

    definitions: Definitions
    examples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    _splits_of_subject: dict[int, set[str]] = field(default_factory=dict)
    _splits_of_note: dict[str, set[str]] = field(default_factory=dict)
    _positives: np.ndarray | None = None
    _named: int = 0
    _patterns: list[re.Pattern[str]] = field(init=False)
    _late: int = 0

    def __post_init__(self) -> None:
        self._patterns = _name_patterns(self.definitions)

    def add(self, split: str, examples: pa.Table) -> None:
        """Look at a part of a split, a table of the data contract."""
        notes = examples["note"].to_pylist()
        self.examples[split] += len(notes)
        labels = np.array(examples["labels"].to_pylist(), dtype=np.int8).reshape(len(notes), len(self._patterns))
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

        A label is named when its note has a name of its disease, whatever is said of it. That is not an error: the
        admission and structured policies show on purpose what was known on arrival, chronic diseases above all.
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
        diseases = self.definitions.vocabulary.diseases
        counts = np.zeros(len(diseases), int) if self._positives is None else self._positives
        return {disease.key: int(count) for disease, count in zip(diseases, counts, strict=True)}
