"""The command `check`: anyone's rationale against a patient's data.

Like a linter it ends with 0 where nothing is contradicted, with 1 where something is, and with 2 where it could not
check.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clinragen.cli.failures import fail_if_known
from clinragen.cli.from_config import argument, command, option
from dataset_builder.storage.files import atomic_file
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET

if TYPE_CHECKING:
    from clinragen.checking.checked import CheckedText
    from clinragen.claims.check import Checking
    from clinragen.claims.sentences import Patient

CONTRADICTED, FAILED = 1, 2
STANDARD_INPUT = "-"


class Format(StrEnum):
    """How the result is written."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


_HELP = """Check a rationale, whoever wrote it, against the patient's note and measurements.

Ends with 0 where nothing is contradicted, 1 where something is, and 2 where it could not check.
"""


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "check",
        [
            argument("text", str | None, "The rationale, or - to read it from standard input.", None),
            option("text_file", Path | None, "Text file with the rationale.", None),
            option("note", Path | None, "Text file with the note.", None),
            option("labs", Path | None, "CSV: hours plus any of the vocabulary's variables with units.", None),
            option(
                "diagnoses",
                str | None,
                'Diseases that the rationale has to agree with, such as "Essential hypertension; Shock"; "" for none.',
                None,
            ),
            option(
                "knowledge",
                Path | None,
                "Knowledge folder or file: what supports which disease [default: the vocabulary's own].",
                None,
            ),
            option("range_set", str, "What is low, normal and high.", DEFAULT_RANGE_SET),
            option(
                "vocabulary",
                Path | None,
                "Folder of your own vocabulary, or a cohort folder [default: the shipped one].",
                None,
            ),
            option("format", Format, "Text for people, JSON for programs, or one HTML page.", Format.TEXT),
            option("output", Path | None, "File for the result [default: standard output].", None),
            option("explain", bool, "Also show how the text is read: its tokens and statements.", False),
        ],
        _check,
        _HELP,
    )


def _check(text: str | None, text_file: Path | None, **values: Any) -> None:
    try:
        checked = _checked(text, text_file, values)
    except Exception as error:
        # With a code of its own: 1 would be a verdict.
        fail_if_known(error, FAILED)
        raise
    if checked.contradicted:
        raise typer.Exit(CONTRADICTED)


def _checked(text: str | None, text_file: Path | None, values: Mapping[str, Any]) -> CheckedText:
    """The checked rationale, after it has been written out."""
    if values["explain"] and values["format"] is not Format.TEXT:
        raise SettingsError("--explain: is for --format text; leave one of them out")
    if values["note"] is None and values["labs"] is None:
        raise SettingsError("give --note FILE, --labs FILE.csv, or both: there is nothing to check against")
    rationale = _rationale(text, text_file)
    from clinragen.checking.checked import check_text
    from clinragen.checking.inputs import read_diagnoses, read_standards

    checking = read_standards(values["vocabulary"], values["knowledge"], values["range_set"])
    listed = None if values["diagnoses"] is None else read_diagnoses(values["diagnoses"], checking.vocabulary)
    checked = check_text(rationale, _patient(values["note"], values["labs"], checking), checking, listed)
    _write(checked, values["format"], values["output"], _steps(rationale, checking) if values["explain"] else "")
    return checked


def _rationale(text: str | None, file: Path | None) -> str:
    from clinragen.checking.inputs import MAX_BYTES, checked_length, rationale_of, read_rationale

    if (text is None) == (file is None):
        raise SettingsError("give the rationale as TEXT, as --text-file FILE, or as - to read it from standard input")
    if file is not None and str(file) != STANDARD_INPUT:
        return read_rationale(file)
    if text is not None and text != STANDARD_INPUT:
        return checked_length(text, "TEXT")
    return rationale_of(typer.get_binary_stream("stdin").read(MAX_BYTES + 1), "standard input")


def _patient(note: Path | None, labs: Path | None, checking: Checking) -> Patient:
    from clinragen.claims.sentences import Patient
    from dataset_builder.contract.lab_csv import read_lab_csv
    from dataset_builder.contract.lab_series import LabSeries
    from dataset_builder.contract.note_file import read_note

    vocabulary = checking.vocabulary
    series = LabSeries.empty(vocabulary) if labs is None else read_lab_csv(labs, vocabulary)
    for remark in series.remarks:
        typer.echo(f"{labs}: {remark}", err=True)
    return Patient(series, None if note is None else read_note(note))


def _steps(text: str, checking: Checking) -> str:
    from clinragen.checking.printable import printable
    from clinragen.claims.explain import explain

    return "".join(f"{printable(line)}\n" for line in explain(text, checking)) + "\n"


def _write(checked: CheckedText, format: Format, output: Path | None, steps: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from clinragen.checking.render_html import render_html
    from clinragen.checking.render_json import render_json
    from clinragen.checking.render_text import print_checked, render_text

    console = Console(highlight=False)
    _show_what_can_be_shown()
    if format is Format.TEXT and output is None and console.is_terminal:
        console.print(Text(steps), end="")
        print_checked(checked, console)
        return
    render = {Format.TEXT: render_text, Format.JSON: render_json, Format.HTML: render_html}[format]
    whole = steps + render(checked)
    if output is None:
        typer.echo(whole, nl=False)
        return
    # It has the note's words in it: only its owner can open it.
    with atomic_file(output, private=True) as beside:
        beside.write_text(whole, encoding="utf-8")


def _show_what_can_be_shown() -> None:
    """A terminal or pipe of an older encoding gets an escape for what it cannot show, instead of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
