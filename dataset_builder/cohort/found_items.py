"""Which items a source has by its data: the codes that patterns stand for, and the units that values come in.

A source of tables names its item ids, and the unit of each. One of events (MEDS) names patterns of codes. Where the
data say the unit, in the code or beside the value, each unit of a code makes an item of its own: its values are
converted by that unit, or counted as of an unknown one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis

from dataset_builder.cohort.event_tables import CODE, OF_END, TIME, matching, periods, placed_in_periods, view_of
from dataset_builder.cohort.session import count_rows, errors_named, read_table
from dataset_builder.contract.measurement_units import LONGEST, unit_of
from dataset_builder.engines.engine import Engine
from dataset_builder.sources.event_views import IDS, Patterns
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import Item, Piece, Source, TableSpec
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Variable

UNIT = "unit"
TOO_LONG = "a longer text"
Record = dict[str, Any]
"""What became of the rows of something: `what`, `rows`, and by reason how many of them were `left_out`."""
MOST_SHOWN = 5


@dataclass(frozen=True)
class _Found:
    """Rows of one code in one unit."""

    code: str
    unit: str | None
    rows: int


def item_in_unit(item: ibis.Column, unit: ibis.Column) -> ibis.Column:
    """The name of an item in a unit, such as "LOINC//8867-4 [/min]"."""
    return item + ibis.literal(" [") + _short(unit).fill_null("") + ibis.literal("]")


def _short(unit: ibis.Column) -> ibis.Column:
    """A unit as it may be shown: a longer text is not a unit, and could say something of a patient."""
    return ibis.ifelse(unit.length() > LONGEST, ibis.literal(TOO_LONG), unit)


def find_items(
    con: Engine, located: LocatedSource, variables: Sequence[Variable]
) -> tuple[LocatedSource, list[Record]]:
    """The source with the items that its data have, and without optional tables that they have no row of.

    Raises:
        InputDataError: No event has a code of a table that is needed, or a code is of two variables' items.
    """
    source = located.source
    records: list[Record] = []
    read: set[str] = set()
    if source.layout == "events":
        codes, record = _codes(con, located)
        located, read = _with_tables(located, codes)
        records += [record, *_period_records(con, located)]
    by_data = [spec for spec in source.event_tables if _is_by_data(spec) and spec.name in located.paths]
    items = [item for item in source.items if item.table not in {spec.name for spec in by_data}]
    conversions = dict(source.conversions)
    known = {variable.key: variable for variable in variables}
    for spec in by_data:
        for item, found in _matched(source, spec, _found_in(con, located, spec)):
            if found is None:
                items.append(item)
                continue
            read.add(found.code)
            made = _in_its_unit(item, found, known[item.variable], source, conversions)
            items.append(replace(made, item=f"{found.code} [{found.unit or ''}]") if spec.has(UNIT) else made)
    if source.layout == "events":
        records[0]["left_out"].update(_unread(codes, read))
    source = replace(located.source, items=tuple(items), conversions=conversions)
    return replace(located, source=source), records


def records_in_words(records: Sequence[Record]) -> list[str]:
    """A line for each record."""
    lines = []
    for record in records:
        left_out = {reason: count for reason, count in record["left_out"].items() if count}
        why = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in left_out.items())
        lines.append(f"{record['what']}: {record['rows']:,}{f' (left out: {why})' if why else ''}")
    return lines


def _is_by_data(spec: TableSpec) -> bool:
    return spec.view is not None or spec.has(UNIT)


def _codes(con: Engine, located: LocatedSource) -> tuple[Counter[str], Record]:
    """How many events each code has; events without one are counted in the record."""
    place = next(iter(located.paths.values()))
    with errors_named(con, place):
        events = con.read(place)
        counted = events.group_by(CODE).agg(rows=events.count()).to_pyarrow().to_pylist()
    codes = Counter({row[CODE]: row["rows"] for row in counted if row[CODE] is not None})
    without = sum(row["rows"] for row in counted if row[CODE] is None)
    if not codes:
        raise InputDataError(f"{place}: no event has a code; give a MEDS dataset with events")
    record = {"what": "events", "rows": codes.total() + without, "left_out": {"without_a_code": without}}
    return codes, record


def _with_tables(located: LocatedSource, codes: Counter[str]) -> tuple[LocatedSource, set[str]]:
    """Without the optional tables that no code belongs to; and the codes of tables that are not of measurements."""
    read: set[str] = set()
    paths = dict(located.paths)
    for name, spec in located.source.tables.items():
        view = view_of(located.source, name)
        found = {code for pattern in view.patterns for code in codes if pattern.compiled.match(code)}
        begins = found if name not in IDS else {code for code in found if view.codes.compiled.match(code)}
        if not begins and not spec.optional:
            raise InputDataError(_no_code(located, name, view.codes, codes))
        if not begins:
            del paths[name]
        elif not spec.events:
            read |= found
    return replace(located, paths=paths), read


def _no_code(located: LocatedSource, name: str, patterns: Patterns, codes: Counter[str]) -> str:
    begin: Counter[str] = Counter()
    for code, rows in codes.items():
        begin[code.split(view_of(located.source, name).separator)[0]] += rows
    # What a code begins with is a kind of event; a longer text could say something of a patient.
    shown = [kind for kind, _ in begin.most_common() if re.fullmatch("[A-Z][A-Z0-9_]{1,30}", kind)][:MOST_SHOWN]
    looks = f" (they begin with {', '.join(shown)})" if shown else ""
    return (
        f"{located.root}: none of the {len(codes):,} codes{looks} is like {' or '.join(patterns.texts)}, which the "
        f"table '{name}' of {located.source.path.name} needs; write a source file with the codes of this dataset"
    )


def _period_records(con: Engine, located: LocatedSource) -> list[Record]:
    place = next(iter(located.paths.values()))
    records = []
    with errors_named(con, place):
        events = con.read(place)
        for name in (name for name in IDS if name in located.paths):
            view = view_of(located.source, name)
            if view.ends is None:
                continue
            found = periods(events, view, place)
            begins, ends = count_rows(matching(events, view.codes)), count_rows(matching(events, view.ends))
            counted = found.aggregate(rows=found.count(), ended=found[f"{OF_END}{TIME}"].count())
            (row,) = counted.to_pyarrow().to_pylist()
            placed = placed_in_periods(events, located.source, name, place)
            outside = count_rows(placed.filter(placed["hadm_id"].isnull()))
            left_out = {
                "repeated_or_without_a_time_or_key": begins - row["rows"],
                "without_an_end": row["rows"] - row["ended"],
                "outside_every_admission": outside,
            }
            records.append({"what": f"beginnings of {name}", "rows": begins, "left_out": left_out})
            unused = {"without_a_beginning": ends - row["ended"]}
            records.append({"what": f"ends of {name}", "rows": ends, "left_out": unused})
    return records


def _found_in(con: Engine, located: LocatedSource, spec: TableSpec) -> list[_Found]:
    with errors_named(con, located.paths[spec.name]):
        rows = read_table(con, located, spec.name)
        rows = rows.mutate(**{UNIT: _short(rows[UNIT])}) if spec.has(UNIT) else rows
        by = ["item", *([UNIT] if spec.has(UNIT) else [])]
        counted = rows.group_by(*by).agg(rows=rows.count()).order_by(*by).to_pyarrow().to_pylist()
    found = []
    for row in counted:
        if row["item"] is not None:
            unit = row[UNIT] if spec.has(UNIT) else spec.view.unit_in(row["item"]) if spec.view is not None else None
            found.append(_Found(row["item"], unit, row["rows"]))
    return found


def _matched(source: Source, spec: TableSpec, found: Sequence[_Found]) -> list[tuple[Item, _Found | None]]:
    """The items of a table, each with every code that its pattern stands for, or with none where there is no such."""
    items = [item for item in source.items if item.table == spec.name]
    patterns = [Patterns((item.item,)).compiled for item in items]
    any_of = Patterns(tuple(item.item for item in items)).compiled if items else None
    by_item: dict[int, list[_Found]] = {number: [] for number in range(len(items))}
    for one in found:
        if any_of is None or not any_of.match(one.code):
            continue
        matches = [number for number, pattern in enumerate(patterns) if pattern.match(one.code)]
        if len({items[number].variable for number in matches}) > 1:
            names = " and ".join(sorted({items[number].item for number in matches}))
            raise InputDataError(f"{source.path}: a code is like {names}, of two variables; make them narrower")
        by_item[matches[0]].append(one)
    pairs: list[tuple[Item, _Found | None]] = []
    for number, item in enumerate(items):
        pairs += [(item, one) for one in by_item[number]] or [(item, None)]
    return pairs


def _in_its_unit(
    item: Item, found: _Found, variable: Variable, source: Source, conversions: dict[str, tuple[Piece, ...]]
) -> Item:
    """An item of one code in one unit. The unit in the data decides; without one that of the source's file.

    A conversion that the source's file names settles doubts as well (a fraction among percents): it is taken where
    the data have the unit that the file names.
    """
    made = replace(item, item=found.code, unit=found.unit or item.unit)
    if found.unit is None:
        return made if item.unit or variable.unitless else replace(made, unit_known=False)
    unit = unit_of(found.unit, variable, source.units)
    if unit is None:
        return replace(made, unit_known=False)
    own = unit_of(item.unit, variable) if item.unit else None
    same = own is not None and math.isclose(own.scale, unit.scale) and math.isclose(own.offset, unit.offset)
    if same and item.conversion is not None:
        return made
    if unit.is_own:
        return replace(made, conversion=None)
    name = f"{unit.scale!r} {unit.offset!r}"
    conversions[name] = (Piece(math.inf, unit.scale, unit.offset, None),)
    return replace(made, conversion=name)


def _unread(codes: Counter[str], read: set[str]) -> dict[str, int]:
    return {"of_other_codes": sum(rows for code, rows in codes.items() if code not in read)}
