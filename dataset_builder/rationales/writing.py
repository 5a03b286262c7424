"""The `rationales` stage: a built cohort in, the same cohort with both rationales filled out."""

from __future__ import annotations

import logging
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_builder.files import atomic_folder, file_digest, read_json, write_json
from dataset_builder.governance import PROVENANCE, carry_provenance, is_credentialed
from dataset_builder.rationales.teacher import Rationale, Teacher
from dataset_builder.schema import SPLITS, example_features
from dataset_builder.vocabulary import load_diseases
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

REPORT = "rationales.json"
# Rows in memory at a time: a thousand steps of 11 variables each stay far below 1 GB.
BATCH_ROWS = 128


def write_rationales(
    cohort: Path, output: Path, teacher: Teacher, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Fill `rationale_note` and `rationale_lab` of every example and write the result as a new cohort, atomically.

    Everything else in `cohort` is copied; `provenance.json` gets the key "rationales" and a step, and
    `rationales.json` is the report that is also returned. `on_progress` is called with the examples done and their
    total.
    Raises `InputDataError` when `cohort` is not a built cohort.
    """
    import pyarrow.parquet as pq

    cohort, output = Path(cohort), Path(output)
    if cohort.resolve() == output.resolve():
        raise InputDataError(f"{output}: is the cohort itself; choose another output folder")
    paths = {split: cohort / "data" / f"{split}.parquet" for split in SPLITS}
    for path in paths.values():
        _check(path, cohort)
    total = sum(pq.ParquetFile(path).metadata.num_rows for path in paths.values())
    provenance = read_json(cohort / PROVENANCE)
    counts = _Counts()
    with atomic_folder(output, private=is_credentialed(provenance)) as folder:
        for item in sorted(cohort.iterdir()):
            if item.name not in ("data", PROVENANCE):
                (shutil.copytree if item.is_dir() else shutil.copy2)(item, folder / item.name)
        (folder / "data").mkdir()
        for split, path in paths.items():
            _fill(path, folder / "data" / f"{split}.parquet", teacher, counts, on_progress, total)
        report = {"teacher": teacher.name, "settings": teacher.settings, **counts.report()}
        inputs = {f"data/{path.name}": file_digest(path) for path in paths.values()}
        made = {"teacher": teacher.name, "settings": teacher.settings, "inputs": inputs}
        carried = carry_provenance([provenance], "rationales", {"teacher": teacher.name})
        write_json(folder / PROVENANCE, {**carried, "rationales": made})
        write_json(folder / REPORT, report)
    logger.info("rationales: %d examples written by the %s teacher", counts.examples, teacher.name)
    return report


def _check(path: Path, cohort: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputDataError(f"{path}: is missing; {cohort} is not a built cohort, run `clinragen build` first")
    try:
        names = set(pq.ParquetFile(path).schema_arrow.names)
    except pa.ArrowInvalid as error:
        raise InputDataError(f"{path}: is not a readable parquet file; build the cohort again") from error
    odd = sorted(names ^ set(example_features()))
    if odd:
        raise InputDataError(f"{path}: columns differ from the contract ({', '.join(odd)}); build the cohort again")


def _fill(
    source: Path,
    target: Path,
    teacher: Teacher,
    counts: _Counts,
    on_progress: Callable[[int, int], None] | None,
    total: int,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(source)
    schema = reader.schema_arrow
    with pq.ParquetWriter(target, schema) as writer:
        for batch in reader.iter_batches(batch_size=BATCH_ROWS):
            rationales = []
            for example in batch.to_pylist():
                rationale = teacher.write(example)
                counts.add(example, rationale)
                rationales.append(rationale)
            filled = {
                "rationale_note": [item.note for item in rationales],
                "rationale_lab": [item.lab for item in rationales],
            }
            for name, texts in filled.items():
                position = schema.get_field_index(name)
                batch = batch.set_column(
                    position, schema.field(position), pa.array(texts, schema.field(position).type)
                )
            writer.write_batch(batch)
            if on_progress is not None:
                on_progress(counts.examples, total)


class _Counts:
    """Adds up what the report tells, without keeping any text."""

    def __init__(self) -> None:
        self.examples = 0
        self._diagnoses: Counter[str] = Counter()
        self._note: Counter[str] = Counter()
        self._lab: Counter[str] = Counter()
        self._none: Counter[str] = Counter()
        self._unknown = 0
        self._words: dict[str, Counter[int]] = {"note": Counter(), "lab": Counter()}
        self._keys = {disease.name: disease.key for disease in load_diseases()}

    def add(self, example: dict[str, Any], rationale: Rationale) -> None:
        self.examples += 1
        self._words["note"][len(rationale.note.split())] += 1
        self._words["lab"][len(rationale.lab.split())] += 1
        keys = [self._keys[name] for name in example["diagnoses"]]
        self._diagnoses.update(keys)
        if rationale.note_support is None or rationale.lab_support is None:
            self._unknown += 1
            return
        self._note.update(key for key in keys if key in rationale.note_support)
        self._lab.update(key for key in keys if key in rationale.lab_support)
        self._none.update(key for key in keys if key not in rationale.note_support | rationale.lab_support)

    def report(self) -> dict[str, Any]:
        """Counts of diagnoses with evidence in the note, in the labs and in neither, and words per rationale."""
        evidence = {
            key: {
                "diagnoses": self._diagnoses[key],
                "in_note": self._note[key],
                "in_labs": self._lab[key],
                "in_neither": self._none[key],
            }
            for key in self._keys.values()
        }
        return {
            "examples": self.examples,
            "examples_without_known_evidence": self._unknown,
            "evidence": evidence,
            "words": {part: _spread(lengths) for part, lengths in self._words.items()},
        }


def _spread(lengths: Counter[int]) -> dict[str, float]:
    values = sorted(lengths.elements())
    if not values:
        return {"median": 0.0, "p95": 0.0, "max": 0.0}
    at_95 = values[min(len(values) - 1, int(0.95 * len(values)))]
    return {"median": float(statistics.median(values)), "p95": float(at_95), "max": float(values[-1])}
