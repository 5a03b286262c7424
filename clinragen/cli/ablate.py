"""The command `ablate`: what each part of a recipe is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.pipeline.ablation_config import AblateConfig
from dataset_builder.storage.processes import processes_of
from modeling_clinragen.errors import SettingsError, StageError


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "ablate",
        [
            argument("files", list[Path], "The ablations, such as recipes/ablations/*.yaml."),
            option("output", Path, "Folder for the runs and the table.", Path("runs/ablations")),
            option("root", str | None, "Folder with the source's tables, or a postgresql:// URL.", None),
            *config_parameters(AblateConfig),
        ],
        _ablate,
        "Run a recipe and changed ones, each with several seeds, and tell what every change costs.",
    )


def _ablate(files: list[Path], output: Path, root: str | None, **values: Any) -> None:
    config = config_from(AblateConfig, values)
    if processes_of().count > 1:
        raise SettingsError("ablate runs in one process; start it without torchrun")
    from rich.console import Console

    from clinragen.cli.display import Display, quiet_libraries
    from clinragen.pipeline.ablation_file import read_ablations
    from clinragen.pipeline.ablation_recipe import written_recipes
    from clinragen.pipeline.ablation_run import Run, run_all
    from clinragen.pipeline.ablation_scores import score_runs
    from clinragen.pipeline.ablation_table import write_table

    quiet_libraries()
    ablations = read_ablations(files)
    recipes = written_recipes(ablations, config.texts)
    runs = [
        Run(ablation=ablation, recipe=recipes[ablation.name], seed=seed, output=output)
        for seed in config.all_seeds
        for ablation in ablations
    ]
    if config.only_table and not output.is_dir():
        raise SettingsError(f"{output}: has no runs to make a table of; run without --only-table first")
    failed: dict[str, str] = {}
    if not config.only_table:
        display = Display()
        with display:
            failed = run_all(runs, root, display.report, display.announce)
    table = score_runs(runs)
    write_table(output, table)
    _print(Console(), table, output)
    if failed:
        first, reason = next(iter(failed.items()))
        raise StageError(f"{len(failed)} of {len(runs)} runs failed; {first}: {reason}")


def _print(console: Any, table: dict[str, Any], output: Path) -> None:
    from rich import box
    from rich.table import Table

    from clinragen.pipeline.ablation_table import overview

    header, rows = overview(table, ["full"])
    shown = Table(box=box.SIMPLE_HEAD)
    for number, title in enumerate(header):
        shown.add_column(title, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    if rows:
        console.print(shown)
    for one in table["unfinished"]:
        line = f"Not finished: {one['title']}, seed {one['seed']}: {one['reason']}"
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Table  {output / 'ablations.md'}", highlight=False, markup=False, soft_wrap=True)
