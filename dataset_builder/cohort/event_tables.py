"""Tables of a source that has events in place of tables (MEDS): each is seen in them as its `EventView` says."""

from __future__ import annotations

import ibis

from dataset_builder.engines.places import Place
from dataset_builder.sources.event_views import IDS, EventView, Patterns, Reference
from dataset_builder.sources.spec import Source
from modeling_clinragen.errors import InputDataError

SUBJECT, TIME, CODE = "subject_id", "time", "code"
OF_END = "end_"
_OWNER, _MOMENT, _NUMBER = "event_owner", "event_moment", "period_number"


def table_of_events(events: ibis.Table, source: Source, name: str, place: Place) -> ibis.Table:
    """A table with its logical columns, seen in `events`. A stay outside every period that it must be in is left out.

    Args:
        events: The source's events, as they are in its files.
        source: The source.
        name: The table; it has a view.
        place: Where the events are, for messages.

    Raises:
        InputDataError: The events lack a column that the view refers to.
    """
    table = placed_in_periods(events, source, name, place)
    within = [column for column, said in view_of(source, name).columns.items() if _is_within(said)]
    return table.filter([table[column].notnull() for column in within]) if within and name in IDS else table


def placed_in_periods(events: ibis.Table, source: Source, name: str, place: Place) -> ibis.Table:
    """As `table_of_events`, with the stays that are outside."""
    view = view_of(source, name)
    if view.one_per is not None:
        return _one_per(events, view, place)
    rows = periods(events, view, place) if view.ends is not None else matching(events, view.codes)
    plain = {
        column: _value(rows, said, view, place, optional=column in view.optional)
        for column, said in view.columns.items()
        if isinstance(said, Reference) and said.kind != "within"
    }
    rows = rows.select(**plain, **{_OWNER: rows[SUBJECT], _MOMENT: rows[TIME]})
    for column, said in view.columns.items():
        if isinstance(said, Reference) and said.kind == "within":
            rows = _with_period(rows, events, column, source, said.name, place)
    return rows.select(*view.columns)


def view_of(source: Source, name: str) -> EventView:
    """The view of a table of a source whose layout is "events"."""
    view = source.tables[name].view
    assert view is not None
    return view


def matching(events: ibis.Table, patterns: Patterns) -> ibis.Table:
    """The events whose code is one of `patterns`."""
    return events.filter(_is_like(events[CODE], patterns))


def _is_like(code: ibis.Column, patterns: Patterns) -> ibis.Column:
    """Whether a code is one of `patterns`; most are a beginning, which is found much faster than an expression."""
    begins = [text.removesuffix("*") for text in patterns.texts if text.endswith("*") and text.count("*") == 1]
    whole = [text for text in patterns.texts if "*" not in text]
    others = tuple(text for text in patterns.texts if text.count("*") > 1 or ("*" in text and not text.endswith("*")))
    tests = [code.startswith(begin) for begin in begins]
    tests += [code.isin(whole)] if whole else []
    tests += [code.re_search(Patterns(others).regex)] if others else []
    return ibis.or_(*tests)


def periods(events: ibis.Table, view: EventView, place: Place) -> ibis.Table:
    """A row per event that begins a period, with the columns of the one that ends it (`OF_END`); null without one.

    An end is the first with the same key. Without a key it is the patient's next event of either kind: a beginning
    that another one follows has no end. Of an end and a beginning at the same time the end is the earlier one.
    """
    begins, ends = (
        rows.filter(rows[TIME].notnull()) for rows in (matching(events, view.codes), matching(events, _ends(view)))
    )
    if view.key is not None:
        _require(events, view.key, place)
        first = _first(ends.filter(ends[view.key].notnull()), view.key).rename(lambda column: f"{OF_END}{column}")
        begins = _first(begins.filter(begins[view.key].notnull()), view.key)
        found = begins.left_join(first, [begins[view.key] == first[f"{OF_END}{view.key}"]])
    else:
        both = ibis.union(begins.mutate(is_end=0), ends.mutate(is_end=1))
        window = {"group_by": SUBJECT, "order_by": [both[TIME], both.is_end.desc(), both[CODE]]}
        following = ibis.window(**window)
        is_followed = both.is_end.lead().over(following) == 1
        ended = {
            f"{OF_END}{column}": ibis.ifelse(is_followed, both[column].lead().over(following), ibis.null(kind))
            for column, kind in events.schema().items()
        }
        found = both.mutate(**ended)
        found = found.filter(found.is_end == 0).drop("is_end")
    order = [found[SUBJECT], found[TIME], found[CODE]]
    return found.mutate(**{_NUMBER: ibis.row_number().over(order_by=order) + 1})


def _ends(view: EventView) -> Patterns:
    assert view.ends is not None
    return view.ends


def _is_within(said: object) -> bool:
    return isinstance(said, Reference) and said.kind == "within"


def _require(events: ibis.Table, column: str, place: Place) -> None:
    if column not in events.columns:
        raise InputDataError(
            f"{place}: the events have no column '{column}', which the source's file refers to; name one of "
            f"{', '.join(events.columns)}"
        )


def _first(rows: ibis.Table, key: str, then: str = CODE) -> ibis.Table:
    """Of several rows with the same key the first by time and another column."""
    number = ibis.row_number().over(group_by=key, order_by=[rows[TIME].asc(nulls_first=True), rows[then]])
    rows = rows.mutate(row_of_key=number)
    return rows.filter(rows.row_of_key == 0).drop("row_of_key")


def _value(rows: ibis.Table, said: Reference, view: EventView, place: Place, *, optional: bool = False) -> ibis.Value:
    if said.kind == "text":
        return ibis.literal(said.name)
    if said.kind == "period":
        return rows[_NUMBER]
    prefix = OF_END if said.of_end else ""
    if said.kind == "code":
        parts = rows[f"{prefix}{CODE}"].split(view.separator)
        part = ibis.ifelse(parts.length() > said.part, parts[said.part], ibis.null("string"))
        return ibis.ifelse(part.isin(sorted(view.missing)), ibis.null("string"), part) if view.missing else part
    if f"{prefix}{said.name}" not in rows.columns:
        if optional:
            return ibis.null("string")
        _require(rows, said.name, place)
    column = rows[f"{prefix}{said.name}"]
    # MEDS keeps single precision: the number that was charted is the shortest one that is rounded to it. As it is,
    # 0.2 would be 0.20000000298, and outside a range that ends with 0.2.
    return column.cast("string").cast("float64") if column.type().is_float32() else column


def _one_per(events: ibis.Table, view: EventView, place: Place) -> ibis.Table:
    """A row per value of the column `one_per`, with what the first event of each column's codes says."""
    key = str(view.one_per)
    _require(events, key, place)
    relevant = matching(events, view.codes)
    relevant = relevant.filter(relevant[key].notnull())
    result = relevant.select(key).distinct()
    for column, said in view.columns.items():
        if isinstance(said, Reference):
            continue
        cases = [
            (_is_like(relevant[CODE], patterns), _value(relevant, reference, view, place))
            for patterns, reference in said
        ]
        found = relevant.mutate(said=ibis.cases(*cases))
        found = _first(found.filter(found.said.notnull()), key, "said")
        first = found.select(**{f"of_{column}": found[key], column: found.said})
        result = result.left_join(first, [result[key] == first[f"of_{column}"]]).drop(f"of_{column}")
    own = {column: result[key] for column, said in view.columns.items() if isinstance(said, Reference)}
    return result.select(**own, **{column: result[column] for column in view.columns if column not in own})


def _with_period(
    rows: ibis.Table, events: ibis.Table, column: str, source: Source, name: str, place: Place
) -> ibis.Table:
    """Rows with the id of the period of the table `name` that holds their time; of several the greatest id."""
    view = view_of(source, name)
    held = periods(events, view, place)
    reference = view.columns[IDS[name]]
    assert isinstance(reference, Reference)
    held = held.select(
        period_owner=held[SUBJECT],
        period_begin=held[TIME],
        period_end=held[f"{OF_END}{TIME}"],
        period_id=_value(held, reference, view, place),
    )
    inside = (rows[_MOMENT] >= held.period_begin) & (rows[_MOMENT] <= held.period_end)
    joined = rows.left_join(held, [rows[_OWNER] == held.period_owner, inside])
    return joined.group_by(*rows.columns).agg(**{column: joined.period_id.max()})
