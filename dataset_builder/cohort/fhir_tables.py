"""A source of FHIR resources becomes one of tables, which are made of them in a folder of the build's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_builder.fhir.tables import write_tables
from dataset_builder.sources.locate import LocatedSource


def with_tables(located: LocatedSource, folder: Path) -> tuple[LocatedSource, list[dict[str, Any]]]:
    """The source with its tables below `folder`, and what became of its resources; one of tables as it is.

    An optional table without a row is not there.

    Raises:
        InputDataError: As `dataset_builder.fhir.tables.write_tables`.
    """
    source = located.source
    if source.fhir is None:
        return located, []
    wanted = {item.item for item in source.items}
    records = write_tables(folder, located.files, Path(located.root), source.fhir, wanted)
    paths = {spec.name: folder / f"{spec.file}.parquet" for spec in source.tables.values()}
    there = {
        name: path
        for name, path in paths.items()
        if not source.tables[name].optional or pq.ParquetFile(path).metadata.num_rows
    }
    return replace(located, paths=there), records
