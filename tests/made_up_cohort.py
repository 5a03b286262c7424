"""A made-up cohort for the evaluation, and what its claims are checked with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset

from clinragen.claims.check import Checking
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import Definitions, shipped_definitions, write_definitions
from dataset_builder.contract.schema import example_features
from dataset_builder.storage.files import write_json
from modeling_clinragen.vocabulary_clinragen import Vocabulary

ABOUT_NOTES = "The notes are structured text."
OPEN = {
    "source": "mimic-iv",
    "release": "synthetic",
    "title": "Synthetic hospital",
    "version": "1",
    "licence": {"id": "cc0-1.0", "name": "CC0"},
    "credentialed": False,
    "synthetic": True,
    "about_the_notes": ABOUT_NOTES,
    "fingerprint": "0",
}
SIZES = {"train": 24, "validation": 12, "test": 8}


def make_cohort(vocabulary: Vocabulary, **provenance: Any) -> CohortSplits:
    """Rows of the data contract with two diseases, of which one leaves a word in the note."""
    rng = np.random.default_rng(0)
    fills = np.array([variable.fill for variable in vocabulary.variables])

    def row(number: int) -> dict[str, Any]:
        labels = [0] * len(vocabulary.diseases)
        labels[number % 3] = 1
        labels[5] = number % 2
        values = fills * rng.normal(1.0, 0.2, size=(3, len(fills)))
        return {
            "example_id": f"made-up-{number}",
            "subject_id": number,
            "hadm_id": number,
            "stay_id": number,
            "source": "made-up",
            "note": f"Dyspnea. {'Fever and chills.' if number % 2 else 'No fever.'} Patient {number % 4} rests.",
            "note_policy": "structured",
            "lab_hours": [0.0, 5.0, 9.0],
            "lab_values": values.tolist(),
            "lab_observed": np.ones(values.shape, dtype=bool).tolist(),
            "lab_summary": "heart rate is normal all the time.",
            "labels": labels,
            "diagnoses": [disease.name for disease, label in zip(vocabulary.diseases, labels, strict=True) if label],
            "rationale_note": '"Dyspnea" was reported.',
            "rationale_lab": "Heart rate is normal.",
            "prediction_time": 48.0,
        }

    splits, first = {}, 0
    for name, size in SIZES.items():
        rows = [row(number) for number in range(first, first + size)]
        splits[name] = Dataset.from_list(rows, features=example_features(vocabulary))
        first += size
    return CohortSplits(splits, {**OPEN, **provenance}, vocabulary)


def write_cohort(folder: Path, cohort: CohortSplits) -> Path:
    """Write a cohort as a cohort folder has it, with the shipped definitions of what it has; returns the folder."""
    (folder / "data").mkdir(parents=True)
    for name, split in cohort.items():
        pq.write_table(split.data.table, folder / "data" / f"{name}.parquet")
    shipped, own = shipped_definitions(), cohort.vocabulary
    variables = {one.key: shipped.variables.get(one.key, {}) for one in own.variables}
    write_definitions(folder, Definitions(own, variables, shipped.diseases))
    write_json(folder / "provenance.json", cohort.provenance)
    return folder


def checking_of(vocabulary: Vocabulary, range_set: str = "clinical") -> Checking:
    return Checking(vocabulary, vocabulary.range_set(range_set), None)
