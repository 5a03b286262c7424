"""Series and files of parts of a cohort, against the same worked out row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_mimic import HR, SHIPPED, VOCABULARY, crowd, examples_of, make_cohort

import dataset_builder.cohort.build
from dataset_builder.cohort.config import FILTERS
from dataset_builder.cohort.example_writer import example_writer
from dataset_builder.cohort.leakage_audit import LeakageAudit
from dataset_builder.cohort.series_grid import GRIDS, SeriesReader
from dataset_builder.contract.schema import SPLITS

WIDTH = 3
STAYS = st.lists(st.integers(1, 6), min_size=1, unique=True)
ROW = st.fixed_dictionaries(
    {
        "stay_id": st.integers(1, 6),
        "hours": st.integers(0, 12).map(lambda quarters: quarters / 4),
        "variable": st.integers(0, WIDTH - 1),
        "value": st.integers(-3, 3).map(float),
        "tie": st.sampled_from([None, "-1", "10", "9", "a"]),
    }
)


def expected_steps(
    rows: list[dict[str, Any]], grid: str, max_steps: int | None, *, with_tie: bool
) -> tuple[dict[float, list[float | None]], dict[str, int]]:
    """One stay's steps, hour: values, and the counts, by the rules that `SeriesReader` documents."""
    order = ["hours", *(["tie"] if with_tie else []), "value"]
    rows = sorted(rows, key=lambda row: [(row[name] is not None, row[name]) for name in order])
    single = {(row["hours"], row["variable"]): row["value"] for row in rows}
    steps: dict[float, list[float | None]] = {}
    for (hours, variable), value in single.items():
        at = hours // 1 if grid == "hourly" else hours
        steps.setdefault(at, [None] * WIDTH)[variable] = value
    kept = dict(list(steps.items())[:max_steps])
    counts = {"measurements_used": len(rows), "merged_at_the_same_time": len(rows) - len(single)}
    return kept, {**counts, "steps": len(kept), "steps_cut": len(steps) - len(kept)}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(ROW, max_size=40),
    stays=STAYS,
    grid=st.sampled_from(GRIDS),
    max_steps=st.sampled_from([1, 3, None]),
    with_tie=st.booleans(),
)
def test_series_are_what_the_rows_say(
    rows: list[dict[str, Any]], stays: list[int], grid: str, max_steps: int | None, with_tie: bool
) -> None:
    rows = [row for row in rows if row["stay_id"] in stays]
    types = {"stay_id": pa.int64(), "hours": pa.float32(), "variable": pa.int8(), "value": pa.float64()}
    schema = pa.schema({**types, **({"tie": pa.string()} if with_tie else {})})
    measurements = ibis.memtable(pa.Table.from_pylist(rows, schema))
    reader = SeriesReader(measurements, grid, WIDTH, max_steps=max_steps)
    series = reader.read(pa.table({"stay_id": stays}))
    total = dict.fromkeys(reader.counts, 0)
    for place, stay in enumerate(stays):
        own = [row for row in rows if row["stay_id"] == stay]
        steps, counts = expected_steps(own, grid, max_steps, with_tie=with_tie)
        part = slice(series.offsets[place], series.offsets[place + 1])
        assert series.hours[part].tolist() == list(steps)
        values = [[None if np.isnan(value) else value for value in row] for row in series.values[part].tolist()]
        assert values == list(steps.values())
        total = {name: total[name] + counts[name] for name in total}
    assert reader.counts == total
    assert (series.hours.dtype, series.values.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_size_of_the_parts_changes_no_example(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital = crowd(20)
    for number in range(21, 41):
        hospital.stay(number, codes=(("5849", 9),), note=f"Chief Complaint:\n{number}")
        for event in range(number % 3):
            hospital.chart(number, event + 0.5, HR, 60 + number)
    root = hospital.write(tmp_path / "tables")
    wanted = {
        "note_policy": "full",
        "skip_filters": [name for name in FILTERS if name != "adults"],
    }  # stays without an event are among the examples
    whole = make_cohort("mimic-iv", root, tmp_path / "whole", **wanted)
    monkeypatch.setattr(dataset_builder.cohort.build, "PART", size)
    found = make_cohort("mimic-iv", root, tmp_path / "parts", **wanted)
    assert found == whole
    assert examples_of(tmp_path / "parts") == examples_of(tmp_path / "whole")
    for split in SPLITS:
        stays = pq.read_table(tmp_path / "parts" / "data" / f"{split}.parquet")["stay_id"].to_pylist()
        assert stays == sorted(stays)


def test_what_goes_wrong_while_a_part_is_written_is_raised(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="schema"),
        example_writer(tmp_path / "data", VOCABULARY, LeakageAudit(SHIPPED)) as write,
    ):
        write(pa.table({"example_id": ["a"]}), np.array([0]))
