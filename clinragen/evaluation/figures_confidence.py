"""Figures about probabilities: how true they are, and how often a system is wrong that abstains when it is unsure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.evaluation.figures import BLUE, GREY, INK, MARKS, ORANGE, PALE, SKY, new_figure
from clinragen.evaluation.selective import KINDS
from clinragen.evaluation.systems import BASELINES, in_order, system_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
LEAST_COVERAGE = 0.02
TITLES = {"decisions": "Decisions about a disease", "lists": "Whole lists"}
RISKS = {"decisions": "share that is wrong", "lists": "share that is not exactly right"}
_BASELINES = {baseline.name for baseline in BASELINES}


def plot_reliability(path: Path, calibration: Mapping[str, Any]) -> None:
    """A panel for each system: the share that is true over the mean probability, as it is and with a temperature.

    Args:
        path: PNG to write.
        calibration: By system, from `calibration_scores`.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    systems = in_order(calibration)
    columns = min(COLUMNS, len(systems))
    rows = math.ceil(len(systems) / columns)
    with new_figure(path, max(2.75 * columns, 6), 2.95 * rows + 0.55) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axes, (name, found) in zip(panels, systems, strict=False):
            _plot_bins(axes, name, found)
        for number, axes in enumerate(panels):
            if number >= len(systems):
                axes.axis("off")
            elif number + columns >= len(systems):
                axes.tick_params(labelbottom=True)
        figure.supxlabel("mean probability of the decisions in a bin", fontsize=10)
        figure.supylabel("share that is true", fontsize=10)
        figure.legend(
            handles=[
                Line2D([], [], color=BLUE, marker="o", ms=5, label="as given, with 95 % interval"),
                Line2D(
                    [], [], color=ORANGE, marker="s", ms=4.5, ls=":", markerfacecolor="none", label="with temperature"
                ),
                Line2D([], [], color=GREY, ls="--", lw=1, label="perfectly calibrated"),
                Patch(color=PALE, label="share of the decisions"),
            ],
            loc="outside upper center",
            ncols=4 if columns == COLUMNS else 2,
        )


def _plot_bins(axes: Axes, name: str, found: Mapping[str, Any]) -> None:
    bins = found["before"]["bins"]
    total = sum(one["decisions"] for one in bins)
    for one in bins:
        axes.bar(one["from"], one["decisions"] / total, one["to"] - one["from"], align="edge", color=PALE, zorder=1)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    if "after" in found:
        bins = found["after"]["bins"]
        given, true = (
            [one[key] if key == "given" else one[key]["value"] for one in bins] for key in ("given", "true")
        )
        axes.plot(given, true, ":s", color=ORANGE, linewidth=1.1, ms=4.5, markerfacecolor="none")
    bins = found["before"]["bins"]
    given, true = [one["given"] for one in bins], [one["true"]["value"] for one in bins]
    axes.vlines(given, [one["true"]["low"] for one in bins], [one["true"]["high"] for one in bins], color=BLUE, lw=1.3)
    axes.plot(given, true, "-o", color=BLUE, linewidth=1.2, ms=4.5)
    said = f"error {found['before']['calibration_error']['value']:.3f}"
    if "after" in found:
        said += f"; {found['after']['calibration_error']['value']:.3f} at T = {found['temperature']:.2f}"
    axes.set_title(f"{textwrap.shorten(system_name(name), 34)}\n{said}", fontsize=9, color=INK)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])


def plot_risk_coverage(path: Path, curves: Mapping[str, Any]) -> None:
    """Risk over coverage, for decisions about a disease and for whole lists, all systems.

    Args:
        path: PNG to write.
        curves: By system, from `risk_coverage`.
    """
    systems = in_order(curves)
    with new_figure(path, 10, 4.4) as figure:
        panels = figure.subplots(1, len(KINDS))
        for axes, kind in zip(panels, KINDS, strict=True):
            highest = 0.0
            # The models are drawn last, on top of the baselines.
            for name, found in reversed(systems):
                colour, marker = MARKS.get(name, (SKY, "v"))
                # Of the very surest there are too few to tell a risk.
                points = [point for point in found[kind]["curve"] if point[0] >= LEAST_COVERAGE]
                coverage, risk = zip(*points, strict=True)
                axes.plot(
                    *(coverage, risk),
                    color=colour,
                    marker=marker,
                    ms=4.5,
                    markevery=list(range(len(coverage) - 1, -1, -max(len(coverage) // 8, 1))),
                    clip_on=False,
                    zorder=3,
                    linestyle="--" if name in _BASELINES else "-",
                    linewidth=1.2 if name in _BASELINES else 1.7,
                    label=system_name(name),
                )
                highest = max(highest, *risk)
            axes.set_title(TITLES[kind])
            axes.set_xlabel("coverage: share that is decided, the surest first")
            axes.set_ylabel(f"risk: {RISKS[kind]}")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, min(1.05 * max(highest, 0.01), 1.02))
        handles, names = panels[0].get_legend_handles_labels()
        shown = dict(zip(names, handles, strict=True))
        labels = [system_name(name) for name, _ in systems]
        figure.legend(
            [shown[label] for label in labels], labels, loc="outside upper center", ncols=min(len(labels), COLUMNS)
        )
