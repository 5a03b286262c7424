"""Runs a recipe from its first stage to its last and prints what came out."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from clinragen.cli.display import Display
from clinragen.cli.run_stage import be_silent
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.stage import run_stages
from dataset_builder.storage.files import read_json
from dataset_builder.storage.processes import processes_of


def run_recipe(path: Path, output: Path, seed: int, root: str | None) -> None:
    """Run all stages that are not up to date, then print the notices, the scores and one patient."""
    from clinragen.evaluation.terminal import print_patient, print_table

    started = time.monotonic()
    display = Display()
    processes = processes_of()
    stages = plan_stages(load_recipe(path), path, output, seed, root, display.report, processes)
    if not processes.first:
        be_silent()
        run_stages(stages, lambda stage, number, of: None)
        return
    with display:
        run_stages(stages, lambda stage, number, of: display.announce(stage.name, number, of))
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
