"""Measurements of the cohort's stays: event tables become (stay, hour, variable, value), with a reject log.

One set of ibis expressions for every source and engine; the item ids and conversions come from the source's yaml.
"""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from dataset_builder.cohort.cells import form_of
from dataset_builder.cohort.expressions import hours_between, is_midnight, number_in
from dataset_builder.cohort.found_items import UNIT, item_in_unit
from dataset_builder.cohort.reject_log import REASONS, add_to_rejects, reject_log
from dataset_builder.cohort.rejects import Rejects
from dataset_builder.cohort.remainders import add_remainders
from dataset_builder.cohort.session import read_table, store
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import Source, TableSpec
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Variable


def extract_measurements(
    con: Any,
    located: LocatedSource,
    variables: tuple[Variable, ...],
    stays: ibis.Table,
    end: float | None,
    rejects: Rejects,
) -> tuple[ibis.Table, list[dict[str, Any]]]:
    """The usable measurements of `stays` and, per item, how many rows were used, and rejected for which reason.

    Measurements: stay_id, hours (float32, since ICU admission), variable (position in `variables`), value (float64, in
    the variable's unit), and `tie` (text) where the source settles several values at one time as text. Rows with
    0 <= hours <= `end` inside the stay are used: mimic3-benchmarks keeps a row by its stay id or its time, and drops
    what is outside [0, length of stay] when it makes the task. Rows of other stays are not counted; those whose id
    cannot be read are, as "unknown_stay".

    Tables of measurements without an item of `variables` are not read. Raises `InputDataError` when none of the others
    is there; a variable that only absent tables have is never observed.

    Args:
        con: The open engine.
        located: The source's tables.
        variables: The vocabulary's variables, in order.
        stays: The cohort's stays, see `dataset_builder.cohort.stays`.
        end: The end of the window in hours since ICU admission; None for the whole stay.
        rejects: Where rows that cannot be read are counted; it refuses a table most of whose rows cannot.
    """
    with_items = {item.table for item in located.source.items}
    wanted = [table for table in located.source.event_tables if table.name in with_items]
    present = [table for table in wanted if table.name in located.paths]
    if not present:
        files = ", ".join(sorted({table.file for table in wanted}))
        raise InputDataError(f"{located.root}: has no table of measurements ({files}); put at least one of them there")
    rows = [_rows(con, located, table, variables, stays, end) for table in present]
    measured = ibis.union(*rows) if len(rows) > 1 else rows[0]
    counted = measured.group_by("item_number", "piece", "reason", "form", "midnight").agg(rows=measured.count())
    counts = counted.to_pyarrow().to_pylist()
    log = reject_log(counts, located.source)
    for table in present:
        add_to_rejects(counts, log, located, table, rejects)
    used = measured.filter(measured.reason.isnull())
    used = used.drop("item_number", "piece", "reason", "form", "midnight")
    return store(con, "measurements", used, looked_up_by="stay_id"), log


def _rows(
    con: Any,
    located: LocatedSource,
    spec: TableSpec,
    variables: tuple[Variable, ...],
    stays: ibis.Table,
    end: float | None,
) -> ibis.Table:
    """One event table's rows of known items in cohort stays, values converted; stored, so that it is read once.

    With the columns of measurements: item_number (position in the source's items), piece (which of its conversion's
    pieces was used), reason (position in `REASONS`, null for a row that is used), form (how the cell is written that
    cannot be read) and midnight (whether the time is one).
    """
    known = _known_items(located.source, spec, variables)
    items = known["item"].to_pylist()
    events = read_table(con, located, spec.name, forms=_forms(spec, items))
    if spec.has(UNIT):
        events = events.mutate(item=item_in_unit(events.item, events[UNIT]))
    if spec.wide:
        events = _long(_in_stays(events, spec, stays).cross_join(ibis.memtable(known)), items)
    else:
        events = events.filter(events.item.isin(items)).join(ibis.memtable(known), "item")
        events = _in_stays(events, spec, stays)
    events = _converted(events.mutate(raw=_raw_number(events)), located.source)
    events = events.mutate(hours=hours_between(events.time, events.in_time))
    events = events.mutate(hours=events.hours.cast("float32"), reason=_reason(events, end))
    events = events.mutate(form=_form(events, spec), midnight=is_midnight(events.time))
    columns = ["stay_id", "hours", "variable", "value", "item_number", "piece", "reason", "form", "midnight"]
    if located.source.last_as_text:
        as_text = [number for number, variable in enumerate(variables) if variable.key in located.source.last_as_text]
        text = events.text if spec.has("text") else ibis.null("string")
        events = events.mutate(tie=ibis.ifelse(events.variable.isin(as_text), text, ibis.null("string")))
        columns.append("tie")
    rows = store(con, f"{spec.name}_rows", events.select(*columns), located.paths[spec.name])
    return add_remainders(rows, located.source, spec, variables, REASONS)


def _known_items(source: Source, spec: TableSpec, variables: tuple[Variable, ...]) -> pa.Table:
    """A row per item of an event table: item, item_number, variable, low, high, and its conversion's pieces.

    Piece n has the columns up_to_n, scale_n and offset_n; the last one of a short conversion is repeated.
    """
    position = {variable.key: number for number, variable in enumerate(variables)}
    rows = []
    for number, item in enumerate(source.items):
        if item.table == spec.name:
            low, high = variables[position[item.variable]].plausible
            row = {"item": item.item, "item_number": number, "variable": position[item.variable]}
            row |= {"low": low, "high": high, "unit_known": item.unit_known}
            pieces = source.pieces_of(item)
            for index in range(source.max_pieces):
                piece = pieces[min(index, len(pieces) - 1)]
                row |= {f"up_to_{index}": piece.up_to, f"scale_{index}": piece.scale, f"offset_{index}": piece.offset}
            rows.append(row)
            if item.item.isdecimal() and not spec.wide:
                rows.append({**row, "item": f"{item.item}.0"})  # as pandas writes ids that may be missing
    types = {"item": pa.string(), "item_number": pa.int16(), "variable": pa.int8(), "unit_known": pa.bool_()}
    return pa.Table.from_pylist(rows, pa.schema([(name, types.get(name, pa.float64())) for name in rows[0]]))


def _raw_number(events: ibis.Table) -> ibis.Column:
    """The number as it was charted. Some rows carry it in their text alone, which is read only there: that is slow."""
    if "number" not in events.columns:
        return number_in(events.text)
    if "text" not in events.columns:
        return events.number
    only_text = ibis.ifelse(events.number.isnull(), events.text, ibis.null("string"))
    return ibis.coalesce(events.number, number_in(only_text))


def _converted(events: ibis.Table, source: Source) -> ibis.Table:
    """Events with `value` in the variable's unit, and `piece`: which piece of the conversion `raw` fell into."""
    last = source.max_pieces - 1
    value, piece = events.raw * events[f"scale_{last}"] + events[f"offset_{last}"], ibis.literal(last, "int8")
    for index in reversed(range(last)):
        here = events.raw <= events[f"up_to_{index}"]
        value = ibis.ifelse(here, events.raw * events[f"scale_{index}"] + events[f"offset_{index}"], value)
        piece = ibis.ifelse(here, ibis.literal(index, "int8"), piece)
    return events.mutate(value=value, piece=piece)


def _reason(events: ibis.Table, end: float | None) -> ibis.Column:
    """The reason for not using a row, as its position in `REASONS`; null for a row that is used."""
    applies = {
        "unknown_stay": events.stay_id.isnull(),
        "no_time": events.hours.isnull(),
        "not_a_number": events.value.isnull(),
        "unknown_unit": ~events.unit_known,
        "outside_stay": (events.hours < 0) | (events.hours > events.stay_hours),
        # Comparisons with NaN differ between engines; a NaN is implausible on each.
        "implausible": events.value.isnan() | (events.value < events.low) | (events.value > events.high),
    }
    if "error" in events.columns:
        applies["marked_as_error"] = events.error == 1
    if end is not None:
        applies["after_window"] = events.hours > end
    cases = [(applies[reason], ibis.literal(n, "int8")) for n, reason in enumerate(REASONS) if reason in applies]
    return ibis.cases(*cases, else_=ibis.null("int8"))


def _forms(spec: TableSpec, items: list[str]) -> tuple[str, ...]:
    """The columns whose unreadable cells are described by their form."""
    return ("time", _found_by(spec), *(items if spec.wide else ("number",)))


def _form(events: ibis.Table, spec: TableSpec) -> ibis.Column:
    """How a row's id, time or number is written where it cannot be read, null elsewhere."""
    time = events.time_form if "time_form" in events.columns else ibis.null("string")
    number = events.number_form if "number_form" in events.columns else ibis.null("string")
    if "text" in events.columns:
        number = ibis.coalesce(number, form_of(events.text))
    forms = {"unknown_stay": events[f"{_found_by(spec)}_form"], "no_time": time, "not_a_number": number}
    cases = [(events.reason == REASONS.index(reason), form) for reason, form in forms.items()]
    return ibis.cases(*cases, else_=ibis.null("string"))


def _long(events: ibis.Table, items: list[str]) -> ibis.Table:
    """A row per filled cell of a wide table, from its rows paired with every item."""
    cells = [(events.item == item, events[item]) for item in items]
    forms = [(events.item == item, events[f"{item}_form"]) for item in items]
    events = events.mutate(
        number=ibis.cases(*cells, else_=ibis.null("float64")),
        number_form=ibis.cases(*forms, else_=ibis.null("string")),
    )
    return events.filter(events.number.notnull() | events.number_form.notnull())


def _found_by(spec: TableSpec) -> str:
    """The id by which a table's rows find their stay."""
    if spec.has("stay_id"):
        return "hadm_id" if spec.has("hadm_id") else "stay_id"
    return "subject_id"


def _in_stays(events: ibis.Table, spec: TableSpec, stays: ibis.Table) -> ibis.Table:
    """Events with the stay they belong to: by stay id; without one by admission or patient, and time.

    Events of other stays are left out. Those whose id cannot be read are kept, with a null stay: they may be anyone's.
    """
    keys = stays.select(
        "in_time", "stay_hours", **{f"own_{key}": stays[key] for key in ("stay_id", "hadm_id", "subject_id")}
    )
    found_by = _found_by(spec)
    events = events.left_join(keys, events[found_by] == keys[f"own_{found_by}"])
    inside = hours_between(events.time, events.in_time).between(0, events.stay_hours)
    belongs = events.own_stay_id.notnull()
    if found_by == "hadm_id":
        belongs &= (events.stay_id == events.own_stay_id) | (events.stay_id.isnull() & inside)
    elif found_by == "subject_id":
        belongs &= events.hadm_id.isnull() | (events.hadm_id == events.own_hadm_id)
        belongs &= events.time.isnull() | inside
    events = events.filter(belongs | events[found_by].isnull())
    return events.drop(*({"stay_id"} & set(events.columns))).rename(stay_id="own_stay_id")
