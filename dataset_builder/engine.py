"""The query engine under the extraction: opens it, reads a source's tables, stores what is needed again.

The extraction itself is ibis expressions and knows no engine. DuckDB is the default and needs no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis

from dataset_builder.location import LocatedSource
from dataset_builder.source import COLUMN_TYPES, TableSpec
from modeling_clinragen.errors import InputDataError

THREADS = 2
MEMORY = "1GB"


@contextmanager
def connect(scratch: Path) -> Iterator[Any]:
    """Open DuckDB with its spill files under `scratch` (it holds patient data; the caller removes it)."""
    con = ibis.duckdb.connect(
        threads=THREADS, memory_limit=MEMORY, temp_directory=str(scratch), preserve_insertion_order=False
    )
    try:
        yield con
    finally:
        con.disconnect()


def read_table(con: Any, located: LocatedSource, name: str) -> ibis.Table:
    """One logical table with its logical column names and types; a cell that is not of its type is null.

    Raises `InputDataError` naming the file and the column that is missing.
    """
    spec, path = located.source.tables[name], located.paths[name]
    with errors_named(path):
        if path.suffix == ".parquet":
            table = con.read_parquet(path)
        else:
            # Every cell as text: a type guessed from the first rows would lose the zeros that ICD-9 codes begin with.
            table = con.read_csv(path, all_varchar=True, header=True, delim=",", quote='"', escape='"')
    return _logical(table, spec, path)


def store(con: Any, name: str, table: ibis.Table, path: Path | None = None) -> ibis.Table:
    """Run `table` once and keep its rows for the session. `path` is the file to name when it cannot be read."""
    with errors_named(path):
        return con.create_table(name, table, temp=True)


def count_rows(table: ibis.Table) -> int:
    """How many rows a table has."""
    return int(table.count().to_pyarrow().as_py())


@contextmanager
def errors_named(path: Path | None) -> Iterator[None]:
    """Turn an engine's reading error into one that names the file; the engine's own text can quote patient rows."""
    try:
        yield
    except duckdb.Error as error:
        if path is None or isinstance(error, duckdb.OutOfMemoryException):
            raise
        raise InputDataError(
            f"{path}: cannot be read to its end ({type(error).__name__}); it is damaged or cut off, copy it again"
        ) from None


def _logical(table: ibis.Table, spec: TableSpec, path: Path) -> ibis.Table:
    present = {column.lower(): column for column in table.columns}
    columns = {}
    for logical, physical in spec.columns.items():
        if physical.lower() not in present:
            raise InputDataError(f"{path}: has no column '{physical}'; use the table as it was published")
        columns[logical] = _typed(table[present[physical.lower()]], COLUMN_TYPES.get(logical, "string"))
    for logical, constant in spec.constants.items():
        columns[logical] = ibis.literal(constant).cast(COLUMN_TYPES.get(logical, "string"))
    result = table.select(**columns)
    for column, values in spec.keep.items():
        result = result.filter(result[column].isin(values))
    return result


def _typed(column: ibis.Column, kind: str) -> ibis.Column:
    if column.type().is_string():
        return column if kind == "string" else column.try_cast(kind)
    if kind == "timestamp" and column.type().is_timestamp():
        return column
    return column.cast(kind)
