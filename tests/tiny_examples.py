"""A few random examples with rationales in any vocabulary: enough of a cohort for training, in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import SPLITS, example_schema
from modeling_clinragen.vocabulary_clinragen import Vocabulary

OPEN: dict[str, Any] = {
    "source": "tiny",
    "title": "Tiny examples",
    "version": "1",
    "licence": {"id": "apache-2.0", "name": "Apache License 2.0"},
    "credentialed": False,
}
_SUBJECTS = ("The patient", "Mr. A", "Mrs. B", "This man", "This woman", "She", "He")
_VERBS = ("presents with", "complains of", "denies", "has a history of", "was admitted for", "reports", "developed")
_FINDINGS = (
    *("dyspnea on exertion", "productive cough", "fever and chills", "chest pain radiating to the left arm"),
    *("maroon stools", "palpitations", "leg swelling", "confusion since the morning", "flank pain", "jaundice"),
    *("hypotension after dialysis", "polyuria and thirst", "a fall at home", "weight loss", "vomiting of blood"),
)
_ENDINGS = ("for three days", "since last week", "without relief", "as before", "on arrival", "after the operation")


def tiny_splits(
    vocabulary: Vocabulary, examples: int = 16, *, seed: int = 0, provenance: dict[str, Any] | None = None
) -> CohortSplits:
    """Splits with `examples` rows each, half of whose measurements are missing."""
    rng = np.random.default_rng(seed)
    schema = example_schema(vocabulary)
    splits = {}
    for offset, split in enumerate(SPLITS):
        rows = [_row(vocabulary, 1000 * offset + number, rng) for number in range(examples)]
        splits[split] = Dataset(pa.Table.from_pylist(rows, schema=schema))
    return CohortSplits(splits, OPEN if provenance is None else provenance, vocabulary)


def _row(vocabulary: Vocabulary, number: int, rng: np.random.Generator) -> dict[str, Any]:
    steps = int(rng.integers(2, 40))
    fills = np.array([variable.fill for variable in vocabulary.variables])
    observed = rng.random((steps, len(fills))) < 0.5
    values = fills * rng.normal(1.0, 0.1, size=observed.shape)
    chosen = sorted(rng.choice(len(vocabulary.diseases), size=int(rng.integers(0, 4)), replace=False))
    diagnoses = [vocabulary.disease_names[index] for index in chosen]
    findings = [_pick(_FINDINGS, rng) for _ in range(int(rng.integers(2, 7)))]
    note = " ".join(f"{_pick(_SUBJECTS, rng)} {_pick(_VERBS, rng)} {one}, {_pick(_ENDINGS, rng)}." for one in findings)
    variable = vocabulary.variables[int(rng.integers(len(fills)))]
    return {
        "example_id": f"tiny-{number}",
        "subject_id": number,
        "hadm_id": number,
        "stay_id": number,
        "source": "tiny",
        "note": f"Chief complaint: {findings[0]}.\n{note}",
        "note_policy": "admission",
        "lab_hours": np.sort(rng.uniform(0, 48, steps)).tolist(),
        "lab_values": [
            [float(value) if seen else None for value, seen in zip(*row, strict=True)]
            for row in zip(values, observed, strict=True)
        ],
        "lab_observed": observed.tolist(),
        "lab_summary": f"{variable.name} is normal all the time",
        "labels": [int(index in chosen) for index in range(len(vocabulary.diseases))],
        "diagnoses": diagnoses,
        "rationale_note": f'"{findings[0]}" supports {diagnoses[0] if diagnoses else "no disease"}.',
        "rationale_lab": f"{variable.name} is high from hour {int(rng.integers(48))}, peaking near {steps}.",
        "prediction_time": 48.0,
    }


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
