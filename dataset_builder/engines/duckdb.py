"""DuckDB, inside the Python process: the default engine, on Parquet, CSV and CSV.gz files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis

from dataset_builder.engines.places import Files

THREADS = 2
MEMORY = "1GB"
# Bytes; also the longest row. One thread unpacks a buffer: of buffers a fourth of DuckDB's own size the next is
# unpacked while others are read.
CSV_BUFFER = 8 * 2**20
CSV = {"header": True, "delim": ",", "quote": '"', "escape": '"', "comment": ""}
SNIFF = f"""
SELECT NewLineDelimiter, SkipRows, [one.name for one in Columns]
FROM sniff_csv(?, all_varchar = true, buffer_size = {CSV_BUFFER}, {", ".join(f"{k} = '{v}'" for k, v in CSV.items())})
"""

# DuckDB's words about a CSV file -> the problem and its cure.
CSV_ERRORS = {
    "^Invalid unicode": (
        "has bytes that are not UTF-8",
        "copy it again, or convert it (iconv -f LATIN1 -t UTF-8)",
    ),
    "^Maximum line size": (
        f"has a row of more than {CSV_BUFFER // 2**20} MB",
        "if the row is meant to be that long, save the table as .parquet, otherwise copy it again",
    ),
    "Error when sniffing|^Expected Number of Columns": (
        "has rows whose format differs from its header (number of cells, quotes or line ends)",
        "it was edited or cut off, copy it again",
    ),
}


class DuckdbEngine:
    """See `dataset_builder.engines.engine.Engine`."""

    title = "DuckDB"
    errors: tuple[type[Exception], ...] = (duckdb.Error,)

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def read(self, place: Path | Files) -> ibis.Table:
        if isinstance(place, Files):
            # Parts of one table may lack a column of which they have no value.
            return self._backend.read_parquet([str(path) for path in place.paths], union_by_name=True)
        if place.suffix == ".parquet":
            return self._backend.read_parquet(place)
        # DuckDB would look at the file's beginning again in each query that names it, and where cells begin with "#"
        # take what follows for a comment.
        [(new_line, skipped, names)] = self._backend.con.execute(SNIFF, [str(place)]).fetchall()
        # Every cell as text: a type guessed from the first rows would lose the zeros that ICD-9 codes begin with.
        columns = dict.fromkeys(names, "string")
        form = {"auto_detect": False, "new_line": new_line, "skip": skipped, "buffer_size": CSV_BUFFER, **CSV}
        return self._backend.read_csv(place, columns=columns, **form)

    def keep(self, name: str, table: ibis.Table, looked_up_by: str | None) -> ibis.Table:
        if looked_up_by is not None:
            table = table.order_by(looked_up_by)  # blocks of rows then hold few of its values each
        return self._backend.create_table(name, table, temp=True)

    def advice(self, error: Exception) -> str:
        kind = type(error).__name__
        if isinstance(error, duckdb.OutOfMemoryException):
            return f"needs more than {MEMORY} of memory or more room on the output's disk ({kind}); free some space"
        # Recognised by DuckDB's own words: only the kind of error is safe to pass on, the rest quotes rows.
        line = re.search(r"CSV Error on Line: (\d+)$", str(error), re.MULTILINE)
        for pattern, (problem, cure) in CSV_ERRORS.items():
            if re.search(pattern, str(error), re.MULTILINE):
                return f"{problem}{f' (line {line[1]})' if line else ''}; {cure} ({kind})"
        return f"cannot be read to its end ({kind}); it is damaged or cut off, copy it again"


@contextmanager
def open_duckdb(scratch: Path) -> Iterator[DuckdbEngine]:
    """Open DuckDB with its spill files under `scratch`."""
    backend = ibis.duckdb.connect(
        threads=THREADS, memory_limit=MEMORY, temp_directory=str(scratch), preserve_insertion_order=False
    )
    # Times with a time zone are made those of this one.
    backend.raw_sql("SET TimeZone = 'UTC'")
    # DuckDB would fetch what a query needs and this installation lacks; no query of ours needs anything.
    backend.raw_sql("SET autoinstall_known_extensions = false")
    # It takes a CSV file for a small table and would keep all events in memory to join a few stays to them. Where it
    # leaves the sides as they are, it keeps the right one: the smaller wherever events or notes are joined.
    backend.raw_sql("SET disabled_optimizers = 'build_side_probe_side'")
    # It would write its own bar into ours, and into files. In a notebook without ipywidgets there is none, and DuckDB
    # refuses to have it set.
    if backend.con.execute("SELECT current_setting('enable_progress_bar')").fetchone() != (False,):
        backend.raw_sql("SET enable_progress_bar = false")
    try:
        yield DuckdbEngine(backend)
    finally:
        backend.disconnect()
