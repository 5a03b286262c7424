"""Runs a recipe from its first stage to its last and prints what came out."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from clinragen.pipeline import run_stages
from clinragen.progress import Display
from clinragen.recipe import load_recipe
from clinragen.stages import all_stages
from dataset_builder.files import read_json


def run_recipe(path: Path, output: Path, seed: int, root: Path | None) -> None:
    """Run all stages that are not up to date, then print the table of scores and one patient."""
    from evaluation.terminal import print_patient, print_table

    started = time.monotonic()
    display = Display()
    stages = all_stages(load_recipe(path), output, seed, root, display.report)
    with display:
        run_stages(stages, lambda stage, place, of: display.announce(stage.name, place, of))
    results = stages[-2].folder
    console = Console()
    print_table(console, read_json(results / "metrics.json"))
    print_patient(console, read_json(results / "patient.json"))
    console.print(f"Report: {results / 'report.md'}\nModel:  {stages[-1].folder}", highlight=False)
    console.print(
        f"Took {time.monotonic() - started:.0f} s. Next: clinragen demo {stages[-1].folder}", highlight=False
    )
