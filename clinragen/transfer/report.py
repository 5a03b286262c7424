"""The table of a transfer in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.transfer.scores import TITLES
from trainers.formatting import NOTHING, format_difference, format_score, markdown_table

Place = Mapping[str, Any]


def table_of(places: Sequence[Place]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one row for each place that could be read, the home cohort first."""
    read = [place for place in places if "refused" not in place]
    shown = [name for name in TITLES if any(name in place["scores"] for place in read)]
    rows = [
        [
            place["name"] + (" (home)" if place["home"] else ""),
            str(place["patients"]),
            *(format_score(place["scores"].get(name)) for name in shown),
        ]
        for place in read
    ]
    return ["Place", "Patients", *(TITLES[name] for name in shown)], rows


def report_text(content: Mapping[str, Any]) -> str:
    """The report of transfer.json, in Markdown."""
    places = content["places"]
    header, rows = table_of(places)
    lines = [
        "# Transfer",
        *(f"> {notice}" for notice in content["notices"]),
        "Each place is one evaluation of the same model, whose thresholds stay those that were chosen at home. "
        "Intervals are of resampled patients (95 %).",
        markdown_table(header, rows),
    ]
    read = [place for place in places if "refused" not in place]
    others = [place for place in read if place["name"] != content["compared_with"]]
    if others:
        names = [name for name in TITLES if any(name in place["difference"] for place in others)]
        lines += [
            f"## Minus {content['compared_with']}",
            "The patients are others, so each side is resampled by itself (unpaired). An interval that includes zero "
            "shows no difference; with few patients it shows little either way.",
            markdown_table(
                ["Place", *(TITLES[name] for name in names)],
                [[place["name"], *(_difference(place["difference"].get(name)) for name in names)] for place in others],
            ),
        ]
    lines += ["## What the places are like", *(_like(place) for place in read)]
    refused = [place for place in places if "refused" in place]
    if refused:
        lines += ["## Not compared", *(f"- {place['name']}: {place['refused']}" for place in refused)]
    return "\n\n".join(lines) + "\n"


def _difference(found: Mapping[str, Any] | None) -> str:
    return NOTHING if found is None or found["value"] is None else format_difference(found)


def _like(place: Place) -> str:
    covered = place["coverage"]
    note = (
        "no notes"
        if not covered["notes"]
        else f"a note in {100 * covered['notes']:.0f} % of the stays, {covered['note_words']:.0f} words in the median"
    )
    parts = [f"{place['examples']} stays", note]
    parts += [f"never measured: {_listed(covered['never_measured'])}"] if covered["never_measured"] else []
    parts += [f"nobody has: {_listed(covered['nobody_has'])}"] if covered["nobody_has"] else []
    parts += [f"other normal ranges: {_listed(place['other_ranges'])}"] if place["other_ranges"] else []
    parts += ["the truth is known"] if place["truth"] else []
    return f"- {place['name']}: {'; '.join(parts)}."


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(key.replace("_", " ") for key in keys)
