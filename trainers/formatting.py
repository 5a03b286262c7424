"""How numbers with their intervals, and tables, are written in report, card, terminal and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "–"
"""A quotient of which there is nothing to divide by."""
TEXTS = {"raw": "as written", "shown": "as shown"}
"""How the two texts of a rationale are called."""


def format_score(interval: Mapping[str, Any] | None) -> str:
    """A value with its interval: "0.612 (0.598 to 0.627)"; a dash where it is undefined or was not measured."""
    if interval is None or interval["value"] is None:
        return NOTHING
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def format_difference(interval: Mapping[str, float]) -> str:
    """A difference with its interval: "+0.021 (+0.010 to +0.032)"; never "-0.000"."""
    value, low, high = (round(interval[name], 3) + 0.0 for name in ("value", "low", "high"))
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def format_share(value: float | None, places: int = 1) -> str:
    """A share in per cent, without an interval: "36.4 %"; a dash where it is undefined."""
    return NOTHING if value is None else f"{100 * value:.{places}f} %"


def format_percent(quotient: Mapping[str, Any]) -> str:
    """A share in per cent with its interval: "36.4 % (35.3 to 37.6)"."""
    if quotient["value"] is None:
        return NOTHING
    value, low, high = (100 * quotient[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def format_rate(quotient: Mapping[str, Any]) -> str:
    """A number for each example with its interval: "5.12 (5.03 to 5.21)"."""
    if quotient["value"] is None:
        return NOTHING
    return f"{quotient['value']:.2f} ({quotient['low']:.2f} to {quotient['high']:.2f})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; whatever a cell holds, it stays one cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
