"""A model's answers about every patient of a cohort, in one file; a killed run goes on where it was.

Finished batches are kept beside the file until all are there. They and the file hold patients' notes, so nobody but
their owner can open them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builder.contract.schema import SPLITS, load_examples, split_files
from dataset_builder.storage.config_fields import check_values, setting
from dataset_builder.storage.files import (
    atomic_file,
    fingerprint,
    folder_lock,
    private_folder,
    read_json,
    require_apart,
    write_json,
)
from dataset_builder.storage.governance import carry_provenance, is_credentialed
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

if TYPE_CHECKING:
    from clinragen.claims.sentences import Patient
    from clinragen.inference import Explainer, Explanation
    from dataset_builder.contract.cohort_splits import CohortSplits

JSON_LINES, PARQUET = ".jsonl", ".parquet"
ALL = "all"
_BESIDE, _RECORD = ".journal", ".provenance.json"
_MADE_OF = "made_of.json"


@dataclass(frozen=True, kw_only=True)
class CohortPredictConfig:
    """Which patients of a cohort are explained, and how many at once.

    Raises:
        SettingsError: A value is out of its range.
    """

    split: str = setting("test", help="Split of the cohort that is explained", choices=(*SPLITS, ALL))
    batch_size: int = setting(
        32, help="Patients of the cohort that are explained at once, and lost when the run is killed", at_least=1
    )

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class _Example:
    """One example of the cohort: its names, and its patient."""

    example_id: str
    split: str
    patient: Patient


def explain_cohort(
    explainer: Explainer,
    cohort: Path,
    output: Path,
    render: Callable[[Explanation], dict[str, Any]],
    config: CohortPredictConfig | None = None,
    *,
    report: Report = no_report,
) -> Mapping[str, Any]:
    """Explain the patients of a cohort, and write a file with one row for each, in the cohort's order.

    Where a run with the same model, cohort and settings was killed, only what it had not finished is done; the file
    is the same as without an interruption.

    Args:
        explainer: The model.
        cohort: Cohort folder with the model's variables; whether it has rationales does not matter.
        output: The file, which only its owner can open: `.jsonl` has lines of `render`'s values, `.parquet` the
            columns of `_columns`. Beside it `<output>.provenance.json` says where the answers come from.
        render: An explanation as values of JSON.
        config: Which patients, and how many at once.
        report: Called with the number of patients finished.

    Returns:
        The provenance of the answers.

    Raises:
        SettingsError: The file has another ending, or the cohort's variables are not the model's.
        InputDataError: There is no such cohort, nobody is in the split, or the file lies in the cohort's folder.
        ModelInputError: A patient cannot be read by the model; the message has the row, and nothing of the patient.
    """
    config = config if config is not None else CohortPredictConfig()
    require_kind(output)
    output = require_apart(output, [cohort])
    splits = load_examples(cohort)
    examples = _examples(explainer, splits, cohort, config.split)
    settings = {**asdict(explainer.config), **asdict(config)}
    parents = [splits.provenance, explainer.model.provenance or {}]
    provenance = carry_provenance(parents, "predict", {**settings, "patients": len(examples)})
    if is_credentialed(provenance) and not output.parent.is_dir():
        private_folder(output.parent)
    journal = output.with_name(output.name + _BESIDE)
    with folder_lock(journal):
        _open_journal(journal, _made_of(explainer, cohort, settings))
        pieces = list(_write_pieces(explainer, examples, journal, render, config.batch_size, report))
        write_json(output.with_name(output.name + _RECORD), provenance)
        with atomic_file(output, private=True) as beside:
            (_join_lines if output.suffix == JSON_LINES else _join_table)(pieces, beside)
        shutil.rmtree(journal)
    return provenance


def require_kind(output: Path) -> None:
    """Raise `SettingsError` unless the file's name says in which of the two formats it is to be."""
    if output.suffix not in (JSON_LINES, PARQUET):
        raise SettingsError(f"{output}: give a file that ends with {JSON_LINES} or {PARQUET}")


def _examples(explainer: Explainer, splits: CohortSplits, cohort: Path, wanted: str) -> list[_Example]:
    """All patients, each as the model can read it, before the first is explained."""
    from dataset_builder.contract.lab_series import LabSeries

    found = []
    for split in SPLITS if wanted == ALL else (wanted,):
        columns = splits[split].select_columns(["example_id", "note", "lab_hours", "lab_values", "lab_observed"])
        for number, row in enumerate(columns, start=1):
            try:
                patient = explainer.patient(row["note"], LabSeries.from_example(splits.vocabulary, row))
            except ClinRaGenError as error:
                raise type(error)(f"{cohort}: row {number} of the {split} split: {error}") from error
            found.append(_Example(row["example_id"], split, patient))
    if not found:
        where = "it" if wanted == ALL else f"its {wanted} split (--split {ALL} takes all)"
        raise InputDataError(f"{cohort}: nobody is in {where}; give a cohort with patients")
    return found


def _made_of(explainer: Explainer, cohort: Path, settings: Mapping[str, Any]) -> str:
    """A digest of all that decides the answers."""
    from dataset_builder.contract.definitions import FILE
    from dataset_builder.storage.code_fingerprint import code_fingerprint

    processor, knowledge = explainer.processor, explainer.checking.knowledge
    code = [code_fingerprint(module) for module in ("clinragen.inference", __name__)]
    return fingerprint(
        settings,
        code,
        _weights_digest(explainer.model),
        processor.to_dict(),
        processor.tokenizer.get_vocab(),
        None if knowledge is None else asdict(knowledge),
        files=[*split_files(cohort).values(), cohort / FILE],
    )


def _weights_digest(model: Any) -> str:
    # What is in memory: a name on the Hub may get other files, and a model of a program has none.
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _open_journal(journal: Path, made_of: str) -> None:
    """Make the folder of finished batches; what others than these answers left there is removed."""
    known = journal / _MADE_OF
    if journal.is_dir() and not (known.is_file() and read_json(known) == made_of):
        if any(path.suffix not in (JSON_LINES, ".json", ".partial") for path in journal.iterdir()):
            raise InputDataError(f"{journal}: contains files that were not written by this program; move them away")
        shutil.rmtree(journal)
    private_folder(journal)
    if not known.is_file():
        write_json(known, made_of)


def _write_pieces(
    explainer: Explainer,
    examples: Sequence[_Example],
    journal: Path,
    render: Callable[[Explanation], dict[str, Any]],
    size: int,
    report: Report,
) -> Iterator[Path]:
    """The files of all batches, in order; one that is there is finished."""
    for number, start in enumerate(range(0, len(examples), size)):
        batch = examples[start : start + size]
        piece = journal / f"{number:06d}{JSON_LINES}"
        if not piece.is_file():
            found = explainer.explain_many([example.patient for example in batch])
            lines = [
                {"example_id": example.example_id, "split": example.split, **render(explanation)}
                for example, explanation in zip(batch, found, strict=True)
            ]
            with atomic_file(piece, private=True) as beside:
                text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
                beside.write_text(text, encoding="utf-8")
        report(Progress(start + len(batch), len(examples), "patients"))
        yield piece


def _join_lines(pieces: Sequence[Path], target: Path) -> None:
    with target.open("wb") as stream:
        for piece in pieces:
            stream.write(piece.read_bytes())


def _join_table(pieces: Sequence[Path], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    sentences = pa.list_(pa.struct({"text": text, "verdict": text}))
    schema = pa.schema(
        {
            **dict.fromkeys(("example_id", "split", "rationale", "text", "problem"), text),
            **{name: pa.list_(text) for name in ("diagnoses", "without_evidence", "warnings")},
            **dict.fromkeys(("sentences", "withheld"), sentences),
            "verified": pa.bool_(),
            "probabilities": pa.list_(pa.struct({"disease": text, "probability": pa.float64()})),
        }
    )
    with pq.ParquetWriter(target, schema) as writer:
        for piece in pieces:
            rows = [_columns(json.loads(line)) for line in piece.read_text(encoding="utf-8").split("\n") if line]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _columns(line: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as a row of the table: the sentences with their verdicts, without the claims and the note."""
    scores = line["probabilities"]
    listed = None if scores is None else [{"disease": name, "probability": one} for name, one in scores.items()]
    return {**line, "probabilities": listed}
