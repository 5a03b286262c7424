"""Finds sources that are not tables: the shards of a MEDS dataset, the files of FHIR resources."""

from __future__ import annotations

import re
from pathlib import Path

from dataset_builder.engines.places import Files
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError

DATA = "data"
METADATA = Path("metadata") / "dataset.json"
REQUIRED = {
    "subject_id": "u?int[0-9]+",
    "time": "timestamp.*|null",
    "code": "(large_)?string|string_view|dictionary.*",
}
"""What every shard has, by the MEDS schema, with Arrow's names of its types."""
RESOURCES = (".ndjson", ".json", ".jsonl")
PACKED = ".gz"


def event_files(root: Path) -> Files:
    """The shards of a MEDS dataset: every parquet file below `data/`.

    Neither the order of the shards nor that of the events in them makes a difference.

    Raises:
        InputDataError: There is none, or one is damaged or lacks a column that MEDS requires.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [path for path in sorted((root / DATA).rglob("*.parquet")) if not _hidden(path, root)]
    if not found:
        raise InputDataError(f"{root}: has no parquet file in data/; give the folder of a MEDS dataset")
    for path in found:
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise InputDataError(
                f"{path}: is not readable parquet; it is damaged or cut off, copy it again"
            ) from error
        for column, kinds in REQUIRED.items():
            if column not in schema.names:
                raise InputDataError(f"{path}: has no column '{column}', so it is not a shard of a MEDS dataset")
            kind = str(schema.field(column).type)
            if not re.fullmatch(kinds, kind):
                raise InputDataError(f"{path}: column '{column}' is of type {kind}, not as MEDS has it; convert it")
    return Files(root, tuple(found))


def event_version(root: Path) -> str:
    """The version that a MEDS dataset's metadata says, "unknown" without one."""
    path = root / METADATA
    content = read_json(path) if path.is_file() else {}
    version = content.get("dataset_version") if isinstance(content, dict) else None
    return version if isinstance(version, str) and version else "unknown"


def resource_files(root: Path) -> Files:
    """The files of FHIR resources below a folder: .ndjson and .json, packed with gzip or not.

    Raises:
        InputDataError: There is none.
    """
    found = [path for path in sorted(root.rglob("*")) if _has_resources(path) and not _hidden(path, root)]
    if not found:
        raise InputDataError(f"{root}: has no .ndjson or .json file; give the folder of a FHIR export")
    return Files(root, tuple(found))


def _has_resources(path: Path) -> bool:
    return path.is_file() and path.name.removesuffix(PACKED).endswith(RESOURCES)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
