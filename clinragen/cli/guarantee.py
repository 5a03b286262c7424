"""The command `guarantee`: thresholds with a bounded risk, from the saved predictions of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage
from clinragen.cli.stage_commands import HOSPITAL_WHAT, KNOWLEDGE_WHAT, cohort_option, knowledge_option, truth_option
from clinragen.guarantee.config import GuaranteeConfig


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "guarantee",
        [
            argument("evaluation", Path, "Folder that `evaluate` wrote."),
            cohort_option("`rationales`"),
            truth_option(required=True),
            option("output", Path, OUTPUT_HELP),
            knowledge_option(),
            option("other_evaluation", Path | None, "The same model's evaluation on another hospital.", None),
            option("other_cohort", Path | None, "That evaluation's cohort.", None),
            option("other_truth", Path | None, "That cohort's synthetic hospital.", None),
            *config_parameters(GuaranteeConfig),
        ],
        _guarantee,
        "Bound how often a false sentence is shown, or a missing disease is not flagged; loads no model.",
    )


def _guarantee(
    evaluation: Path,
    cohort: Path,
    truth: Path,
    output: Path,
    knowledge: Path | None,
    **values: Any,
) -> None:
    others = {
        role: (values.pop(role), what)
        for role, what in (
            ("other_evaluation", "folder of an evaluation"),
            ("other_cohort", "cohort folder"),
            ("other_truth", HOSPITAL_WHAT),
        )
    }
    from clinragen.pipeline.guarantee import GUARANTEE

    inputs = folder_inputs(
        evaluation=(evaluation, "folder of an evaluation"),
        cohort=(cohort, "cohort folder"),
        truth=(truth, HOSPITAL_WHAT),
        knowledge=(knowledge, KNOWLEDGE_WHAT),
        **others,
    )
    run_stage(GUARANTEE, config_from(GuaranteeConfig, values), inputs, output)
