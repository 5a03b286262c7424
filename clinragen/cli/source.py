"""The commands `source check` and `source tables`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, help="Look at sources, and prepare them.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="A source's YAML file, or the name of a shipped source.")],
    root: Annotated[Path, typer.Option(help="Folder with the source's tables.")],
    vocabulary: Annotated[
        Path | None, typer.Option(help="Folder with your own vocabulary instead of the shipped one.")
    ] = None,
) -> None:
    """Check a source's YAML file against its tables: what is missing or cannot be right, each with its cure."""
    from clinragen.cli.display import quiet_libraries
    from clinragen.cli.findings import show_findings
    from dataset_builder.cohort.source_check import check_source

    quiet_libraries()
    show_findings(check_source(source, root, vocabulary), f"{source}, tables in {root}")


@app.command()
def tables(
    published: Annotated[str, typer.Argument(help="challenge-2012: a source that is published in another form.")],
    root: Annotated[Path, typer.Option(help="Its archive (.tar, .tar.gz) or a folder with its files.")],
    output: Annotated[Path, typer.Option(help="Folder to write the tables to.")],
) -> None:
    """Make tables of a source that is published as something else: PhysioNet Challenge 2012's file for each stay."""
    from clinragen.cli.display import Display
    from dataset_builder.sources.challenge_2012 import NAME, write_tables
    from modeling_clinragen.errors import SettingsError

    if published != NAME:
        raise SettingsError(
            f"published: '{published}' is not a source that needs this; it is for {NAME}, all others are tables"
        )
    display = Display()
    with display:
        display.announce("tables", 1, 1)
        found = write_tables(root, output, display.report)
    typer.echo(
        f"{found.records:,} records, {found.measurements:,} measurements, {found.outcomes:,} outcomes: {output}"
    )
    if found.records_without_outcome:
        typer.echo(f"records without an outcome: {found.records_without_outcome:,}")
    if found.outcomes_without_record:
        typer.echo(f"outcomes without a record: {found.outcomes_without_record:,}")
    typer.echo(f"Next: clinragen build {NAME} --root {output} --note-policy structured --output DIR")
