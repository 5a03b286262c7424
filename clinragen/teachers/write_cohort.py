"""Fills the rationales of a built cohort: a cohort in, the same cohort with its rationales out."""

from __future__ import annotations

import logging
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.claims.rationale import Rationale
from clinragen.teachers.distill import BATCH_ROWS, cohort_files, distill
from clinragen.teachers.teacher import REJECTED, Judge, Teacher, V
from dataset_builder.contract.cohort_splits import range_set_of
from dataset_builder.contract.definitions import read_definitions, write_definitions
from dataset_builder.contract.groups import GROUPS
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import file_digest, make_private, private_folder, read_json, write_json
from dataset_builder.storage.governance import ORIGIN, PROVENANCE, carry_provenance, is_credentialed, read_provenance
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

logger = logging.getLogger(__name__)

REPORT = "rationales.json"
# Of a cohort, everything else is written anew.
CARD = "README.md"


async def fill_rationales(
    cohort: Path,
    folder: Path,
    teacher: Teacher,
    judge: Judge[V],
    *,
    knowledge: Path | None = None,
    filtering: bool = True,
    report: Report = no_report,
) -> dict[str, Any]:
    """Fill `folder` with the cohort and the rationales of its examples.

    An example whose rationale is rejected, also after the teacher's repair, keeps `rationale_note` and `rationale_lab`
    empty: no phase learns from it. Where the judge's range set is not the cohort's, `lab_summary` is written anew with
    it, so that summary and rationales never disagree. All other columns, the vocabulary, the patients' groups and the
    card are the cohort's.
    `provenance.json` gets the key "rationales" and a step that names teacher, range set and services;
    `rationales.json` is the report that is also returned. With anything from credentialed data only the owner can open
    the folder.

    Nothing is written before all rationales are there. The folder is not atomic by itself: a stage makes it so.

    Args:
        cohort: Folder of the cohort.
        folder: Existing folder to fill.
        teacher: Writes the rationales.
        judge: Decides which of them may be distilled; its range set is recorded as that of the rationales.
        knowledge: Folder of the teacher's knowledge base, whose sources become sources of the rationales; None for the
            shipped one.
        filtering: Whether the judge decides; without, every rationale is kept as the teacher first wrote it.
        report: Called after every example.

    Raises:
        InputDataError: `cohort` is not a built cohort, changes meanwhile, or is `folder`.
    """
    cohort, folder = Path(cohort), Path(folder)
    if cohort.resolve() == folder.resolve():
        raise InputDataError(f"{folder}: is the cohort itself; choose another output folder")
    paths = cohort_files(cohort)
    definitions = read_definitions(cohort)
    provenance = read_json(cohort / PROVENANCE)
    parents = [provenance, *([] if knowledge is None else [read_provenance(knowledge)])]
    inputs = _digests(paths)
    rationales = await distill(cohort, teacher, judge, filtering=filtering, report=report)
    if _digests(paths) != inputs:
        raise InputDataError(f"{cohort}: has changed while its rationales were written; run again")
    private = any(map(is_credentialed, parents))
    if private:
        private_folder(folder)
    counts = _Counts(definitions.vocabulary)
    (folder / "data").mkdir(exist_ok=True)
    described = range_set_of(provenance) == judge.range_set
    summaries = None if described else _Summaries(definitions.vocabulary, judge.range_set)
    for path in paths.values():
        _fill(path, folder / "data" / path.name, rationales, counts, summaries)
    write_definitions(folder, definitions)
    for name in (CARD, GROUPS):
        if (cohort / name).is_file():
            shutil.copyfile(cohort / name, folder / name)
    made_by = {"teacher": teacher.name, "settings": teacher.settings, "filtered": filtering}
    content = {**made_by, **counts.report(), "filter": judge.report(), "usage": dict(teacher.usage)}
    services = [dict(service) for service in teacher.services]
    step = {"teacher": teacher.name, "range_set": judge.range_set, "services": services}
    carried = carry_provenance(parents, "rationales", step)
    # Besides origins and steps it is the cohort's, even where the knowledge is from credentialed data and it is not.
    own = {key: value for key, value in provenance.items() if key not in (*ORIGIN, "origins", "steps")}
    write_json(folder / PROVENANCE, {**carried, **own, "rationales": {**made_by, "inputs": inputs}})
    write_json(folder / REPORT, content)
    if private:
        make_private(folder)
    logger.info("rationales: %d of %d examples by the %s teacher", counts.kept, counts.examples, teacher.name)
    return content


def _digests(paths: Mapping[str, Path]) -> dict[str, str]:
    return {f"data/{path.name}": file_digest(path) for path in paths.values()}


class _Summaries:
    """The column `lab_summary` of a batch by one range set."""

    def __init__(self, vocabulary: Vocabulary, range_set: str) -> None:
        self._vocabulary = vocabulary
        self._range_set = vocabulary.range_set(range_set)

    def column(self, batch: Any) -> list[str]:
        """One text per example of an Arrow batch of the data contract."""
        examples = batch.select(["lab_hours", "lab_values", "lab_observed"]).to_pylist()
        return [LabSeries.from_example(self._vocabulary, one).in_words(self._range_set) for one in examples]


def _fill(
    source: Path,
    target: Path,
    rationales: Mapping[str, Rationale],
    counts: _Counts,
    summaries: _Summaries | None,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(source)
    schema = reader.schema_arrow
    with pq.ParquetWriter(target, schema) as writer:
        for batch in reader.iter_batches(batch_size=BATCH_ROWS):
            chosen = [rationales[name] for name in batch["example_id"].to_pylist()]
            for diagnoses, rationale in zip(batch["diagnoses"].to_pylist(), chosen, strict=True):
                counts.add(diagnoses, rationale)
            filled = {
                "rationale_note": [one.note for one in chosen],
                "rationale_lab": [one.lab for one in chosen],
            }
            if summaries is not None:
                filled["lab_summary"] = summaries.column(batch)
            for name, texts in filled.items():
                position = schema.get_field_index(name)
                column = pa.array(texts, schema.field(position).type)
                batch = batch.set_column(position, schema.field(position), column)
            writer.write_batch(batch)


class _Counts:
    """Adds up the numbers of the report, without keeping any text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.examples = self.kept = 0
        self._diagnoses: Counter[str] = Counter()
        self._note: Counter[str] = Counter()
        self._lab: Counter[str] = Counter()
        self._none: Counter[str] = Counter()
        self._unknown = 0
        self._words: dict[str, Counter[int]] = {"note": Counter(), "lab": Counter()}
        self._keys = vocabulary.key_of_disease

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
        """Numbers of diagnoses with evidence in the note, in the labs and in neither, and words per rationale."""
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
