"""PostgreSQL: reads the tables where they are, for users whose MIMIC was loaded by mimic-code's scripts.

The role needs to read the tables and to make temporary ones (SELECT and TEMP); nothing else is ever written, and the
server drops what is left when the connection ends.
"""

# ruff: noqa: N802, N815 (ibis finds these methods by its operations' names)

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import psycopg
import sqlglot.expressions as sge
from ibis.backends.postgres import Backend
from ibis.backends.sql.compilers.postgres import PostgresCompiler
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dataset_builder.engines.places import DatabaseTable
from dataset_builder.storage.air_gap import require_this_machine
from modeling_clinragen.errors import InputDataError, SettingsError

CONNECT_TIMEOUT_S = 15
# The planner's own memory, per sort or hash table of a query.
WORK_MEMORY = "64MB"
WRONG_CELL = "a cell has the wrong type for its column; load the tables with mimic-code's scripts"
# Cures by SQLSTATE.
ADVICE = {
    "42501": "the role may not do this; ask for SELECT on the tables and TEMP on the database",
    "42P01": "the table is gone; run again",
    "22P02": WRONG_CELL,
    "22007": WRONG_CELL,
    "22008": WRONG_CELL,
    "53100": "the server's disk is full; free some space",
    "53200": "the server is out of memory",
    "57014": "the server ended the query; raise the role's statement_timeout",
}


class _Compiler(PostgresCompiler):
    """Texts in the order of their characters' codes, as DuckDB and Spark have it, not in the server's locale."""

    def visit_SortKey(self, op: ops.SortKey, *, arg: Any, ascending: bool, nulls_first: bool) -> Any:
        return super().visit_SortKey(op, arg=_by_code(op.arg, arg), ascending=ascending, nulls_first=nulls_first)

    def visit_Max(self, op: ops.Max, *, arg: Any, where: Any) -> Any:
        return self.agg.max(_by_code(op.arg, arg), where=where)

    def visit_Min(self, op: ops.Min, *, arg: Any, where: Any) -> Any:
        return self.agg.min(_by_code(op.arg, arg), where=where)

    def visit_ArgMax(self, op: ops.ArgMax, *, arg: Any, key: Any, where: Any) -> Any:
        return super().visit_ArgMax(op, arg=arg, key=_by_code(op.key, key), where=where)

    def visit_ArgMin(self, op: ops.ArgMin, *, arg: Any, key: Any, where: Any) -> Any:
        return super().visit_ArgMin(op, arg=arg, key=_by_code(op.key, key), where=where)

    def visit_DefaultLiteral(self, op: ops.Literal, *, value: Any, dtype: Any) -> Any:
        made = super().visit_DefaultLiteral(op, value=value, dtype=dtype)
        # PostgreSQL reads 3600.0 as a decimal number, whose quotients are rounded in other places than a double's.
        return self.cast(made, dtype) if dtype.is_floating() else made

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: Any) -> Any:
        if op.arg.dtype.is_boolean() and to.is_numeric():
            arg = sge.Cast(this=arg, to=sge.DataType.build("int"))  # a boolean can be cast to nothing longer
        return super().visit_Cast(op, arg=arg, to=to)

    visit_TryCast = visit_Cast


class _Backend(Backend):
    compiler = _Compiler()

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        rows = op.data.to_pyarrow(op.schema)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(self.compiler.type_mapper.to_string(kind)))
            for name, kind in op.schema.items()
        )
        name = sql.Identifier(op.name)
        with self.con.cursor() as cursor, self.con.transaction():
            cursor.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(name, columns))
            with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                    copy.write_row(row)
            cursor.execute(sql.SQL("ANALYZE {}").format(name))


class PostgresEngine:
    """See `dataset_builder.engines.engine.Engine`. Kept tables are temporary ones, which other sessions cannot see."""

    title = "PostgreSQL"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._backend = _Backend.from_connection(connection)

    def read(self, place: DatabaseTable) -> ibis.Table:
        return self._backend.table(place.name, database=place.schema)

    def keep(self, name: str, table: ir.Table, looked_up_by: str | None) -> ibis.Table:
        kept = self._backend.create_table(name, table, temp=True)
        target = sql.Identifier("pg_temp", name)
        if looked_up_by is not None:
            column = sql.Identifier(looked_up_by)
            self._connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(target, column))
        # The server gathers no statistics on temporary tables by itself; without any it joins by nested loops.
        self._connection.execute(sql.SQL("ANALYZE {}").format(target))
        return kept

    def advice(self, error: Exception) -> str:
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        kind = type(error).__name__
        return f"{ADVICE.get(state or '', 'the server broke off; see its log, then run again')} ({kind})"


def connect_database(url: str) -> psycopg.Connection:
    """Connect by a postgresql:// URL; the password comes from ~/.pgpass or PGPASSWORD, and only from there.

    Raises `SettingsError` for an invalid URL or one with a password, `InputDataError` when the server cannot be
    reached. No message contains a password.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise SettingsError("root is not a valid database URL; give postgresql://user@host:port/database") from None
    if parts.keys() & {"password", "sslpassword"}:
        raise SettingsError(
            "the database URL contains a password, which a URL shows to others; "
            "take it out and put it into ~/.pgpass or the environment variable PGPASSWORD"
        )
    for host in str(parts.get("hostaddr") or parts.get("host") or os.environ.get("PGHOST", "")).split(","):
        # libpq does not use Python's sockets.
        require_this_machine(host, "the database")
    parts = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "clinragen", **parts, "client_encoding": "utf8"}
    try:
        return psycopg.connect(make_conninfo(**{name: str(value) for name, value in parts.items()}), autocommit=True)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise InputDataError(
            f"{url}: cannot be reached ({reason}); check host, port, database, role, and ~/.pgpass or PGPASSWORD"
        ) from None


@contextmanager
def open_postgres(url: str) -> Iterator[PostgresEngine]:
    """Open the database; see `connect_database`."""
    with connect_database(url) as connection:
        connection.execute(
            "SELECT set_config('work_mem', %s, false), set_config('jit', 'off', false), "
            "set_config('TimeZone', 'UTC', false)",
            [WORK_MEMORY],
        )
        yield PostgresEngine(connection)


def _by_code(value: ops.Value, compiled: Any) -> Any:
    if not value.dtype.is_string():
        return compiled
    return sge.Collate(this=compiled, expression=sge.to_identifier("C", quoted=True))
