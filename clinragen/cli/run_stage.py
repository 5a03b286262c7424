"""Runs one stage with a progress bar, for the commands that are a stage each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dataset_builder.storage.progress import Report

if TYPE_CHECKING:
    from clinragen.pipeline.stage import Input, StageKind

OUTPUT_HELP = "Folder for the result; it appears only when complete."


def run_stage(
    kind: StageKind, config: Any, inputs: Mapping[str, Input], output: Path, *, label: str | None = None
) -> None:
    """Run a stage unless it is up to date, and print where its output is."""
    from clinragen.pipeline.stage import Stage

    def work(report: Report) -> None:
        Stage(kind, config, inputs, output, report, label=label).run()

    with_bar(label or kind.name, work)
    typer.echo(f"{label or kind.name}: {output}")


def with_bar(name: str, work: Any) -> None:
    """Call `work` with a `Report` that moves a bar."""
    from clinragen.cli.display import Display

    display = Display()
    with display:
        display.announce(name, 1, 1)
        work(display.report)


def folder_inputs(**folders: tuple[Path | None, str]) -> dict[str, Input]:
    """Inputs by role from (folder, what it is); a role without a folder is left out.

    Raises:
        InputDataError: A folder does not exist.
    """
    from clinragen.pipeline.stage import GivenFolder

    return {role: GivenFolder(folder, what) for role, (folder, what) in folders.items() if folder is not None}
