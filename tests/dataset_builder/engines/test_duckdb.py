"""What DuckDB reads of a CSV file is what its form says, whatever the file's beginning looks like."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

import ibis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_mimic import crowd, make_cohort

from dataset_builder.engines.duckdb import DuckdbEngine, open_duckdb

CELL = st.text(st.sampled_from("a1 #;|\t'\"\n%-."), max_size=4)
TABLES = st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbEngine]:
    with open_duckdb(tmp_path_factory.mktemp("scratch")) as opened:
        yield opened


def read(engine: DuckdbEngine, path: Path) -> list[tuple[str | None, ...]]:
    """All rows of a table, as DuckDB reads it."""
    table = engine.read(path)
    assert table.columns == ("first", "second", "third")
    return [tuple(row.values()) for row in table.to_pyarrow().to_pylist()]


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("first", "second", "third"), *rows])
    path.write_bytes(gzip.compress(text.getvalue().encode()))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TABLES)
def test_every_cell_is_read_as_it_is_written(
    rows: list[tuple[str, ...]], tmp_path: Path, engine: DuckdbEngine
) -> None:
    path = tmp_path / "table.csv.gz"
    write(path, rows)
    assert sorted(tuple(cell or "" for cell in row) for row in read(engine, path)) == sorted(rows)


@pytest.mark.parametrize("rows", [b"#1,2,3\n4,#5,6\n", b"1,2,#3\n4,5,6\n", b"#1,#2,#3\n#4,#5,#6\n"])
def test_a_cell_that_begins_like_a_comment_is_a_cell(rows: bytes, tmp_path: Path, engine: DuckdbEngine) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"first,second,third\n" + rows)
    assert sorted(read(engine, path)) == sorted(tuple(line.split(",")) for line in rows.decode().split())


def test_a_table_without_rows_has_its_columns(tmp_path: Path, engine: DuckdbEngine) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"first,second,third\n")
    assert read(engine, path) == []


def plan_of(engine: DuckdbEngine, table: ibis.Table) -> str:
    return str(engine._backend.con.execute(f"EXPLAIN {engine._backend.compile(table)}").fetchall()[0][1])


def test_events_are_neither_held_in_memory_nor_stripped_where_they_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = {}
    keep = DuckdbEngine.keep

    def explain_and_keep(self: DuckdbEngine, name: str, table: ibis.Table, looked_up_by: str | None) -> ibis.Table:
        kept = keep(self, name, table, looked_up_by)  # which registers the tables in memory that it names
        plans[name] = plan_of(self, table)
        return kept

    monkeypatch.setattr(DuckdbEngine, "keep", explain_and_keep)
    make_cohort("mimic-iv", crowd(3).write(tmp_path / "tables"), tmp_path / "cohort", note_policy="full")
    plan = plans["chart_rows"]
    sides = [match[1] for match in re.finditer(r"Join Type:\s*(\w+)", plan)]
    assert "LEFT" in sides
    assert "RIGHT" not in sides
    assert "trim" not in plan.lower()


def test_a_plan_shows_what_is_computed_beforehand(tmp_path: Path, engine: DuckdbEngine) -> None:
    write(tmp_path / "table.csv.gz", [("a", "b", "c")])
    cell = engine.read(tmp_path / "table.csv.gz").first.strip()
    assert "trim" in plan_of(engine, ibis.ifelse(cell == "", ibis.null("string"), cell).as_table()).lower()
