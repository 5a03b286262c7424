"""The query engine of the extraction: reads a source's tables, stores what is needed again, names what fails.

The extraction itself is ibis expressions and independent of the engine. DuckDB is the default and needs no server;
PostgreSQL reads the tables where mimic-code's loaders put them; Spark reads the files that DuckDB reads. Their
differences are below `engines/`, one file each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import ibis

from dataset_builder.cohort.cells import form_where_unreadable, typed
from dataset_builder.cohort.config import ENGINES
from dataset_builder.cohort.event_tables import table_of_events
from dataset_builder.engines.engine import Engine, missing_library_named
from dataset_builder.engines.places import Place
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import TableSpec
from modeling_clinragen.errors import InputDataError, SettingsError

CODE = "icd_code"
# Columns of times that may be dates, whatever table they are in.
DATES = ("birth_time",)


@contextmanager
def connect(engine: str, located: LocatedSource, scratch: Path) -> Iterator[Engine]:
    """Open an engine on a located source, its temporary files under `scratch`; nothing of it is left afterwards.

    `scratch` contains patient data; the caller removes it. Raises `SettingsError` when the engine's library is not
    installed, `InputDataError` in place of the engine's own errors.
    """
    check_engine(engine, located)
    with _open(engine, located, scratch) as con:
        try:
            yield con
        except con.errors as error:
            raise InputDataError(f"{located.root}: {con.title} stopped: {con.advice(error)}") from None


def check_engine(engine: str, located: LocatedSource) -> None:
    """Raises `SettingsError` for an unknown engine, or one that cannot read the source's place."""
    if engine not in ENGINES:
        raise SettingsError(f"unknown engine '{engine}'; choose one of {', '.join(ENGINES)}")
    if isinstance(located.root, Path) and engine == "postgres":
        raise SettingsError(f"{located.root}: is a folder; engine 'postgres' needs a postgresql:// URL as root")
    if not isinstance(located.root, Path) and engine != "postgres":
        raise SettingsError(f"{located.root}: is a database; engine '{engine}' reads files, use engine 'postgres'")


def read_table(con: Engine, located: LocatedSource, name: str, forms: Sequence[str] = ()) -> ibis.Table:
    """One logical table with its logical column names and types; a cell that is not of its type is null.

    For each of the columns `forms`, one more, such as "time_form", says how a cell is written that is not of its type.

    Raises `InputDataError` naming the file or database table and the column that is missing, or that has codes as
    numbers.
    """
    spec, place = located.source.tables[name], located.paths[name]
    with errors_named(con, place):
        table = con.read(place)
    if spec.view is not None:
        table = table_of_events(table, located.source, name, place)
    return _logical(table, spec, place, [name for name in forms if name in spec.columns])


def store(
    con: Engine, name: str, table: ibis.Table, path: Place | None = None, *, looked_up_by: str | None = None
) -> ibis.Table:
    """Run `table` once and keep its rows for the session. `path` is the place to name when it cannot be read.

    `looked_up_by` names the column by whose values parts of the table will be fetched.
    """
    with errors_named(con, path):
        return con.keep(name, table, looked_up_by)


def count_rows(table: ibis.Table) -> int:
    """How many rows a table has."""
    return int(table.count().to_pyarrow().as_py())


@contextmanager
def errors_named(con: Engine, place: Place | None) -> Iterator[None]:
    """Turn an engine's error into one that names `place`; without a place, `connect` names the source."""
    try:
        yield
    except con.errors as error:
        if place is None:
            raise
        raise InputDataError(f"{place}: {con.advice(error)}") from None


def _open(engine: str, located: LocatedSource, scratch: Path) -> AbstractContextManager[Engine]:
    with missing_library_named(engine):
        if engine == "duckdb":
            from dataset_builder.engines.duckdb import open_duckdb

            return open_duckdb(scratch)
        if engine == "postgres":
            from dataset_builder.engines.postgres import open_postgres

            return open_postgres(str(located.root))
        from dataset_builder.engines.spark import open_spark

        return open_spark(scratch)


def _logical(table: ibis.Table, spec: TableSpec, place: Place, forms: Sequence[str]) -> ibis.Table:
    present = {column.lower(): column for column in table.columns}
    columns = {}
    for logical, physical in spec.columns.items():
        if physical.lower() not in present:
            raise InputDataError(f"{place}: has no column '{physical}'; use the table as it was published")
        column = table[present[physical.lower()]]
        if logical == CODE and column.type().is_numeric():
            raise InputDataError(
                f"{place}: column '{physical}' holds numbers, so codes have lost the zeros that they begin with (0389 "
                "is not 389); use the table as it was published, or read this column as text"
            )
        read = typed(column, spec.types.get(logical, "string"), dates=spec.whole_days or logical in DATES)
        columns[logical] = read
        if logical in forms:
            columns[f"{logical}_form"] = form_where_unreadable(column, read)
    for logical, physical in spec.optional_columns.items():
        kind = spec.types.get(logical, "string")
        there = present.get(physical.lower())
        columns[logical] = ibis.null(kind) if there is None else typed(table[there], kind)
    for logical, constant in spec.constants.items():
        columns[logical] = ibis.literal(constant).cast(spec.types.get(logical, "string"))
    result = table.select(**columns)
    for column, values in spec.keep.items():
        result = result.filter(result[column].isin(values))
    return result
