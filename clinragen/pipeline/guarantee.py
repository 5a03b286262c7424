"""Stage `guarantee`: thresholds with a bounded risk of false sentences and of missing diseases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.guarantee.config import ALPHAS, GuaranteeConfig
from clinragen.pipeline.scored_cohort import SAVED_ANSWERS, read_scored_cohort
from clinragen.pipeline.stage import StageKind
from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.progress import Progress, Report
from modeling_clinragen.errors import InputDataError

if TYPE_CHECKING:
    from clinragen.guarantee.units import Units

OTHER = "other_"
"""Before the role of an input of the other hospital."""
READ = {"evaluation": SAVED_ANSWERS, "truth": (f"*{TRUTH}",)}
GUARANTEE = StageKind(
    "guarantee",
    GuaranteeConfig,
    "clinragen.pipeline.guarantee",
    reads={f"{own}{role}": kept for own in ("", OTHER) for role, kept in READ.items()},
)


def run(config: GuaranteeConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Write `guarantee.json` and `report.md` for the inputs `evaluation`, `cohort`, `knowledge` and `truth`.

    With the inputs `other_evaluation`, `other_cohort` and `other_truth`, the same model's evaluation on another
    hospital, it is also tried what the thresholds are worth there.

    Raises:
        InputDataError: The evaluation has no probabilities, or is about other patients than the cohort or the truth.
    """
    from clinragen.guarantee.report import report_text
    from clinragen.guarantee.risk_control import choose
    from clinragen.guarantee.trials import GUARDED, thresholds_of, try_out
    from dataset_builder.storage.files import write_json
    from dataset_builder.storage.governance import (
        carry_provenance,
        provenance_notices,
        read_provenance,
        write_provenance,
    )

    report(Progress(0, None, "sentences"))
    units = _units(inputs, "")
    other = _units(inputs, OTHER) if f"{OTHER}evaluation" in inputs else None
    content: dict[str, Any] = {
        "alpha": config.alpha,
        "delta": config.delta,
        "resplits": config.resplits,
        "seed": config.seed,
        "patients": len(units),
        "without_truth": units.without_truth,
        "other_patients": None if other is None else len(other),
        "thresholds": {},
    }
    wanted = sorted({*ALPHAS, config.alpha})
    for number, (name, guarded) in enumerate(GUARDED.items()):
        report(Progress(number, len(GUARDED), "kinds of errors"))
        grid = thresholds_of(guarded.doubts(units))
        place = choose(guarded.losses(units, grid), config.alpha, config.delta)
        content["thresholds"][name] = None if place is None else float(grid[place])
        content[name] = [
            try_out(units, guarded, alpha, config.delta, config.resplits, config.seed, other) for alpha in wanted
        ]
    folders = [Path(inputs[role]) for role in inputs if role.removeprefix(OTHER) in ("evaluation", "cohort")]
    provenance = carry_provenance([read_provenance(folder) for folder in folders], "guarantee", {})
    write_provenance(output, provenance)
    write_json(output / "guarantee.json", content)
    (output / "report.md").write_text(report_text(content, provenance_notices(provenance)), encoding="utf-8")


def _units(inputs: Mapping[str, Any], prefix: str) -> Units:
    from clinragen.evaluation.predictions import read_predictions
    from clinragen.guarantee.units import read_units

    names = ("evaluation", "cohort", "knowledge", "truth")
    own = {name: inputs[f"{prefix}{name}"] for name in names if f"{prefix}{name}" in inputs}
    # What supports which disease is the same everywhere.
    own |= {"knowledge": inputs["knowledge"]} if "knowledge" in inputs else {}
    for name in ("cohort", "truth"):
        if name not in own:
            raise InputDataError(f"{prefix}evaluation: needs its {name}; give --{(prefix + name).replace('_', '-')}")
    folder = Path(own["evaluation"])
    predictions = read_predictions(folder)
    scored = read_scored_cohort(own)
    predictions.require_cohort(scored.cohort, str(folder))
    assert scored.truth is not None  # its folder is among the inputs
    return read_units(scored.cohort, scored.checking, scored.truth, predictions)
