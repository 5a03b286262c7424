"""Spark, for those who outgrow one machine: reads the Parquet, CSV and CSV.gz files that DuckDB reads.

A session that is active already (a cluster's, a notebook's) is used and left as it was. Otherwise a local one is
started, and stopped at the end; of its Java process nothing reaches the terminal, because Spark logs the rows that it
cannot read.
"""

# ruff: noqa: N802 (ibis finds these methods by its operations' names)

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from dataset_builder.engines.places import Files
from modeling_clinragen.errors import InputDataError, SettingsError

THREADS = 2
MEMORY = "2g"

# Settings that the results depend on, in our own session only; the rest is the cluster's.
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}


class _Compiler(PySparkCompiler):
    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: Any) -> Any:
        made = super().visit_NonNullLiteral(op, value=value, dtype=dtype)
        # Spark reads 3600.0 as a decimal number, whose quotients are rounded in other places than a double's.
        if dtype.is_floating() and isinstance(made, sge.Literal):
            return self.cast(made, dtype)
        return made

    def visit_RegexSearch(self, op: ops.RegexSearch, *, arg: Any, pattern: Any) -> Any:
        # Java's $ also matches before some last characters ("7\u2028"): it takes them for line breaks without (?d).
        return super().visit_RegexSearch(op, arg=arg, pattern=self.f.concat("(?d)", pattern))


class _Backend(Backend):
    """ibis's backend without its detour over pandas, which turns missing texts and whole numbers into NaN."""

    compiler = _Compiler()

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self._session.createDataFrame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)

    def to_pyarrow(self, expr: ir.Expr, /, **_: Any) -> Any:
        table = expr.as_table()
        rows: pa.Table = self.frame(table).toArrow()
        return expr.__pyarrow_result__(rows.cast(table.schema().to_pyarrow()))

    def frame(self, table: ir.Table) -> Any:
        self._run_pre_execute_hooks(table)
        return self._session.sql(self.compile(table))


_Backend.register_options()  # which ibis does for its own backends


class SparkEngine:
    """See `dataset_builder.engines.engine.Engine`. Kept tables are Parquet files under `scratch`."""

    title = "Spark"
    errors: tuple[type[Exception], ...] = (PySparkException, Py4JError, ConnectionError)

    def __init__(self, session: SparkSession, scratch: Path) -> None:
        self._session = session
        self._backend = _Backend()
        self._backend.do_connect(session)
        self._scratch = scratch
        self._views = 0

    def read(self, place: Path | Files) -> ibis.Table:
        reader = self._session.read
        if isinstance(place, Files):
            merged = reader.option("mergeSchema", True)
            return self._view(merged.parquet(*(_uri(path) for path in place.paths)))
        if place.suffix == ".parquet":
            return self._view(reader.parquet(_uri(place)))
        # Texts can have line breaks. Without a schema to guess, every cell is text.
        reader = reader.options(header=True, sep=",", quote='"', escape='"', multiLine=True, mode="FAILFAST")
        return self._view(reader.csv(_uri(place)))

    def keep(self, name: str, table: ibis.Table, looked_up_by: str | None) -> ibis.Table:
        frame = self._backend.frame(table)
        if looked_up_by is not None:
            frame = frame.orderBy(looked_up_by)  # Parquet's row groups then hold few of its values each
        path = self._scratch / f"{name}.kept"
        frame.write.parquet(_uri(path))
        return self._view(self._session.read.schema(frame.schema).parquet(_uri(path)))

    def advice(self, error: Exception) -> str:
        condition = error.getCondition() if isinstance(error, PySparkException) else None
        kind = condition or type(error).__name__
        if isinstance(error, ConnectionError):
            return f"Spark's Java process ended ({kind}); it may have run out of memory"
        return f"cannot be read to its end ({kind}); it is damaged or cut off, copy it again"

    def _view(self, frame: Any) -> ibis.Table:
        self._views += 1
        name = f"clinragen_{self._views}"
        frame.createOrReplaceTempView(name)
        return self._backend.table(name)


@contextmanager
def open_spark(scratch: Path) -> Iterator[SparkEngine]:
    """Open Spark; kept tables and spilled rows go below `scratch`, which a cluster's machines must all see."""
    active = SparkSession.getActiveSession()
    if active is not None:
        session = active.newSession()
        _set_up(session)
        yield SparkEngine(session, scratch)
        return
    with _local_context(scratch) as context:
        session = SparkSession(context)
        _set_up(session)
        try:
            yield SparkEngine(session, scratch)
        finally:
            session.stop()


def _set_up(session: SparkSession) -> None:
    for name, value in SESSION.items():
        session.conf.set(name, value)


@contextmanager
def _local_context(scratch: Path) -> Iterator[SparkContext]:
    settings = {
        "spark.master": f"local[{THREADS}]",
        "spark.app.name": "clinragen build",
        "spark.driver.memory": MEMORY,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch / "spark"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": str(2 * THREADS),
    }
    conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        # A Java process that an earlier session of this Python process started is taken again.
        gateway = SparkContext._gateway or launch_gateway(conf, popen_kwargs=quiet)
        context = SparkContext(conf=conf, gateway=gateway)
    except (PySparkException, Py4JError, OSError) as error:
        raise SettingsError(
            f"engine 'spark' cannot start Java ({type(error).__name__}); "
            "install Java 17 (Debian: openjdk-17-jre-headless) and see that 'java' runs or JAVA_HOME is set"
        ) from None
    try:
        yield context
    finally:
        context.stop()


def _uri(path: Path) -> str:
    """The path on the local file system. Spark's CSV reader takes some characters for a pattern even when escaped."""
    if set("{}[]*?:\\") & set(str(path.resolve())):
        raise InputDataError(
            f"{path}: Spark cannot read a path with any of {{ }} [ ] * ? : \\ in it; rename the folder"
        )
    return f"file://{path.resolve()}"
