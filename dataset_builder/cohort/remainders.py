"""Measurements charted as two items, such as pounds and ounces: the second one's value is added to the first's."""

from __future__ import annotations

from collections.abc import Sequence

import ibis

from dataset_builder.sources.spec import Item, Source, TableSpec
from modeling_clinragen.vocabulary_clinragen import Variable

ADDED = "added_to_another_item"


def add_remainders(
    rows: ibis.Table, source: Source, spec: TableSpec, variables: Sequence[Variable], reasons: Sequence[str]
) -> ibis.Table:
    """The rows with every remainder (`Item.remainder_of`) added to the value that its item has at the same time.

    A remainder is less than one of the other item's units: 6 oz beside 7 lb are 6 oz more, 118 oz are the same weight
    once again and stand for themselves. A remainder without the other item is left as it is, by itself implausible.

    Args:
        rows: Stored rows of one table: stay_id, hours, item_number, value, reason, and more.
        source: The source, with its items.
        spec: The table.
        variables: The vocabulary's variables.
        reasons: The names of the numbers in `reason`.
    """
    numbers = {(item.table, item.item): number for number, item in enumerate(source.items)}
    for number, item in enumerate(source.items):
        if item.table == spec.name and item.remainder_of is not None:
            plausible = next(one.plausible for one in variables if one.key == item.variable)
            base = numbers[spec.name, item.remainder_of]
            rows = _added(rows, number, base, _largest(source, item), (plausible, reasons))
    return rows


def _largest(source: Source, item: Item) -> float:
    """The item's `below` in the variable's unit."""
    piece = source.pieces_of(item)[0]
    return item.below * piece.scale + piece.offset


def _added(
    rows: ibis.Table,
    number: int,
    base: int,
    below: float,
    judged_by: tuple[tuple[float, float], Sequence[str]],
) -> ibis.Table:
    (low, high), reasons = judged_by
    implausible = reasons.index("implausible")
    readable = rows.reason.isnull() | (rows.reason == implausible)
    is_rest = readable & (rows.item_number == number) & (rows.value > 0) & (rows.value < below)
    is_rest = is_rest.fill_null(False)
    is_base = readable & (rows.item_number == base)
    bases = rows.filter(is_base)
    at = bases.select(at_stay="stay_id", at_hours="hours").distinct()
    rests = rows.filter(is_rest)
    rest_by_time = rests.group_by(rest_stay="stay_id", rest_hours="hours").agg(rest=rests.value.max())
    bases = bases.left_join(
        rest_by_time, [bases.stay_id == rest_by_time.rest_stay, bases.hours == rest_by_time.rest_hours]
    )
    value = bases.value + bases.rest.fill_null(0.0)
    judged = ibis.ifelse((value < low) | (value > high), ibis.literal(implausible, "int8"), ibis.null("int8"))
    bases = bases.mutate(value=value, reason=judged).select(*rows.columns)
    rests = rests.left_join(at, [rests.stay_id == at.at_stay, rests.hours == at.at_hours])
    added = ibis.ifelse(rests.at_stay.notnull(), ibis.literal(reasons.index(ADDED), "int8"), rests.reason)
    rests = rests.mutate(reason=added).select(*rows.columns)
    return ibis.union(rows.filter(~(is_rest | is_base)), bases, rests)
