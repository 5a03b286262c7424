"""The command `rescore`: the scores of an evaluation anew, from its saved predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.run_stage import folder_inputs
from clinragen.cli.stage_commands import HOSPITAL_WHAT, KNOWLEDGE_WHAT, cohort_option, knowledge_option, truth_option
from clinragen.evaluation.config import RescoreConfig
from dataset_builder.storage.files import read_json
from dataset_builder.storage.processes import processes_of
from modeling_clinragen.errors import SettingsError

SUFFIX = ".rescored"


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "rescore",
        [
            argument("evaluation", Path, "Folder that `evaluate` wrote."),
            cohort_option("`rationales`"),
            knowledge_option(),
            truth_option(),
            option("output", Path | None, f"Folder for the result [default: EVALUATION{SUFFIX}].", None),
            *config_parameters(RescoreConfig),
        ],
        _rescore,
        "Score the saved predictions of an evaluation anew; loads no model.",
    )


def _rescore(
    evaluation: Path, cohort: Path, knowledge: Path | None, truth: Path | None, output: Path | None, **values: Any
) -> None:
    config = config_from(RescoreConfig, values)
    if processes_of().count > 1:
        raise SettingsError("rescore runs in one process; start it without torchrun")
    inputs = folder_inputs(
        evaluation=(evaluation, "folder of an evaluation"),
        cohort=(cohort, "cohort folder"),
        knowledge=(knowledge, KNOWLEDGE_WHAT),
        truth=(truth, HOSPITAL_WHAT),
    )
    from rich.console import Console

    from clinragen.evaluation.terminal import print_table
    from clinragen.pipeline.rescore import RESCORE
    from clinragen.pipeline.stage import Stage

    # No bar: its display silences transformers, and so loads it.
    folder = output or evaluation.resolve().with_name(evaluation.resolve().name + SUFFIX)
    Stage(RESCORE, config, inputs, folder).run()
    metrics = read_json(folder / "metrics.json")
    console = Console()
    for notice in metrics["notices"]:
        console.print(f"Note: {notice}", style="yellow", highlight=False, markup=False)
    print_table(console, metrics)
    console.print(f"Report  {folder / 'report.md'}", highlight=False, markup=False, soft_wrap=True)
