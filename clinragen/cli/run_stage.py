"""Runs one stage with a progress bar, for the commands that are a stage each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dataset_builder.storage.processes import processes_of
from dataset_builder.storage.progress import Report, no_report

if TYPE_CHECKING:
    from clinragen.pipeline.stage import Input, StageKind

OUTPUT_HELP = "Folder for the result; it appears only when complete."


def run_stage(
    kind: StageKind, config: Any, inputs: Mapping[str, Input], output: Path, *, label: str | None = None
) -> None:
    """Run a stage unless it is up to date, and print where its output is.

    Of several processes that run it together (`torchrun`) the first one has the bar and the messages.
    """
    from clinragen.pipeline.stage import Stage

    processes = processes_of()

    def work(report: Report) -> None:
        Stage(kind, config, inputs, output, report, label=label, processes=processes).run()

    if not processes.first:
        be_silent()
        work(no_report)
        return
    with_bar(label or kind.name, work)
    typer.echo(f"{label or kind.name}: {output}")


def be_silent() -> None:
    """Leave it to the first of several processes to say what all of them would."""
    from clinragen.cli.display import quiet_libraries

    quiet_libraries()
    logging.disable(logging.WARNING)


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
