"""The command `prefer`: a trained model learns to write what the claim checker prefers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage
from clinragen.pipeline.prefer import PREFER, PreferConfig


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "prefer",
        [
            argument("model", Path, "Model folder to start from."),
            option("cohort", Path, "Cohort folder (made by `rationales`)."),
            option("output", Path, OUTPUT_HELP),
            *config_parameters(PreferConfig),
        ],
        _prefer,
        "Train a model by preferences of the claim checker (DPO or GRPO); beyond the paper.",
    )


def _prefer(model: Path, cohort: Path, output: Path, **values: Any) -> None:
    inputs = folder_inputs(cohort=(cohort, "cohort folder"), model=(model, "model folder"))
    run_stage(PREFER, config_from(PreferConfig, values), inputs, output)
