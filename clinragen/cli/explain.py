"""The commands `predict` and `demo`: what a trained model is for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.explain_config import ExplainConfig
from modeling_clinragen.errors import SettingsError


def add_explain_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    command(
        app,
        "predict",
        [
            argument("model", Path, "Model folder, or hf://owner/name for a model on the Hub."),
            option("note", Path | None, "Text file with the note.", None),
            option("labs", Path | None, "CSV: hours plus any of the model's variables with units.", None),
            option("details", bool, "Show what decides each claim, and the withheld sentences.", False),
            option("json", bool, "Print everything as JSON.", False),
            *config_parameters(ExplainConfig),
        ],
        _predict,
        "Diagnose one patient and explain why.",
    )
    command(
        app,
        "demo",
        [
            argument("model", Path, "Model folder.", Path("runs/quickstart/model")),
            option(
                "cohort",
                Path | None,
                "Cohort whose test patients can be chosen [default: that of the model's run, unless it is "
                "credentialed: such patients are shown only where their cohort is named].",
                None,
            ),
            option("port", int, "Port on 127.0.0.1; 0 picks a free one.", 7860),
            *config_parameters(ExplainConfig),
        ],
        _demo,
        "Open a page on this machine where a patient can be chosen or entered.",
    )


def _predict(model: Path, note: Path | None, labs: Path | None, details: bool, json: bool, **values: Any) -> None:
    from clinragen.cli.display import quiet_libraries
    from dataset_builder.contract.note_file import read_note

    if note is None and labs is None:
        raise SettingsError("give --note FILE, --labs FILE.csv, or both")
    config = config_from(ExplainConfig, values)
    text = "" if note is None else read_note(note)
    quiet_libraries()
    from clinragen.cli.explanation import explanation_json, print_explanation
    from clinragen.inference import Explainer

    explainer = Explainer.from_pretrained(model, config)
    series = None if labs is None else explainer.read_labs(labs)
    explanation = explainer.explain(text, series)
    if json:
        typer.echo(explanation_json(explanation), nl=False)
    else:
        print_explanation(explanation, details=details)


def _demo(model: Path, cohort: Path | None, port: int, **values: Any) -> None:
    from clinragen.cli.display import quiet_libraries
    from clinragen.demo.serve import serve

    if not 0 <= port <= 65535:
        raise SettingsError(f"--port: expected a whole number from 0 to 65535, got {port}")
    quiet_libraries()
    show_access_log()
    serve(model, config_from(ExplainConfig, values), cohort=cohort, port=port)


def show_access_log() -> None:
    """Write a line for each request to the page to standard error: route and status, and nothing that was sent."""
    log = logging.getLogger("clinragen.demo.guard")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
