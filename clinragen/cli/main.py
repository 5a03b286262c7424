"""The command line. Options are the settings of the stages; errors a user can cause become one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clinragen.cli import (
    ablate,
    backbone,
    check,
    contract,
    download,
    environment,
    groups,
    guarantee,
    interventions,
    knowledge,
    prefer,
    push,
    recipe,
    rescore,
    serve,
    source,
    study,
    transfer,
)
from clinragen.cli.explain import add_explain_commands
from clinragen.cli.failures import fail, fail_if_known
from clinragen.cli.run_stage import OUTPUT_HELP
from clinragen.cli.stage_commands import add_stage_commands
from dataset_builder.storage.air_gap import close_air_gap, without_telemetry
from dataset_builder.storage.config_fields import LARGEST_SEED
from modeling_clinragen.loading_clinragen import AIR_GAP

app = typer.Typer(
    help="Diagnose from a clinical note plus lab and vital series, and explain why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Typer carries its own copy of click or uses the installed one, by version; this is the right one's usage error.
UsageError: Any = typer.BadParameter.__base__
Seed = Annotated[
    int,
    typer.Option(min=0, max=LARGEST_SEED, help="Seed of everything random: patients, split, wording and training."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"clinragen {version('clinragen')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
    air_gap: Annotated[
        bool,
        typer.Option(
            "--air-gap", envvar=AIR_GAP, help="Reach no other machine: no Hub, no web, no telemetry, no service."
        ),
    ] = False,
) -> None:
    if air_gap:
        close_air_gap()


@app.command("quickstart")
def _quickstart(
    output: Annotated[Path, typer.Option(help=OUTPUT_HELP)] = Path("runs/quickstart"),
    seed: Seed = 0,
    recipe: Annotated[Path | None, typer.Option(help="Another recipe than the shipped one.")] = None,
) -> None:
    """The whole method on synthetic patients: tables to a trained, explained diagnosis. No network, key or GPU."""
    from clinragen.cli.run_recipe import run_recipe
    from clinragen.pipeline.recipe import shipped_recipe

    run_recipe(recipe or shipped_recipe("quickstart"), output, seed, root=None)


@app.command("run")
def _run(
    recipe: Annotated[Path, typer.Argument(help="Recipe YAML.")],
    root: Annotated[str | None, typer.Option(help="Folder with the source's tables, or a postgresql:// URL.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the results [default: runs/<recipe>].")] = None,
    seed: Seed = 0,
) -> None:
    """Run every stage of a recipe."""
    from clinragen.cli.run_recipe import run_recipe

    run_recipe(recipe, output or Path("runs") / recipe.stem, seed, root=root)


ablate.add_command(app)
add_stage_commands(app)
download.add_command(app)
environment.add_command(app)
backbone.add_command(app)
knowledge.add_commands(app)
groups.add_command(app)
guarantee.add_command(app)
interventions.add_command(app)
prefer.add_command(app)
push.add_commands(app)
rescore.add_command(app)
app.add_typer(recipe.app, name="recipe")
app.add_typer(source.app, name="source")
app.add_typer(contract.app, name="contract")
add_explain_commands(app)
check.add_command(app)
serve.add_command(app)
study.add_commands(app)
transfer.add_command(app)


def main() -> None:
    """Run the command line; what a user can cause ends in one line and an exit code other than 0."""
    # Nothing is looked up on the Hub unless the user names a Hub model, and no telemetry is sent.
    without_telemetry()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Every shape of a batch has its own compiled kernels; keeping the usual thousand of them takes gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    # Threads that wait for each other sleep. By default they keep their cores busy, and where another process needs
    # one of these, a step takes twice as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupted = "interrupted; run the same command again to go on where it stopped"
    try:
        # Typer turns Ctrl-C into this exit code, or, in other versions, into an Abort.
        code = app(standalone_mode=False)
        if code == 130:
            fail(interrupted, 130)
        # A command that has said all there is to say ends with a code of its own.
        if isinstance(code, int) and code:
            sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        fail(interrupted, 130)
    except UsageError as error:
        fail(f"{error.format_message().rstrip('.')}. See `clinragen --help`.", 2)
    except Exception as error:
        # What is not known as a user's is a fault of this program, and keeps its traceback.
        fail_if_known(error)
        raise
