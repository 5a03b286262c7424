"""The data contract: one row per example (one ICU stay of one admission).

The builder writes these columns, the teacher fills the two rationales, the trainers and the evaluation read them.

- `example_id`        text, unique: "<source>-<stay_id>"
- `subject_id`, `hadm_id`, `stay_id`  the source's own identifiers; splits are made by `subject_id`
- `source`            e.g. "mimic-iv"
- `note`, `note_policy`  the model's text input and how it was made ("admission", "structured"); "" is valid
- `lab_hours`         (steps,) hours since ICU admission, rising
- `lab_values`        (steps, variables) in the variables' own units; null exactly where `lab_observed` is false
- `lab_observed`      (steps, variables) whether the value was measured at that time
- `lab_summary`       anomalies in words (the paper's A, section 3.1); "" when nothing was measured
- `labels`            (diseases,) 0/1 in the order of the vocabulary; null where the source cannot say (no codes)
- `diagnoses`         the names of the labels that are 1, same order
- `rationale_note`, `rationale_lab`  the teacher's R_m and R_t; "" until the rationale stage
- `prediction_time`   hours since ICU admission; no later measurement is in the example
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder.contract.definitions import FILE, read_vocabulary
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

    from dataset_builder.contract.cohort_splits import CohortSplits

SPLITS = ("train", "validation", "test")
COHORT_FORMAT = 2
"""Of a cohort folder: provenance.json, vocabulary.json and data/*.parquet."""


def example_schema(vocabulary: Vocabulary) -> pa.Schema:
    """The Arrow schema of an example, whose widths are those of the vocabulary."""
    import pyarrow as pa

    width = len(vocabulary.variables)
    text, number, float32 = pa.string(), pa.int64(), pa.float32()
    return pa.schema(
        {
            "example_id": text,
            "subject_id": number,
            "hadm_id": number,
            "stay_id": number,
            "source": text,
            "note": text,
            "note_policy": text,
            "lab_hours": pa.list_(float32),
            "lab_values": pa.list_(pa.list_(float32, width)),
            "lab_observed": pa.list_(pa.list_(pa.bool_(), width)),
            "lab_summary": text,
            "labels": pa.list_(pa.int8(), len(vocabulary.diseases)),
            "diagnoses": pa.list_(text),
            "rationale_note": text,
            "rationale_lab": text,
            "prediction_time": float32,
        }
    )


def example_features(vocabulary: Vocabulary) -> Features:
    """The `datasets.Features` of an example."""
    from datasets import Features

    return Features.from_arrow_schema(example_schema(vocabulary))


def split_files(cohort: Path) -> dict[str, Path]:
    """The parquet file of every split of a built cohort folder. Raises `InputDataError` naming one that is missing."""
    paths = {split: cohort / "data" / f"{split}.parquet" for split in SPLITS}
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        raise InputDataError(f"{missing[0]}: is missing; {cohort} is not a built cohort, run `clinragen build` first")
    return paths


def load_examples(folder: Path) -> CohortSplits:
    """Read a built cohort folder (parquet per split). Raises `InputDataError` naming what is missing or different."""
    from datasets import Dataset
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    from dataset_builder.contract.cohort_splits import CohortSplits

    folder = Path(folder)
    paths = split_files(folder)
    provenance = read_provenance(folder)
    # Without a format it is no record of a build, and counts as one of unknown origin.
    if provenance.get("format", COHORT_FORMAT) != COHORT_FORMAT:
        raise InputDataError(
            f"{folder}: has cohort format {provenance['format']}, this version reads {COHORT_FORMAT}; run `clinragen "
            "build` (and `clinragen rationales`) again"
        )
    vocabulary = read_vocabulary(folder)
    expected = example_features(vocabulary)
    splits = {}
    for split, path in paths.items():
        # Not load_dataset: it would copy the patients into a cache outside this folder.
        try:
            table = Dataset(read_table(path))
        except (ArrowException, OSError) as error:
            raise InputDataError(f"{path}: is not a readable parquet file; build the cohort again") from error
        if set(table.column_names) != set(expected):
            odd = sorted(set(table.column_names) ^ set(expected))
            raise InputDataError(f"{path}: breaks the contract ({', '.join(odd)}); build the cohort again")
        if table.features != expected:
            try:
                table = table.cast(expected)
            except (TypeError, ValueError, ArrowException) as error:
                raise InputDataError(
                    f"{path}: has columns of another type or width than {folder / FILE} says; build the cohort again"
                ) from error
        splits[split] = table
    return CohortSplits(splits, provenance, vocabulary)
