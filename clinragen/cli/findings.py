"""How the findings of a check are printed, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from clinragen.cli.failures import FAILED, printable
from dataset_builder.contract.findings import Finding


def show_findings(findings: Sequence[Finding], summary: str) -> None:
    """Print a line for each finding and a summary; the program ends with exit code 1 where something blocks."""
    for finding in findings:
        typer.echo(printable(finding.line()))
    errors = sum(finding.blocks for finding in findings)
    notes = len(findings) - errors
    typer.echo(printable(f"{summary}; {errors} errors, {notes} notes"))
    if errors:
        raise typer.Exit(FAILED)
