"""The guarantee in words: a table for each kind of error, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.guarantee.trials import GUARDED
from trainers.formatting import format_share, markdown_table

HEADER = (
    "Bound on the risk",
    "Risk without flags",
    "Risk",
    "Divisions above the bound",
    "Flagged",
)


def report_text(content: Mapping[str, Any], notices: Sequence[str]) -> str:
    """The report, in Markdown, of what `guarantee.json` holds."""
    delta, patients = content["delta"], content["patients"]
    lines = [
        "# A guarantee, and what it costs",
        *(f"> {notice}" for notice in notices),
        f"{patients} explained patients, divided {content['resplits']} times into halves. On one half a threshold is "
        f"chosen (Learn-then-Test, delta = {delta:g}), on the other it is used. A bound may fail in {100 * delta:g} % "
        "of the divisions, where the risk is that of all patients; a half has chance of its own. The risk is a "
        "patient's share of sentences that are false and shown, or how many patients lack a disease without a flag. "
        "False and missing are decided by the synthetic hospital's own truth.",
    ]
    for name, guarded in GUARDED.items():
        rows = [_row(entry, "") for entry in content[name]]
        rows += [_row({**entry, **entry["other"]}, ", other hospital") for entry in content[name] if "other" in entry]
        lines += [f"## {guarded.title}", markdown_table(HEADER, rows)]
    lines += [
        "## What it cannot say",
        "The bound is about patients like those that it was calibrated on, on average over them, and about what the "
        "world's truth calls false. For patients of another hospital it holds nothing; the rows above say what became "
        "of it there. On real patients there is no such truth: sentences that clinicians have judged would take its "
        "place.",
    ]
    return "\n\n".join(lines) + "\n"


def _row(entry: Mapping[str, Any], where: str) -> list[str]:
    bound = f"{100 * entry['alpha']:g} %{where}"
    if not entry["possible"]:
        reason = (
            f"not answerable here, because {entry['calibration_patients']} patients are too few: it takes "
            f"{entry['needed']}"
        )
        return [bound, format_share(entry["base"]), reason, "", ""]
    risk = entry["risk"]
    return [
        bound,
        format_share(entry["base"]),
        f"{format_share(risk['value'])} ± {100 * risk['standard_error']:.2f}",
        format_share(entry["exceeded"]),
        format_share(entry["flagged"]),
    ]
