"""The command `interventions`: what a trained model answers when something of its input is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage
from clinragen.cli.stage_commands import HOSPITAL_WHAT, truth_option
from clinragen.interventions.stage import INTERVENTIONS, InterventionsConfig
from dataset_builder.storage.files import read_json


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "interventions",
        [
            argument("model", Path, "Model folder."),
            option("cohort", Path, "Cohort folder (made by `rationales`)."),
            truth_option(),
            option("output", Path, OUTPUT_HELP),
            *config_parameters(InterventionsConfig),
        ],
        _interventions,
        "Ask a model about the test split again with something changed: labs shuffled, cited evidence removed, ...",
    )


def _interventions(model: Path, cohort: Path, truth: Path | None, output: Path, **values: Any) -> None:
    inputs = folder_inputs(
        model=(model, "model folder"),
        cohort=(cohort, "cohort folder"),
        truth=(truth, HOSPITAL_WHAT),
    )
    run_stage(INTERVENTIONS, config_from(InterventionsConfig, values), inputs, output)
    for one in read_json(output / "interventions.json")["unanswerable"]:
        typer.echo(f"not answerable here: {one['question']} because {one['because']}")
    typer.echo(f"report: {output / 'report.md'}")
