"""The command `contract check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, help="Look at cohort folders.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def check(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder: vocabulary.json and data/*.parquet, by anyone.")],
) -> None:
    """Check a cohort folder against the data contract: a line for each fault, with its count and cure."""
    from clinragen.cli.display import quiet_libraries
    from clinragen.cli.findings import show_findings
    from dataset_builder.contract.check_folder import check_folder

    quiet_libraries()
    found = check_folder(cohort)
    counted = ", ".join(f"{split} {count:,}" for split, count in found.examples.items()) or "no split was read"
    show_findings(found.findings, f"{cohort}: examples: {counted}")
