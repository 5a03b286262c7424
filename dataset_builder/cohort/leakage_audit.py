"""The leakage audit of every build: counts of what a model could know that it should not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np
import pyarrow as pa

from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import read_yaml

RESOURCES = files("dataset_builder.cohort") / "resources"

_NUMBER = re.escape("#")
_DIGITS = r"\d{1,2}"

LATER_WORDS = "notes_with_words_of_"
"""The begin of the counts of notes that speak of what came after the admission; a kind of such words ends it."""


def later_words() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """The words that are used of what came after an admission, by kind (see later_words.yaml).

    Each with the letters it begins with, which are looked for first, and its pattern in a note in lower case.
    """
    return {
        kind: [
            (
                phrase.partition("#")[0].strip(),
                re.compile(rf"(?<!\w){re.escape(phrase).replace(_NUMBER, _DIGITS)}(?!\w)"),
            )
            for phrase in phrases
        ]
        for kind, phrases in read_yaml(RESOURCES / "later_words.yaml").items()
    }


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
    _later_words: dict[str, list[tuple[str, re.Pattern[str]]]] = field(default_factory=later_words)
    _notes_with: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._patterns = _name_patterns(self.definitions)
        self._notes_with = dict.fromkeys(self._later_words, 0)

    def add(self, split: str, examples: pa.Table) -> None:
        """Look at a part of a split, a table of the data contract."""
        notes = examples["note"].to_pylist()
        self.examples[split] += len(notes)
        # What is unknown is no positive.
        flat = examples["labels"].combine_chunks().flatten().fill_null(0)
        labels = flat.to_numpy(zero_copy_only=False).reshape(len(notes), len(self._patterns))
        self._positives = labels.sum(axis=0) + (0 if self._positives is None else self._positives)
        for subject, note, label in zip(examples["subject_id"].to_pylist(), notes, labels, strict=True):
            self._splits_of_subject.setdefault(subject, set()).add(split)
            if note:
                digest = hashlib.sha256(note.encode()).hexdigest()
                self._splits_of_note.setdefault(digest, set()).add(split)
            text = note.lower()
            in_one_line = " ".join(text.split())
            for kind, words in self._later_words.items():
                self._notes_with[kind] += any(
                    begin in in_one_line and pattern.search(in_one_line) for begin, pattern in words
                )
            for number in np.flatnonzero(label):
                self._named += self._patterns[number].search(text) is not None
        hours = examples["lab_hours"].combine_chunks()
        latest = np.repeat(examples["prediction_time"].to_numpy(), np.diff(hours.offsets.to_numpy()))
        self._late += int((hours.flatten().to_numpy() > latest).sum())

    def result(self) -> Mapping[str, int]:
        """The counts. The first three should be 0; the others say how much of the answer the notes spell out.

        The notes with words of the discharge, of a hospital day and so on are counted by kind, once each. Under the
        admission policy most of them tell of an earlier stay; a kind that many notes have is a layout that is not
        understood.

        A label is named when its note has a name of its disease, whatever is said of it. That is not an error: the
        admission and structured policies show on purpose what was known on arrival, chronic diseases above all.
        """
        return {
            "patients_in_several_splits": sum(len(splits) > 1 for splits in self._splits_of_subject.values()),
            "notes_identical_across_splits": sum(len(splits) > 1 for splits in self._splits_of_note.values()),
            "measurements_after_prediction_time": self._late,
            "labels_named_in_their_note": self._named,
            "labels": sum(self.positives().values()),
            **{f"{LATER_WORDS}{kind}": count for kind, count in self._notes_with.items()},
        }

    def positives(self) -> dict[str, int]:
        """How many examples have each disease, by disease key."""
        diseases = self.definitions.vocabulary.diseases
        counts = np.zeros(len(diseases), int) if self._positives is None else self._positives
        return {disease.key: int(count) for disease, count in zip(diseases, counts, strict=True)}
