"""Looks up a source's tables in a PostgreSQL database: where they are, whether they may be read, and their state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from dataset_builder.engines.postgres import connect_database
from modeling_clinragen.errors import InputDataError

# A table's state consists of its file, its size and the server's counters of changed rows, those of its
# partitions and children included, and by when the counters were last reset, by hand or in a crash. Where the server
# counts no changes (views, foreign tables, track_counts off) the state is the newest transaction, so that it never
# looks unchanged when it could have changed.
TABLES = """
WITH RECURSIVE wanted AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relname = ANY(%(names)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), parts (root, oid) AS (
    SELECT oid, oid FROM wanted
    UNION ALL
    SELECT parts.root, i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid
), states AS (
    SELECT parts.root, string_agg(concat_ws(' ', parts.oid, pg_relation_filenode(parts.oid),
        pg_relation_size(parts.oid), s.n_tup_ins, s.n_tup_upd, s.n_tup_del), ', ' ORDER BY parts.oid) AS state
    FROM parts LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = parts.oid
    GROUP BY parts.root
), counted AS (
    SELECT concat_ws(' ', d.stats_reset, b.stats_reset) AS since
    FROM pg_catalog.pg_stat_database d CROSS JOIN pg_catalog.pg_stat_bgwriter b WHERE d.datname = current_database()
)
SELECT w.nspname, w.relname,
    has_schema_privilege(w.nspname, 'USAGE') AND has_table_privilege(w.oid, 'SELECT'),
    CASE WHEN w.relkind IN ('v', 'f') OR current_setting('track_counts') = 'off' THEN pg_current_snapshot()::text
        ELSE concat_ws(' since ', states.state, counted.since) END
FROM wanted w JOIN states ON states.root = w.oid CROSS JOIN counted
"""
OTHER_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
STATS_LAG_S = 10.5  # the server's own PGSTAT_IDLE_INTERVAL is 10 s


@dataclass(frozen=True)
class FoundTable:
    """A table of the database; any change to its rows changes `state`."""

    schema: str
    name: str
    readable: bool
    state: str


def wait_for_counters(url: str) -> None:
    """Wait until the counters of changed rows include every change that was committed before.

    A session adds its changes to them when it ends, and while it is idle up to ten seconds late: that is how long this
    waits where there are other sessions. Raises `InputDataError` when the server cannot be reached.
    """
    with connect_database(url) as connection:
        end = time.monotonic() + STATS_LAG_S
        try:
            waiting = set(connection.execute(OTHER_SESSIONS).fetchall())
            while waiting and time.monotonic() < end:
                time.sleep(0.2)
                waiting &= set(connection.execute(OTHER_SESSIONS).fetchall())
        except psycopg.Error as error:
            raise _unreadable(url, error) from None


def find_tables(url: str, schemas: Sequence[str], names: Sequence[str]) -> tuple[list[FoundTable], list[str]]:
    """The tables of these names in these schemas, and those of the schemas that the database has.

    Raises `InputDataError` when the server cannot be reached or the role cannot create temporary tables.
    """
    with connect_database(url) as connection:
        try:
            row = connection.execute(
                "SELECT has_database_privilege(current_database(), 'TEMP'), "
                "ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s))",
                [list(schemas)],
            ).fetchone()
            found = connection.execute(TABLES, {"schemas": list(schemas), "names": list(names)}).fetchall()
        except psycopg.Error as error:
            raise _unreadable(url, error) from None
    may_make_temporary_tables, present = row or (False, [])
    if not may_make_temporary_tables:
        raise InputDataError(
            f"{url}: the role cannot create temporary tables; ask for GRANT TEMP ON DATABASE (nothing else is written)"
        )
    return [FoundTable(*entry) for entry in found], list(present)


def _unreadable(url: str, error: psycopg.Error) -> InputDataError:
    return InputDataError(f"{url}: its catalog cannot be read ({type(error).__name__}); try again")
