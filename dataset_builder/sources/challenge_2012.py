"""PhysioNet Challenge 2012: makes the tables that `challenge-2012.yaml` describes of its files, one of each stay."""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.sources.spec import SOURCES
from dataset_builder.storage.files import atomic_folder, output_folder, read_yaml, require_apart
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError

NAME = "challenge-2012"
HEADER = "Time,Parameter,Value"
LINE = re.compile(r"([0-9]{2,3}):([0-5][0-9]),([A-Za-z][A-Za-z0-9 _-]*),([^,]*)")
RECORD = re.compile(r"[0-9]{1,18}")
OUTCOMES = "outcomes"
PART = 500  # records that are in memory at a time
BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)
"""How Python fails on an archive that is cut off, damaged or none."""

STAYS = pa.schema({"record_id": pa.int64(), "age": pa.string(), "sex": pa.string(), "icu_type": pa.string()})
MEASUREMENTS = pa.schema(
    {"record_id": pa.int64(), "minutes": pa.int32(), "parameter": pa.string(), "value": pa.string()}
)
RECORD_OUTCOMES = pa.schema({"record_id": pa.int64(), "outcome": pa.string()})


@dataclass(frozen=True)
class Counts:
    """Counts of the challenge's files; records and outcomes of the last two lack the other."""

    records: int
    measurements: int
    outcomes: int
    records_without_outcome: int
    outcomes_without_record: int


@dataclass(frozen=True)
class _Record:
    stay: Mapping[str, Any]
    minutes: list[int]
    parameters: list[str]
    values: list[str]


def write_tables(root: Path, output: Path, report: Report = no_report) -> Counts:
    """Write `output`/stays.parquet, measurements.parquet and outcomes.parquet; the folder appears whole or not at all.

    Values are copied as text: what is not a number, or implausible, is for the build to count. The order of the files
    makes no difference. Without a file of outcomes there is no table of them.

    Args:
        root: A tar archive, or a folder, with the files of one or more sets (`set-a/132539.txt`, `Outcomes-a.txt`).
        output: The folder to write.
        report: Called with the number of records read.

    Raises:
        InputDataError: There are no records, the archive is cut off, or a line does not have the challenge's form. The
            message names the file and the line, never what it says.
    """
    root, output = Path(root), Path(output)
    form = read_yaml(SOURCES / f"{NAME}.yaml")["records"]
    require_apart(output, [root])
    output_folder(output)
    seen: set[int] = set()
    outcomes: dict[int, str | None] = {}
    measured = 0
    has_outcomes = False
    with atomic_folder(output) as folder:
        with (
            pq.ParquetWriter(folder / "stays.parquet", STAYS, compression="zstd") as stays,
            pq.ParquetWriter(folder / "measurements.parquet", MEASUREMENTS, compression="zstd") as rows,
        ):
            part: list[_Record] = []
            for name, text in _texts(root):
                stem = PurePosixPath(name).stem
                if stem.lower().startswith(OUTCOMES):
                    has_outcomes = True
                    _add_outcomes(outcomes, f"{root}: {name}", text, form)
                    continue
                record = _record(f"{root}: {name}", stem, text, form)
                if record.stay["record_id"] in seen:
                    raise InputDataError(f"{root}: {name}: has a record that another file has too; keep one of them")
                seen.add(record.stay["record_id"])
                measured += len(record.values)
                part.append(record)
                if len(part) == PART:
                    _write(part, stays, rows)
                    part = []
                    report(Progress(len(seen), None, "records"))
            _write(part, stays, rows)
        if not seen:
            raise InputDataError(
                f"{root}: has no record of the challenge (files such as set-a/132539.txt); give its archive or folder"
            )
        if has_outcomes:
            known = [{"record_id": record, "outcome": code} for record, code in sorted(outcomes.items())]
            pq.write_table(pa.Table.from_pylist(known, RECORD_OUTCOMES), folder / "outcomes.parquet")
    return Counts(len(seen), measured, len(outcomes), len(seen - set(outcomes)), len(set(outcomes) - seen))


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    """The files of records and outcomes, with their names below `root`."""
    if root.is_dir():
        for path in sorted(root.rglob("*.txt")):
            if _is_wanted(path.name):
                try:
                    yield path.relative_to(root).as_posix(), _decoded(path.read_bytes(), f"{path}")
                except OSError as error:
                    raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the file") from error
        return
    if not root.is_file():
        raise InputDataError(f"{root}: is missing; give the challenge's archive, or a folder with its files")
    try:
        with tarfile.open(root) as archive:
            for member in archive:
                if member.isfile() and _is_wanted(PurePosixPath(member.name).name):
                    stream = archive.extractfile(member)
                    yield member.name, _decoded(stream.read() if stream else b"", f"{root}: {member.name}")
    except BROKEN as error:
        raise InputDataError(
            f"{root}: is not a tar archive that can be read to its end ({type(error).__name__}); it is cut off or "
            "damaged, copy it again"
        ) from error


def _is_wanted(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return suffix == "txt" and (RECORD.fullmatch(stem) is not None or stem.lower().startswith(OUTCOMES))


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputDataError(f"{where}: is not a text in UTF-8; copy it again") from None


def _record(where: str, stem: str, text: str, form: Mapping[str, Any]) -> _Record:
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise InputDataError(f"{where}: does not begin with the line {HEADER}; use the file as it was published")
    said: dict[str, str] = {}
    record = _Record({}, [], [], [])
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise InputDataError(
                f"{where}: line {number} is not a time, a parameter and a value (00:07,HR,...); it was edited or cut "
                "off, copy the file again"
            )
        hours, minutes, parameter, value = found.groups()
        if parameter in form["descriptors"]:
            said.setdefault(parameter, value.strip())
            continue
        record.minutes.append(60 * int(hours) + int(minutes))
        record.parameters.append(parameter)
        record.values.append(value)
    if said.get("RecordID") != stem:
        raise InputDataError(f"{where}: its RecordID is not the file's name; use the file as it was published")
    age = said.get("Age")
    stay = {
        "record_id": int(stem),
        "age": None if age == form["unknown"] else age,
        "sex": form["sex"].get(said.get("Gender")),
        "icu_type": form["icu_type"].get(said.get("ICUType")),
    }
    return _Record(stay, record.minutes, record.parameters, record.values)


def _add_outcomes(outcomes: dict[int, str | None], where: str, text: str, form: Mapping[str, Any]) -> None:
    lines = [line.split(",") for line in text.splitlines() if line.strip()]
    key, column = form["outcome_id"], form["outcome"]["column"]
    header = [cell.strip() for cell in lines[0]] if lines else []
    if key not in header or column not in header:
        raise InputDataError(f"{where}: has no columns {key} and {column}; use the file as it was published")
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(header) or not RECORD.fullmatch(cells[header.index(key)].strip()):
            raise InputDataError(f"{where}: row {number} does not fit its header; copy the file again")
        record = int(cells[header.index(key)])
        if record in outcomes:
            raise InputDataError(f"{where}: row {number} has a record that another row has too; keep one of them")
        code = form["outcome"]["codes"].get(cells[header.index(column)].strip())
        if code is None:
            raise InputDataError(
                f"{where}: row {number}: {column} is none of {', '.join(form['outcome']['codes'])}; correct it"
            )
        outcomes[record] = code


def _write(records: Sequence[_Record], stays: pq.ParquetWriter, rows: pq.ParquetWriter) -> None:
    stays.write_table(pa.Table.from_pylist([record.stay for record in records], STAYS))
    columns = {
        "record_id": [record.stay["record_id"] for record in records for _ in record.values],
        "minutes": [minutes for record in records for minutes in record.minutes],
        "parameter": [parameter for record in records for parameter in record.parameters],
        "value": [value for record in records for value in record.values],
    }
    rows.write_table(pa.Table.from_pydict(columns, MEASUREMENTS))


__all__ = ["NAME", "Counts", "write_tables"]
