"""DuckDB, inside the Python process: the default engine, on Parquet, CSV and CSV.gz files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis

THREADS = 2
MEMORY = "1GB"


class DuckdbEngine:
    """See `dataset_builder.engine.Engine`."""

    title = "DuckDB"
    errors: tuple[type[Exception], ...] = (duckdb.Error,)

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def read(self, place: Path) -> ibis.Table:
        if place.suffix == ".parquet":
            return self._backend.read_parquet(place)
        # Every cell as text: a type guessed from the first rows would lose the zeros that ICD-9 codes begin with.
        return self._backend.read_csv(place, all_varchar=True, header=True, delim=",", quote='"', escape='"')

    def keep(self, name: str, table: ibis.Table, looked_up_by: str | None) -> ibis.Table:
        return self._backend.create_table(name, table, temp=True)

    def advice(self, error: Exception) -> str:
        kind = type(error).__name__
        if isinstance(error, duckdb.OutOfMemoryException):
            return f"needs more than {MEMORY} of memory or more room on the output's disk ({kind}); free some space"
        return f"cannot be read to its end ({kind}); it is damaged or cut off, copy it again"


@contextmanager
def open_duckdb(scratch: Path) -> Iterator[DuckdbEngine]:
    """Open DuckDB with its spill files under `scratch`."""
    backend = ibis.duckdb.connect(
        threads=THREADS, memory_limit=MEMORY, temp_directory=str(scratch), preserve_insertion_order=False
    )
    try:
        yield DuckdbEngine(backend)
    finally:
        backend.disconnect()
