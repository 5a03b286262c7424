"""The command `transfer`: a trained model on other cohorts, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.transfer.config import TransferConfig
from dataset_builder.storage.processes import processes_of
from modeling_clinragen.errors import SettingsError

PLACE = "A cohort folder, or one with a cohort in it; NAME=FOLDER names it in the table."


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "transfer",
        [
            option("train", Path, "Folder of a run (its model and its own cohort), or of a model."),
            option("test", list[str], PLACE),
            argument("more", list[str] | None, "Further places.", None),
            option("output", Path, "Folder for the table and the evaluations of the places.", Path("runs/transfer")),
            option("home", Path | None, "The model's own cohort, where --train is a model folder.", None),
            option("knowledge", Path | None, "Knowledge folder of the rationales [default: the model's].", None),
            *config_parameters(TransferConfig),
        ],
        _transfer,
        "Compare a model on other cohorts with its own: scores with intervals, and what is different there.",
    )


def _transfer(
    train: Path,
    test: list[str],
    more: list[str] | None,
    output: Path,
    home: Path | None,
    knowledge: Path | None,
    **values: Any,
) -> None:
    config = config_from(TransferConfig, values)
    if processes_of().count > 1:
        raise SettingsError("transfer runs in one process; start it without torchrun")
    from clinragen.cli.display import Display
    from clinragen.pipeline.transfer import REPORT, run_transfer
    from clinragen.pipeline.transfer_places import find_places, find_trained

    trained, places = find_trained(train, home), find_places([*test, *(more or [])])
    if trained.home is None and len(places) < 2:
        raise SettingsError("--test: one place alone is compared with nothing; give --home, or two places or more")
    display = Display()
    with display:
        content = run_transfer(
            trained,
            places,
            output,
            config,
            knowledge=knowledge,
            report=display.report,
            announce=display.announce,
        )
    _print(content)
    typer.echo(f"table: {output / REPORT}")


def _print(content: dict[str, Any]) -> None:
    from clinragen.transfer.report import table_of

    header, rows = table_of(content["places"])
    for row in rows:
        typer.echo(
            f"{row[0]}: "
            + ", ".join(f"{title.lower()} {cell}" for title, cell in zip(header[1:], row[1:], strict=True))
        )
    for place in content["places"]:
        if "refused" in place:
            typer.echo(f"not compared: {place['name']}: {place['refused']}")
