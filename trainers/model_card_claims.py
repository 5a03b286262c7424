"""The part of a model card that says how far the rationales can be believed, from the evaluation's numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainers.formatting import NOTHING, TEXTS, format_percent, format_rate, markdown_table

TEXT = "<text>"


def about_claims(entries: Mapping[str, Any]) -> str:
    """Tables of contradicted, unverifiable and missing claims of one system's rationales, in per cent.

    Args:
        entries: What metrics.json has under `rationale.<system>`; where no claim was checked, the card says so.
    """
    if "claims" not in entries:
        return "Whether the claims of its rationales hold was not measured."
    claims = entries["claims"]
    texts = {"raw": "Share"} if claims["raw"] == claims["shown"] else TEXTS

    def row(title: str, *path: str, form: Callable[[Mapping[str, Any]], str] = format_percent) -> list[str]:
        return [title, *(form(_at(entries, path, text)) for text in texts)]

    rows = [
        row("Claims about the data that the data contradict", "claims", TEXT, "data", "contradicted"),
        row("Claims about the data that the data do not decide", "claims", TEXT, "data", "unverifiable"),
        row("Rationales with a contradicted claim about the data", "claims", TEXT, "data", "with_contradiction"),
        row("Supported claims about the data a rationale", "claims", TEXT, "data", "per_rationale", form=format_rate),
        row("Ties of evidence to a disease that knowledge contradicts", "claims", TEXT, "ties", "contradicted"),
        row("Ties that knowledge does not know", "claims", TEXT, "ties", "unverifiable"),
        row("Sentences without a claim", "claims", TEXT, "without_claim"),
    ]
    for source in ("note", "series"):
        if entries.get("evidence") is not None:
            rows += [
                row(f"Present diseases whose evidence in the {source} is cited", "evidence", TEXT, source, "present"),
                row(f"The same, of those that the model lists ({source})", "evidence", TEXT, source, "listed"),
            ]
        if "findings" in entries:
            rows.append(
                row(f"Listed diseases with known evidence in the {source} that is cited", "findings", TEXT, source)
            )
    parts = [markdown_table(["", *texts.values()], rows)]
    if "sentences" in entries and entries["sentences"]["withheld"]["count"]:
        parts.append(f"Withheld: {format_percent(entries['sentences']['withheld'])} of the sentences.")
    kinds = dict.fromkeys(kind for text in texts for kind in claims[text]["kinds"])
    by_kind = [[kind, *(_counted(claims[text]["kinds"].get(kind)) for text in texts)] for kind in kinds]
    return "\n\n".join([*parts, "Contradicted, by kind of claim:", markdown_table(["Kind", *texts.values()], by_kind)])


def _at(entries: Mapping[str, Any], path: Sequence[str], text: str) -> Mapping[str, Any]:
    """The entry at a path, where `TEXT` stands for the text that is asked for."""
    found = entries
    for key in path:
        found = found[text if key == TEXT else key]
    return found


def _counted(shares: Mapping[str, Any] | None) -> str:
    return NOTHING if shares is None else f"{format_percent(shares['contradicted'])} of {shares['claims']}"
