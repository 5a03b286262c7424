"""The evaluation's results in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clinragen.evaluation.outcome import verdict_sentence, verdicts
from clinragen.evaluation.report import check_patient, note_excerpt
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RATIONALE_SCORES
from clinragen.evaluation.systems import in_order, system_name
from trainers.formatting import format_difference, format_score

NOTE_CHARACTERS = 600


def print_table(console: Console, metrics: Mapping[str, Any]) -> None:
    """Print the main scores of every system and of its rationales with intervals, and the verdict."""
    counts = metrics["held_out"]
    table = Table(
        title=f"Held-out: {counts['examples']} examples of {counts['subjects']} patients", box=box.SIMPLE_HEAD
    )
    table.add_column("System")
    shown = [score for score in DIAGNOSIS_SCORES if score.in_terminal]
    for header in (*(score.title[0].upper() + score.title[1:] for score in shown), "Full minus this"):
        table.add_column(header, justify="right")
    table.add_column("Does full beat it?")
    against = {item.other: item for item in verdicts(metrics)}
    for name, scores in in_order(metrics["systems"]):
        item = against.get(name)
        difference, answer = ("", "") if item is None else (format_difference(item.difference), item.answer)
        values = [format_score(scores[score.name]) for score in shown]
        table.add_row(system_name(name), *values, difference, answer)
    console.print(table)
    if metrics["rationale"]:
        console.print(_rationale_table(metrics["rationale"]))
    console.print(Text(verdict_sentence(metrics)))


def _rationale_table(rationales: Mapping[str, Any]) -> Table:
    """One line a score: with their intervals, more than four would not fit side by side."""
    systems = in_order(rationales)
    table = Table(title="Rationales, checked against the patients' data", box=box.SIMPLE_HEAD)
    table.add_column("")
    for name, _ in systems:
        table.add_column(system_name(name), justify="right")
    for title, cell in (column for score in RATIONALE_SCORES for column in score.terminal):
        table.add_row(title, *(cell(entries) for _, entries in systems))
    return table


def print_patient(console: Console, patient: Mapping[str, Any]) -> None:
    """Print one example: note excerpt, lab anomalies, diagnoses given and true, both rationales.

    Everything is printed as plain text, so brackets in a note are safe.

    Raises:
        InputDataError: A key is missing.
    """
    check_patient(patient)
    given, true = patient["predicted"], patient["diagnoses"]
    diagnoses = Table(box=box.SIMPLE_HEAD)
    for header in ("Disease", "Given", "True"):
        diagnoses.add_column(header)
    for name in dict.fromkeys([*true, *given]):
        diagnoses.add_row(Text(name), "yes" if name in given else "-", "yes" if name in true else "-")
    generated = patient["generated_rationale"]
    teacher = " ".join(part for part in (patient["rationale_note"], patient["rationale_lab"]) if part.strip())
    written = "(the output could not be parsed)" if generated is None else generated.strip() or "(empty)"
    reference = teacher or "(the teacher wrote none)"
    console.print(
        Panel(Text(note_excerpt(patient["note"], NOTE_CHARACTERS)), title="Note (excerpt)", title_align="left")
    )
    labs = patient["lab_summary"].strip() or "(nothing was measured)"
    console.print(Panel(Text(labs), title="Lab and vital signs", title_align="left"))
    console.print(diagnoses)
    console.print(Panel(Text(written), title="Rationale by the model", title_align="left"))
    console.print(Panel(Text(reference), title="Rationale by the teacher", title_align="left"))
