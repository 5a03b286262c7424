"""The `rationales` stage: a built cohort in, the same cohort with the rationales that may be distilled out."""

from __future__ import annotations

import logging
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import load_diseases

from clinragen.teachers.distill import BATCH_ROWS, Progress, cohort_files, teach
from clinragen.teachers.teacher import REJECTED, Judge, Rationale, Teacher, V
from dataset_builder.storage.files import atomic_folder, file_digest, read_json, write_json
from dataset_builder.storage.governance import ORIGIN, PROVENANCE, carry_provenance, is_credentialed, read_provenance
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

REPORT = "rationales.json"


async def write_rationales(
    cohort: Path,
    output: Path,
    teacher: Teacher,
    judge: Judge[V],
    *,
    knowledge: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Fill `rationale_note` and `rationale_lab` of every example and write the result as a new cohort, atomically.

    An example whose rationale `judge` rejects, also after the teacher's repair, keeps both empty: no phase learns from
    it. Everything else in `cohort` is copied; `provenance.json` gets the key "rationales" and a step, with who was
    asked, and `rationales.json` is the report that is also returned. `knowledge` is the folder of the teacher's
    knowledge base, None for the shipped one: what that comes from, the rationales come from too.

    Raises `InputDataError` when `cohort` is not a built cohort, or becomes another one meanwhile.
    """
    cohort, output = Path(cohort), Path(output)
    if cohort.resolve() == output.resolve():
        raise InputDataError(f"{output}: is the cohort itself; choose another output folder")
    paths = cohort_files(cohort)
    provenance = read_json(cohort / PROVENANCE)
    parents = [provenance, *([] if knowledge is None else [read_provenance(knowledge)])]
    inputs = _digests(paths)
    taught = await teach(cohort, teacher, judge, on_progress=on_progress)
    if _digests(paths) != inputs:
        raise InputDataError(f"{cohort}: has changed while its rationales were written; run again")
    counts = _Counts()
    with atomic_folder(output, private=any(map(is_credentialed, parents))) as folder:
        for item in sorted(cohort.iterdir()):
            if item.name not in ("data", PROVENANCE):
                (shutil.copytree if item.is_dir() else shutil.copy2)(item, folder / item.name)
        (folder / "data").mkdir()
        for path in paths.values():
            _fill(path, folder / "data" / path.name, taught, counts)
        made_by = {"teacher": teacher.name, "settings": teacher.settings}
        report = {**made_by, **counts.report(), "filter": judge.report(), "usage": dict(teacher.usage)}
        step = {"teacher": teacher.name, "services": [dict(service) for service in teacher.services]}
        carried = carry_provenance(parents, "rationales", step)
        # Beside origins and steps it is the cohort's, also where the base is of credentialed data and the cohort not.
        own = {key: value for key, value in provenance.items() if key not in (*ORIGIN, "origins", "steps")}
        write_json(folder / PROVENANCE, {**carried, **own, "rationales": {**made_by, "inputs": inputs}})
        write_json(folder / REPORT, report)
    logger.info("rationales: %d of %d examples by the %s teacher", counts.kept, counts.examples, teacher.name)
    return report


def _digests(paths: Mapping[str, Path]) -> dict[str, str]:
    return {f"data/{path.name}": file_digest(path) for path in paths.values()}


def _fill(source: Path, target: Path, taught: Mapping[str, Rationale], counts: _Counts) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(source)
    schema = reader.schema_arrow
    with pq.ParquetWriter(target, schema) as writer:
        for batch in reader.iter_batches(batch_size=BATCH_ROWS):
            rationales = [taught[name] for name in batch["example_id"].to_pylist()]
            for diagnoses, rationale in zip(batch["diagnoses"].to_pylist(), rationales, strict=True):
                counts.add(diagnoses, rationale)
            filled = {
                "rationale_note": [item.note for item in rationales],
                "rationale_lab": [item.lab for item in rationales],
            }
            for name, texts in filled.items():
                position = schema.get_field_index(name)
                column = pa.array(texts, schema.field(position).type)
                batch = batch.set_column(position, schema.field(position), column)
            writer.write_batch(batch)


class _Counts:
    """Adds up what the report tells, without keeping any text."""

    def __init__(self) -> None:
        self.examples = self.kept = 0
        self._diagnoses: Counter[str] = Counter()
        self._note: Counter[str] = Counter()
        self._lab: Counter[str] = Counter()
        self._none: Counter[str] = Counter()
        self._unknown = 0
        self._words: dict[str, Counter[int]] = {"note": Counter(), "lab": Counter()}
        self._keys = {disease.name: disease.key for disease in load_diseases()}

    def add(self, diagnoses: Sequence[str], rationale: Rationale) -> None:
        self.examples += 1
        if rationale is REJECTED:
            return
        self.kept += 1
        self._words["note"][len(rationale.note.split())] += 1
        self._words["lab"][len(rationale.lab.split())] += 1
        keys = [self._keys[name] for name in diagnoses]
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
            "kept": self.kept,
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
