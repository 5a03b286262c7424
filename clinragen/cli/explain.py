"""The commands `predict` and `demo`: what a trained model is for."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.predict_cohort import cohort_parameters, cohort_wanted, predict_cohort
from clinragen.explain_config import ExplainConfig
from clinragen.shipped_model import MODEL_NOTICE, shipped_model
from modeling_clinragen.errors import SettingsError

SHIPPED = "[default: the shipped one, which learned from synthetic patients]"


def add_explain_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    command(
        app,
        "predict",
        [
            argument("model", Path | None, f"Model folder, or hf://owner/name on the Hub {SHIPPED}.", None),
            option("note", Path | None, "Text file with the note.", None),
            option("labs", Path | None, "CSV: hours plus any of the model's variables with units.", None),
            option("fhir", Path | None, "FHIR Bundle or NDJSON with the note and the measurements, instead.", None),
            option("details", bool, "Show what decides each claim, and the withheld sentences.", False),
            option("json", bool, "Print everything as JSON.", False),
            option(
                "export",
                Path | None,
                "Also write the answer to this file, which ends in .pdf, .json or .fhir.json.",
                None,
            ),
            *cohort_parameters(),
            *config_parameters(ExplainConfig),
        ],
        _predict,
        "Diagnose one patient, or those of a cohort, and explain why.",
    )
    command(
        app,
        "demo",
        [
            argument("model", Path | None, f"Model folder {SHIPPED}.", None),
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


def _predict(
    model: Path | None,
    note: Path | None,
    labs: Path | None,
    details: bool,
    json: bool,
    export: Path | None,
    **values: Any,
) -> None:
    from clinragen.cli.display import quiet_libraries
    from dataset_builder.contract.note_file import read_note

    fhir = values.pop("fhir")
    one = {"note": note, "labs": labs, "fhir": fhir, "details": details, "json": json, "export": export}
    many = cohort_wanted(values.pop("cohort"), values.pop("output"), one, values)
    if many is not None:
        predict_cohort(given_or_shipped(model), *many, values)
        return
    if note is None and labs is None and fhir is None:
        raise SettingsError("give --note FILE, --labs FILE.csv, or both; or --fhir FILE")
    if fhir is not None and (note is not None or labs is not None):
        raise SettingsError("--fhir: has the note and the measurements; leave --note and --labs out")
    if export is not None:
        from clinragen.export.forms import require_exportable

        require_exportable(export, [file for file in (note, labs, fhir) if file is not None])
    config = config_from(ExplainConfig, values)
    text = "" if note is None else read_note(note)
    quiet_libraries()
    from clinragen.cli.explanation import print_explanation
    from clinragen.export.origin import model_origin
    from clinragen.export.result import explanation_json
    from clinragen.export.write import export_explanation
    from clinragen.inference import Explainer

    folder = given_or_shipped(model)
    explainer = Explainer.from_pretrained(folder, config)
    series = None if labs is None else explainer.read_labs(labs)
    if fhir is not None:
        found = explainer.read_fhir(fhir)
        text, series = found.note or "", found.series
    explanation = explainer.explain(text, series)
    if export is not None:
        export_explanation(export, explanation, model_origin(folder), datetime.now(UTC))
    if json:
        typer.echo(explanation_json(explanation), nl=False)
    else:
        print_explanation(explanation, details=details)


def _demo(model: Path | None, cohort: Path | None, port: int, **values: Any) -> None:
    from clinragen.cli.display import quiet_libraries
    from clinragen.demo.serve import serve

    if not 0 <= port <= 65535:
        raise SettingsError(f"--port: expected a whole number from 0 to 65535, got {port}")
    quiet_libraries()
    show_access_log()
    serve(given_or_shipped(model), config_from(ExplainConfig, values), cohort=cohort, port=port)


def given_or_shipped(model: Path | None) -> Path:
    """The model that a command uses; standard error says so where it is the shipped one."""
    if model is not None:
        return model
    folder = shipped_model()
    typer.echo(f"Note: {MODEL_NOTICE}", err=True)
    return folder


def show_access_log() -> None:
    """Write a line for each request to the page to standard error: route and status, and nothing that was sent."""
    log = logging.getLogger("clinragen.demo.guard")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
