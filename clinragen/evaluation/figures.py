"""The report's figures. One look for all: Okabe-Ito colours, which colour-blind readers can tell apart, plus a marker
per system, so that nothing depends on colour alone. Figures are built without pyplot and leave no global state."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinragen.evaluation.systems import MAIN, system_name
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import atomic_file
from modeling_clinragen.lab_words_clinragen import count_levels
from modeling_clinragen.vocabulary_clinragen import Disease, RangeSet, Variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#DDDDDD"
MARKS = {
    "full": (BLUE, "o"),
    "note_only": (GREEN, "^"),
    "labs_only": (PURPLE, "D"),
    "gradient_boosting": (RED, "P"),
    "gradient_boosting_note": (GREEN, "<"),
    "gradient_boosting_labs": (PURPLE, "h"),
    "logistic_regression": (ORANGE, "s"),
    "prevalence": (GREY, "x"),
}
LEGEND_COLUMNS = 4
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
SERIES_COLUMNS = 3
SERIES_ROW_HEIGHT = 2.375


@contextmanager
def new_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of that size in inches; written to `path` as PNG, whole or not at all, when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07))
        yield figure
        with atomic_file(path) as beside:
            # Without the software tag the same numbers give the same bytes.
            figure.savefig(beside, format="png", dpi=150, metadata={"Software": None})


def _points(records: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    pairs = [(record["step"], record[key]) for record in records if key in record]
    return [step for step, _ in pairs], [value for _, value in pairs]


def with_losses(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The curves with a loss; a training shorter than its `logging_steps` may have logged none."""
    return {
        phase: records
        for phase, records in curves.items()
        if any("loss" in record or "eval_loss" in record for record in records)
    }


def plot_curves(path: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Training (`loss`) and validation (`eval_loss`) loss by `step`, one panel per phase (see `with_losses`).

    Records are those of a Trainer's `log_history`; other keys are ignored.
    """
    with new_figure(path, max(3.6 * len(curves), 5), 3.4) as figure:
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        shown = {}
        for axes, (phase, records) in zip(panels, curves.items(), strict=True):
            train, validation = _points(records, "loss"), _points(records, "eval_loss")
            if train[0]:
                (shown["training"],) = axes.plot(*train, color=BLUE, linewidth=1.4)
            if validation[0]:
                (shown["validation"],) = axes.plot(*validation, "--o", color=RED, linewidth=1.4, ms=4)
            axes.set_title(f"Phase: {phase}")
            axes.set_xlabel("step")
            axes.locator_params(axis="x", nbins=5, integer=True)
        panels[0].set_ylabel("loss")
        panels[-1].legend(list(shown.values()), list(shown))


def disease_order(metrics: Mapping[str, Any], diseases: Sequence[Disease]) -> list[Disease]:
    """Diseases by the full model's F1, best first; diseases without a held-out case last, then vocabulary order."""
    scores = metrics["per_disease"][MAIN]

    def rank(disease: Disease) -> tuple[bool, float]:
        score = scores[disease.key]
        return score["positives"] == 0, -(score["value"] or 0.0)

    return sorted(diseases, key=rank)


def plot_diseases(path: Path, metrics: Mapping[str, Any], diseases: Sequence[Disease]) -> None:
    """F1 per disease, all systems; intervals for the full model and for the strongest baseline that reads the same."""
    from matplotlib.transforms import blended_transform_factory

    ordered = disease_order(metrics, diseases)
    strongest = metrics.get("strongest", {}).get(MAIN)
    shift = {MAIN: -0.15, **({} if strongest is None else {strongest: 0.15})}
    with new_figure(path, 10, 1.4 + 0.45 * len(ordered)) as figure:
        axes = figure.subplots()
        margin = blended_transform_factory(axes.transAxes, axes.transData)
        # The main systems are drawn last, on top of the small marks.
        for name in sorted(metrics["per_disease"], key=lambda name: name in shift):
            colour, marker = MARKS.get(name, (SKY, "v"))
            scores = [metrics["per_disease"][name][disease.key] for disease in ordered]
            known = [row for row, score in enumerate(scores) if score["value"] is not None]
            height = np.array(known) + shift.get(name, 0.0)
            values = np.array([scores[row]["value"] for row in known])
            if name in shift:
                low, high = (np.array([scores[row][side] for row in known]) for side in ("low", "high"))
                axes.hlines(height, low, high, color=colour, linewidth=1.6)
                axes.plot(values, height, marker, color=colour, ms=6, label=system_name(name))
            else:
                axes.plot(values, height, marker, color=colour, ms=5, markerfacecolor="none", label=system_name(name))
        for row, disease in enumerate(ordered):
            positives = metrics["per_disease"][MAIN][disease.key]["positives"]
            axes.text(1.015, row, f"{positives}", transform=margin, va="center", ha="left", color=INK)
        axes.text(1.015, -0.85, "cases", transform=margin, va="center", ha="left", color=GREY)
        axes.set_yticks(range(len(ordered)), [textwrap.fill(disease.name, 50) for disease in ordered])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.0)
        axes.set_xlabel("F1 on the held-out patients (lines: 95 % interval over patients)")
        handles, names = axes.get_legend_handles_labels()
        shown = dict(zip(names, handles, strict=True))
        labels = [system_name(name) for name in metrics["per_disease"]]
        figure.legend(
            [shown[label] for label in labels],
            labels,
            loc="outside upper center",
            ncols=min(len(labels), LEGEND_COLUMNS),
        )


def variable_title(variable: Variable) -> str:
    """ "Heart rate (bpm)"; a variable whose unit is its own name (pH) is written once."""
    name = variable.name[0].upper() + variable.name[1:] if variable.name.islower() else variable.name
    return name if variable.unit == variable.name else f"{name} ({variable.unit})"


def _plot_variable(axes: Axes, series: LabSeries, column: int, range_set: RangeSet, end: float) -> None:
    hours, values = series.hours.astype(float), series.values[:, column].astype(float)
    seen = series.observed[:, column]
    axes.set_title(variable_title(series.vocabulary.variables[column]))
    axes.set_xlim(min(0.0, float(hours.min(initial=0.0))), end)
    if not seen.any():
        # No range is shown either: green without a point would look like a normal finding.
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_yticks([])
        axes.grid(False)
        return
    band = range_set.bounds.get(series.vocabulary.variables[column].key)
    if band is not None:
        axes.axhspan(*band, color=GREEN, alpha=0.13, linewidth=0)
    steps = np.flatnonzero(seen)
    for before, after in pairwise(steps):
        colour, line = (GREY, ":") if after - before > 1 else (BLUE, "-")
        axes.plot(hours[[before, after]], values[[before, after]], color=colour, linestyle=line, linewidth=1.2)
    low, high = (levels[:, column] for levels in count_levels(series.values, series.vocabulary, range_set)[:2])
    for chosen, colour, marker in ((seen & ~low & ~high, BLUE, "o"), (low, RED, "v"), (high, RED, "^")):
        axes.plot(hours[chosen], values[chosen], marker, color=colour, ms=4)
    shown = np.append(values[seen], [] if band is None else band)
    room = 0.12 * (np.ptp(shown) or abs(shown[0]) or 1.0)
    axes.set_ylim(shown.min() - room, shown.max() + room)
    axes.plot(hours[~seen], np.zeros((~seen).sum()), "|", color=GREY, ms=7, transform=axes.get_xaxis_transform())


def plot_series(path: Path, series: LabSeries, range_set: RangeSet) -> None:
    """All variables of one stay over the hours since ICU admission, with their normal ranges.

    Points outside the range point up or down; a dotted line crosses steps at which the variable was not measured, and
    those steps are ticked on the axis.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    variables = series.vocabulary.variables
    end = max(float(series.hours.max(initial=0.0)) * 1.02, 1.0)
    # One panel more than variables, for the key.
    rows = math.ceil((len(variables) + 1) / SERIES_COLUMNS)
    with new_figure(path, 10.5, SERIES_ROW_HEIGHT * rows) as figure:
        figure.supxlabel("hours since ICU admission", fontsize=10)
        panels = figure.subplots(rows, SERIES_COLUMNS, squeeze=False).ravel()
        for column, axes in enumerate(panels[: len(variables)]):
            _plot_variable(axes, series, column, range_set, end)
        for unused in panels[len(variables) :]:
            unused.axis("off")
        dot: dict[str, Any] = {"linestyle": "none", "ms": 5}
        panels[len(variables)].legend(
            handles=[
                Line2D([], [], color=BLUE, marker="o", ms=5, label="measured"),
                Line2D([], [], color=RED, marker="^", label="above the range", **dot),
                Line2D([], [], color=RED, marker="v", label="below the range", **dot),
                Line2D([], [], color=GREY, linestyle=":", label="gap between measurements"),
                Line2D([], [], color=GREY, marker="|", label="step without a measurement", **dot),
                Patch(color=GREEN, alpha=0.13, label=f"{range_set.name} range"),
            ],
            loc="center left",
        )
