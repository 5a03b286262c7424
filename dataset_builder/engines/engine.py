"""The interface that DuckDB, PostgreSQL and Spark implement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    import ibis

LIBRARIES = ("psycopg", "pyspark", "py4j")


class Engine(Protocol):
    """An open engine. `errors` are the exceptions of its library, whose texts can quote patient rows."""

    title: str
    errors: tuple[type[Exception], ...]

    def read(self, place: Any) -> ibis.Table:
        """The table at `place` as it is there; cells of CSV files are text."""

    def keep(self, name: str, table: ibis.Table, looked_up_by: str | None) -> ibis.Table:
        """Run `table` and keep its rows until the engine is closed."""

    def advice(self, error: Exception) -> str:
        """Describe an error and its cure in words that contain no data."""


@contextmanager
def missing_library_named(engine: str) -> Iterator[None]:
    """Turn the failing import of an engine's optional library into a `SettingsError` that says how to install it."""
    try:
        yield
    except ImportError as error:
        # Without libpq, psycopg's own error has no name.
        if (error.name or "psycopg").partition(".")[0] not in LIBRARIES:
            raise
        raise SettingsError(f"engine '{engine}' is not installed; run: pip install 'clinragen[{engine}]'") from error
