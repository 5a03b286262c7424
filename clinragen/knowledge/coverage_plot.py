"""The figure of a coverage report: terms per topic, how many of them occur in notes, and how they are supported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import atomic_file

BLUE, SKY, GREEN, ORANGE, INK, GREY = "#0072B2", "#A6CEE8", "#009E73", "#E69F00", "#222222", "#767676"
MAX_NAME_LENGTH = 50


def plot_coverage(path: Path, measured: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Draw a report of `coverage` as PNG. The same report gives the same bytes.

    Args:
        path: The file.
        measured: What `coverage` returned.
        names: The topics' names, by key.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    entries = {**measured["diseases"], **measured["variables"]}
    rows = range(len(entries))
    labels = [_short(names[key]) for key in entries]
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    with matplotlib.rc_context(style):
        figure = Figure(
            figsize=(11, 1.6 + 0.26 * len(entries)), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        )
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        values = {name: [entry[name] for entry in entries.values()] for name in ("terms", "found", "supported")}
        left.barh(rows, values["terms"], color=SKY, label="terms")
        left.barh(rows, values["found"], height=0.45, color=BLUE, label="in the notes")
        left.set_xlabel(f"terms, and how many of them occur in the cohort's {measured['notes']:,} notes")
        left.set_yticks(rows, labels)
        left.set_ylim(len(entries) - 0.4, -0.6)
        left.tick_params(axis="y", length=0)
        left.locator_params(axis="x", integer=True)
        right.plot(values["supported"], rows, "o", color=GREEN, ms=6, label="in a passage")
        two = [entry["two_sources"] for entry in entries.values()]
        right.plot(two, rows, "D", color=ORANGE, ms=4.5, label="in 2 or more sources")
        right.set_xlim(-0.04, 1.04)
        right.set_xlabel("share of the terms that passages contain")
        right.tick_params(axis="y", length=0)
        for axes in (left, right):
            axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
            axes.axhline(len(measured["diseases"]) - 0.5, color=GREY, linewidth=0.8)
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        with atomic_file(path) as beside:
            # Without the software tag the same numbers give the same bytes.
            figure.savefig(beside, format="png", dpi=130, metadata={"Software": None})


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1].rstrip()}…"
