"""Measurements of the cohort's stays: event tables become (stay, hour, variable, value), with a reject log.

One set of ibis expressions for every source and engine; the item ids and conversions come from the source's yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import pyarrow as pa

from dataset_builder.engine import read_table, store
from dataset_builder.expressions import hours_between, number_in
from dataset_builder.location import LocatedSource
from dataset_builder.source import Item, Piece, TableSpec
from dataset_builder.vocabulary import Variable
from modeling_clinragen.errors import InputDataError, SettingsError

WINDOWS: dict[str, float | None] = {"stay": None, "first-24h": 24.0, "first-48h": 48.0}

# Why a row of a known item is not used, in the order in which the reasons are tried.
REASONS = ("marked_as_error", "no_time", "not_a_number", "outside_stay", "after_window", "implausible")


def window_hours(window: str) -> float | None:
    """The window's end in hours since ICU admission; None for the whole stay."""
    if window not in WINDOWS:
        raise SettingsError(f"window '{window}' is unknown; choose one of {', '.join(WINDOWS)}")
    return WINDOWS[window]


def extract_measurements(
    con: Any, located: LocatedSource, variables: tuple[Variable, ...], stays: ibis.Table, window: str
) -> tuple[ibis.Table, list[dict[str, Any]]]:
    """The usable measurements of `stays` and, per item, how many rows were used, rejected and why.

    Measurements: stay_id, hours (float32, since ICU admission), variable (position in `variables`), value (float64, in
    the variable's unit), and `tie` (text) where the source settles several values at one time as text. Used are rows
    with 0 <= hours <= the window's end that lie inside the stay: mimic3-benchmarks keeps a row by its stay id or its
    time, and drops what lies outside [0, length of stay] when it makes the task.

    Tables of measurements without an item of `variables` are not read. Raises `InputDataError` when none of the others
    is there; a variable that only absent tables hold is never observed.
    """
    end = window_hours(window)
    with_items = {item.table for item in located.source.items}
    wanted = [table for table in located.source.event_tables if table.name in with_items]
    present = [table for table in wanted if table.name in located.paths]
    if not present:
        files = ", ".join(sorted({table.file for table in wanted}))
        raise InputDataError(
            f"{located.root}: holds no table of measurements ({files}); put at least one of them there"
        )
    rows = [_rows(con, located, table, variables, stays) for table in present]
    measured = ibis.union(*rows) if len(rows) > 1 else rows[0]
    reasons = [
        (measured.hours.isnull(), "no_time"),
        (measured.value.isnull(), "not_a_number"),
        ((measured.hours < 0) | (measured.hours > measured.stay_hours), "outside_stay"),
        # Comparisons with NaN differ between engines; a NaN is implausible on each.
        (measured.value.isnan() | (measured.value < measured.low) | (measured.value > measured.high), "implausible"),
    ]
    if end is not None:
        reasons.insert(3, (measured.hours > end, "after_window"))
    if located.source.marks_errors:
        reasons.insert(0, (measured.error == 1, "marked_as_error"))
    measured = store(con, "measured", measured.mutate(reason=ibis.cases(*reasons, else_=ibis.null("string"))))
    used = measured.filter(measured.reason.isnull())
    log = _reject_log(measured, located)
    columns = ["stay_id", "variable", "value", *(["tie"] if located.source.last_as_text else [])]
    return used.select(*columns, hours=used.hours.cast("float32")), log


def _rows(
    con: Any, located: LocatedSource, spec: TableSpec, variables: tuple[Variable, ...], stays: ibis.Table
) -> ibis.Table:
    """One event table's rows of known items in cohort stays, values converted; stored, so that it is read once."""
    items = [item for item in located.source.items if item.table == spec.name]
    position = {variable.key: number for number, variable in enumerate(variables)}
    known = ibis.memtable(
        pa.table(
            {
                "item": [item.item for item in items],
                "variable": pa.array([position[item.variable] for item in items], pa.int8()),
                "conversion": pa.array([item.conversion for item in items], pa.string()),
                "low": pa.array([variables[position[item.variable]].plausible[0] for item in items], pa.float64()),
                "high": pa.array([variables[position[item.variable]].plausible[1] for item in items], pa.float64()),
            }
        )
    )
    events = read_table(con, located, spec.name)
    if spec.wide:
        events = _long(_in_stays(events, spec, stays).cross_join(known), items)
    else:
        events = events.filter(events.item.isin([item.item for item in items])).join(known, "item")
        events = _in_stays(events, spec, stays)
    # The text is read only where there is no number: some rows carry the number there alone.
    numbers = [events.number] if "number" in events.columns else []
    if spec.has("text"):
        numbers.append(number_in(events.text))
    events = events.mutate(raw=ibis.coalesce(*numbers))
    value, settled = _converted(events, located.source.conversions)
    hours = hours_between(events.time, events.in_time)
    events = events.mutate(value=value, settled=settled, hours=hours, source_table=ibis.literal(spec.name))
    kept = ["stay_id", "source_table", "item", "variable", "hours", "value", "settled", "stay_hours", "low", "high"]
    if located.source.last_as_text:
        as_text = [position[key] for key in sorted(located.source.last_as_text)]
        text = events.text if spec.has("text") else ibis.null("string")
        events = events.mutate(tie=ibis.ifelse(events.variable.isin(as_text), text, ibis.null("string")))
        kept.append("tie")
    if located.source.marks_errors:
        events = events if spec.has("error") else events.mutate(error=ibis.null("int64"))
        kept.append("error")
    return store(con, f"{spec.name}_rows", events.select(*kept), located.paths[spec.name])


def _long(events: ibis.Table, items: list[Item]) -> ibis.Table:
    """A row per filled cell of a wide table, from its rows paired with every item."""
    cells = [(events.item == item.item, events[item.item]) for item in items]
    events = events.mutate(number=ibis.cases(*cells, else_=ibis.null("float64")))
    return events.filter(events.number.notnull())


def _in_stays(events: ibis.Table, spec: TableSpec, stays: ibis.Table) -> ibis.Table:
    """Events with the stay they belong to: by stay id; without one by admission or patient, and time."""
    keys = stays.select("stay_id", "in_time", "stay_hours", "subject_id", "hadm_id")
    if spec.has("stay_id") and not spec.has("hadm_id"):
        return events.join(keys.drop("subject_id", "hadm_id"), "stay_id")
    keys = keys.rename(own_stay_id="stay_id", own_hadm_id="hadm_id")
    if spec.has("stay_id"):
        events = events.join(keys.drop("subject_id"), events.hadm_id == keys.own_hadm_id)
        by_time = events.stay_id.isnull()
        by_id = events.stay_id == events.own_stay_id
    else:
        events = events.join(keys, "subject_id")
        by_time = events.hadm_id.isnull() | (events.hadm_id == events.own_hadm_id)
        by_id = by_time & events.time.isnull()
    inside = hours_between(events.time, events.in_time).between(0, events.stay_hours)
    events = events.filter(by_id | (by_time & inside))
    return events.drop(*({"stay_id"} & set(events.columns))).rename(stay_id="own_stay_id")


def _converted(events: ibis.Table, conversions: Mapping[str, tuple[Piece, ...]]) -> tuple[ibis.Column, ibis.Column]:
    """The value in the variable's unit, and the words for a doubt that a conversion's pieces settled."""
    values, settled = [], []
    for name, pieces in conversions.items():
        for piece in pieces:
            applies = events.conversion == name
            if piece.up_to != float("inf"):
                applies &= events.raw <= piece.up_to
            values.append((applies, events.raw * piece.scale + piece.offset))
            words = ibis.null("string") if piece.counted_as is None else ibis.literal(piece.counted_as)
            settled.append((applies & events.raw.notnull(), words))
    if not values:
        return events.raw, ibis.null("string")
    return ibis.cases(*values, else_=events.raw), ibis.cases(*settled, else_=ibis.null("string"))


def _reject_log(measured: ibis.Table, located: LocatedSource) -> list[dict[str, Any]]:
    """Per item: rows, rows used, rows rejected by reason, and doubts settled among the rows used."""
    counts = measured.group_by("source_table", "item", "reason", "settled").agg(rows=measured.count()).to_pyarrow()
    by_item: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in counts.to_pylist():
        by_item.setdefault((row["source_table"], row["item"]), []).append(row)
    log = []
    for item in located.source.items:
        rows = by_item.get((item.table, item.item), [])
        rejected = {reason: sum(row["rows"] for row in rows if row["reason"] == reason) for reason in REASONS}
        settled: dict[str, int] = {}
        for row in rows:
            if row["settled"] is not None and row["reason"] is None:
                settled[row["settled"]] = settled.get(row["settled"], 0) + row["rows"]
        log.append(
            {
                "variable": item.variable,
                "table": item.table,
                "item": item.item,
                "label": item.label,
                "unit": item.unit,
                "rows": sum(row["rows"] for row in rows),
                "used": sum(row["rows"] for row in rows if row["reason"] is None),
                "rejected": {reason: count for reason, count in rejected.items() if count},
                "settled": settled,
            }
        )
    return log
