"""Splits by patient: a stable hash of the subject, or the user's own list."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError, SettingsError

# Training and validation together to test as 4 : 1, the paper's proportion.
FRACTIONS = (0.7, 0.1, 0.2)
MEDS_SPLITS = {"tuning": "validation", "held_out": "test"}


def split_of(subject_id: int, *, seed: int = 0, fractions: tuple[float, float, float] = FRACTIONS) -> str:
    """The split of one patient. It depends only on the arguments, so other patients never move it."""
    digest = hashlib.sha256(f"clinragen-split-{seed}:{subject_id}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < fractions[0]:
        return SPLITS[0]
    return SPLITS[1] if share < fractions[0] + fractions[1] else SPLITS[2]


def assign_splits(
    subjects: Iterable[int],
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    split_file: Path | None = None,
) -> dict[int, str]:
    """The split of every subject, by hash or from `split_file`.

    Raises `SettingsError` for impossible fractions and `InputDataError` when the file does not list every subject.
    """
    if split_file is not None:
        listed = read_splits(split_file)
        subjects = list(subjects)
        missing = sum(subject not in listed for subject in subjects)
        if missing:
            raise InputDataError(f"{split_file}: lists no split for {missing} of the cohort's patients; add them")
        return {subject: listed[subject] for subject in subjects}
    # Written so that NaN, which makes every comparison false, is refused too.
    if len(fractions) != len(SPLITS) or not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise SettingsError("split fractions must be three numbers of at least 0 that add up to 1")
    return {subject: split_of(subject, seed=seed, fractions=fractions) for subject in subjects}


def read_splits(path: Path) -> dict[int, str]:
    """Read a user's splits: a CSV with subject_id,split, or a JSON object {split: [subject_id, ...]}.

    A MEDS dataset has them in `metadata/subject_splits.parquet`, under names of its own (`MEDS_SPLITS`).
    """
    path = Path(path)
    readers = {".json": _json_pairs, ".parquet": _parquet_pairs}
    pairs = readers.get(path.suffix, _csv_pairs)(path)
    splits: dict[int, str] = {}
    for where, subject, split in pairs:
        if split not in SPLITS:
            raise InputDataError(f"{path}: {where} names an unknown split; use {', '.join(SPLITS)}")
        if not subject.strip().isdecimal():
            raise InputDataError(f"{path}: {where} has a subject_id that is not an integer; correct it")
        if splits.setdefault(int(subject), split) != split:
            raise InputDataError(f"{path}: {where} puts a patient into a second split; keep one")
    return splits


def _csv_pairs(path: Path) -> list[tuple[str, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames is None or not {"subject_id", "split"} <= set(reader.fieldnames):
                raise InputDataError(f"{path}: needs the columns subject_id and split")
            rows = list(reader)
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputDataError(f"{path}: is not a readable CSV file; save it as UTF-8") from error
    return [(f"row {n}", row["subject_id"] or "", (row["split"] or "").strip()) for n, row in enumerate(rows, start=2)]


def _parquet_pairs(path: Path) -> list[tuple[str, str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, columns=["subject_id", "split"]).to_pylist()
    except FileNotFoundError as error:
        raise InputDataError(f"{path}: is missing; check the path") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputDataError(f"{path}: is not readable parquet with the columns subject_id and split") from error
    return [
        (f"row {number}", str(row["subject_id"]), MEDS_SPLITS.get(row["split"], str(row["split"])))
        for number, row in enumerate(rows, start=1)
    ]


def _json_pairs(path: Path) -> list[tuple[str, str, str]]:
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(subjects, list) for subjects in content.values()):
        raise InputDataError(f'{path}: must be an object of lists, for example {{"train": [...], "test": [...]}}')
    return [
        (f"the list '{split}', entry {number},", str(subject), split)
        for split, subjects in content.items()
        for number, subject in enumerate(subjects, start=1)
    ]
