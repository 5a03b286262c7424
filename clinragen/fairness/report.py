"""Scores by group in words: a table for each kind of group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.fairness.by_group import SCORES
from clinragen.fairness.members import TITLES
from trainers.formatting import format_difference, format_score, markdown_table

LEVEL = 0.05


def report_text(entries: Sequence[Mapping[str, Any]], notices: Sequence[str]) -> str:
    """The report, in Markdown, of the entries of `compare_groups`."""
    tested = sum(entry["p"] is not None for entry in entries)
    apart = [entry for entry in entries if entry["p_holm"] is not None and entry["p_holm"] < LEVEL]
    lines = [
        "# Scores by group",
        *(f"> {notice}" for notice in notices),
        "Each group is compared with all other patients whose group is known. Intervals are of resampled patients "
        f"(95 %). p values are corrected for all {tested} comparisons (Holm): "
        + (
            "none is below 0.05."
            if not apart
            else f"{len(apart)} are below 0.05: "
            + "; ".join(
                f"{TITLES[one['kind']].lower()} {one['group']}, {SCORES[one['score']].title.lower()} "
                f"{format_difference(one['difference'])}"
                for one in apart
            )
            + "."
        ),
        "A difference need not be the model's: groups have other diseases, and some diseases are harder.",
    ]
    for kind, title in TITLES.items():
        own = [entry for entry in entries if entry["kind"] == kind]
        lines.append(f"## {title}")
        if not own:
            lines.append("Not answerable here, because the source does not say it.")
            continue
        header = ["Group", "Patients", "Score", "Value", "Minus the others", "p, corrected"]
        lines.append(markdown_table(header, [_row(entry) for entry in own]))
    return "\n\n".join(lines) + "\n"


def _row(entry: Mapping[str, Any]) -> list[str]:
    start = [entry["group"], str(entry["patients"]), SCORES[entry["score"]].title, format_score(entry["value"])]
    if entry["why"] is not None:
        return [*start, f"none, because {entry['why']}", ""]
    p = entry["p_holm"]
    return [*start, format_difference(entry["difference"]), "< 0.001" if p < 0.001 else f"{p:.3f}"]
