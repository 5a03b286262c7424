"""The command `clinragen recipe check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, help="Look at recipes.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def check(recipe: Annotated[Path, typer.Argument(help="Recipe YAML.")]) -> None:
    """Check a recipe, the files of its phases and its model: every key, type and range. Nothing is run."""
    from clinragen.cli.display import quiet_libraries
    from clinragen.pipeline.recipe import load_recipe

    quiet_libraries()
    found = load_recipe(recipe)
    typer.echo(f"{recipe}: correct; phases {', '.join(found.train)}")
