"""The command `groups`: the scores of an evaluation by group of patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage
from clinragen.cli.stage_commands import KNOWLEDGE_WHAT, cohort_option, knowledge_option
from clinragen.fairness.config import GroupsConfig


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "groups",
        [
            argument("evaluation", Path, "Folder that `evaluate` wrote."),
            cohort_option("`rationales`"),
            option("output", Path, OUTPUT_HELP),
            knowledge_option(),
            *config_parameters(GroupsConfig),
        ],
        _groups,
        "Compare scores between groups of patients: sex, age, race, insurance, care unit, note length.",
    )


def _groups(evaluation: Path, cohort: Path, output: Path, knowledge: Path | None, **values: Any) -> None:
    from clinragen.pipeline.groups import GROUPS

    inputs = folder_inputs(
        evaluation=(evaluation, "folder of an evaluation"),
        cohort=(cohort, "cohort folder"),
        knowledge=(knowledge, KNOWLEDGE_WHAT),
    )
    run_stage(GROUPS, config_from(GroupsConfig, values), inputs, output)
