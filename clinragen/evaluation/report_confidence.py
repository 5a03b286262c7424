"""The report's sections about probabilities: calibration, and risk against coverage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.evaluation.figures_confidence import plot_reliability, plot_risk_coverage
from clinragen.evaluation.selective import KINDS
from clinragen.evaluation.systems import in_order, system_name
from trainers.formatting import NOTHING, format_score
from trainers.formatting import markdown_table as _table

RELIABILITY, RISK = "reliability.png", "risk_coverage.png"
PART = 0.8
"""The coverage at which the report gives the risk, besides that of everything."""


def confidence_sections(folder: Path, metrics: Mapping[str, Any]) -> list[str]:
    """Draw the figures into `folder` and return the sections; nothing where no system gives probabilities."""
    found = []
    if calibration := metrics.get("calibration"):
        plot_reliability(folder / RELIABILITY, calibration)
        found += _calibration(calibration)
    if curves := metrics.get("risk_coverage"):
        plot_risk_coverage(folder / RISK, curves)
        found += _risk(curves)
    return found


def _calibration(calibration: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, found in in_order(calibration):
        after = found.get("after", {})
        temperature = NOTHING if found["temperature"] is None else f"{found['temperature']:.3f}"
        scores = [
            format_score(part.get(key)) for key in ("calibration_error", "brier") for part in (found["before"], after)
        ]
        rows.append([system_name(name), temperature, *scores])
    listed = ", ".join(system_name(name).lower() for name, _ in in_order(calibration))
    alt = f"Reliability of {len(calibration)} systems ({listed}): the share of decisions that is true in each bin of "
    alt += "probability; the table below has the errors"
    header = ["System", "Temperature", "Calibration error", "Error, scaled", "Brier score", "Brier score, scaled"]
    return [
        "## Calibration",
        f"![{alt}.]({RELIABILITY})",
        _table(header, rows),
        "A probability is calibrated when as many of the decisions that have it are true as it says. The temperature "
        "is fitted on the validation split alone and divides the logits of all probabilities of a system; lists and "
        "all other scores are those without it.",
    ]


def _risk(curves: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, found in in_order(curves):
        cells = []
        for kind in KINDS:
            own = found[kind]
            cells += [format_score(own["area"]), f"{_risk_at(own['curve'], PART):.3f}", f"{own['risk']:.3f}"]
        rows.append([system_name(name), *cells])
    header = ["System"]
    for what in ("decisions", "lists"):
        header += [f"Area, {what}", f"Risk at {100 * PART:.0f} %, {what}", f"Risk of all {what}"]
    alt = f"Risk over coverage of {len(curves)} systems, for decisions about a disease and for whole lists; the table "
    alt += "below has the areas"
    return [
        "## Risk and coverage",
        f"![{alt}.]({RISK})",
        _table(header, rows),
        "A system that may abstain decides what it is surest of first. Coverage is the share that it decides, risk "
        "the share of this that is wrong: of the decisions about single diseases, and of the whole lists, which are "
        "wrong unless they are exactly right. The area under the curve is the mean risk over all coverages, so "
        "lower is better.",
    ]


def _risk_at(curve: list[tuple[float, float]], coverage: float) -> float:
    """The risk at the first point of a curve with at least this coverage."""
    return next(risk for part, risk in curve if part >= coverage)
