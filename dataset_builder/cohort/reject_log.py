"""Counts of the rows of measurements: used and rejected per item, unreadable per table."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dataset_builder.cohort.rejects import FEW_TIMES, Rejects, most_frequent
from dataset_builder.cohort.remainders import ADDED
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import Source, TableSpec

# Reasons for not using a row of a known item, in the order in which they are tried.
REASONS = (
    "unknown_stay",
    "marked_as_error",
    "no_time",
    "not_a_number",
    "unknown_unit",
    "outside_stay",
    "after_window",
    "implausible",
    ADDED,
)
# Those that say that a row cannot be read; the others are a matter of the cohort or of the patient.
UNREADABLE = ("unknown_stay", "no_time", "not_a_number")
USELESS = (*UNREADABLE, "unknown_unit", "implausible")


def reject_log(counted: list[dict[str, Any]], source: Source) -> list[dict[str, Any]]:
    """Per item: rows, rows used, rows rejected by reason, and doubts settled among the rows used."""
    log = []
    for number, item in enumerate(source.items):
        found = [row for row in counted if row["item_number"] == number]
        rejected: Counter[str] = Counter()
        settled: Counter[str] = Counter()
        for row in found:
            if row["reason"] == REASONS.index(ADDED):
                settled[f"added to item {item.remainder_of}"] += row["rows"]
            elif row["reason"] is not None:
                rejected[REASONS[row["reason"]]] += row["rows"]
            else:
                words = source.pieces_of(item)[row["piece"]].counted_as
                settled.update({} if words is None else {words: row["rows"]})
        rows = sum(row["rows"] for row in found)
        log.append(
            {
                "variable": item.variable,
                "table": item.table,
                "item": item.item,
                "label": item.label,
                "unit": item.unit,
                "rows": rows,
                "used": rows - rejected.total(),
                "rejected": dict(rejected),
                "settled": dict(settled),
            }
        )
    return log


def add_to_rejects(
    counted: list[dict[str, Any]], log: list[dict[str, Any]], located: LocatedSource, spec: TableSpec, rejects: Rejects
) -> None:
    """Count the rows of one table that cannot be read, and tell of items that give nothing."""
    place, items = located.paths[spec.name], located.source.items
    of_table = [row for row in counted if items[row["item_number"]].table == spec.name]
    rows = sum(row["rows"] for row in of_table)
    reasons: Counter[str] = Counter()
    forms: Counter[str] = Counter()
    for row in of_table:
        if row["reason"] is not None and REASONS[row["reason"]] in UNREADABLE:
            if REASONS[row["reason"]] == "unknown_stay" and row["form"] is None:
                continue  # without an id: of any patient, most likely none of the cohort's
            reasons[REASONS[row["reason"]]] += row["rows"]
            forms.update({row["form"]: row["rows"]} if row["form"] is not None else {})
    times = sum(row["rows"] for row in of_table if row["midnight"] is not None)
    midnights = sum(row["rows"] for row in of_table if row["midnight"])
    if times == midnights >= FEW_TIMES and not spec.whole_days and spec.has_times_of_day:
        reasons["no_time_of_day"] = midnights
    rejects.add(place, rows, reasons, most_frequent(forms))
    for entry in log:
        rejected = entry["rejected"]
        lost = sum(count for reason, count in rejected.items() if reason in USELESS)
        if entry["table"] == spec.name and lost == entry["rows"] > 0:
            why = ", ".join(f"{reason}: {count:,}" for reason, count in rejected.items())
            rejects.warn(place, f"no row of item {entry['item']} ({entry['label']}) can be used ({why})")
