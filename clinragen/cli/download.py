"""The command `clinragen download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command("download")(_download)


def _download(
    dataset: Annotated[str, typer.Argument(help="mimic-iv-demo, mimic-iii-demo, eicu-demo, mimic-iv or mimic-iii.")],
    output: Annotated[Path, typer.Option(help="Folder to download into; what is there already is kept.")],
    version: Annotated[str | None, typer.Option(help="Another version than the newest known.")] = None,
    base_url: Annotated[str | None, typer.Option(help="A mirror that has PhysioNet's layout.")] = None,
) -> None:
    """Fetch a dataset from PhysioNet: resumed where it stopped, every file checked against its published sum."""
    from clinragen.cli.display import Display
    from dataset_builder.download import download as fetch

    def ask(host: str) -> tuple[str, str]:
        with display.paused():
            user = typer.prompt(f"User name at {host}", err=True)
            return user, typer.prompt("Password (not shown, not kept)", hide_input=True, err=True)

    display = Display()
    with display:
        display.announce("download", 1, 1)
        done = fetch(dataset, output, version=version, base_url=base_url, ask=ask, report=display.report)
    typer.echo(f"{len(done.fetched)} files fetched, {len(done.kept)} were there: {done.root}")
    typer.echo(f"Next: clinragen build {done.source} --root {done.root} --note-policy POLICY --output DIR")
