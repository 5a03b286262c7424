"""Runs a recipe from its first stage to its last and prints what came out."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from clinragen.pipeline.progress import Display
from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.stage import run_stages
from clinragen.pipeline.stages import all_stages
from dataset_builder.storage.files import read_json


def run_recipe(path: Path, output: Path, seed: int, root: str | None) -> None:
    """Run all stages that are not up to date, then print what must be known, the scores and one patient."""
    from clinragen.evaluation.terminal import print_patient, print_table

    started = time.monotonic()
    display = Display()
    stages = all_stages(load_recipe(path), output, seed, root, display.report)
    with display:
        run_stages(stages, lambda stage, place, of: display.announce(stage.name, place, of))
    results, model = stages[-2].folder, stages[-1].folder
    metrics = read_json(results / "metrics.json")
    console = Console()
    for notice in metrics["notices"]:
        console.print(f"Note: {notice}", style="yellow", highlight=False, markup=False)
    print_table(console, metrics)
    print_patient(console, read_json(results / "patient.json"))
    lines = [f"Report  {results / 'report.md'}", f"Model   {model}", f"Demo    clinragen demo {model}"]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    console.print(f"Took {time.monotonic() - started:.0f} s.", highlight=False)
