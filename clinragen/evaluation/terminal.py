"""The evaluation's results in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clinragen.evaluation.outcome import format_difference, format_score, verdict_sentence, verdicts
from clinragen.evaluation.report import check_patient, note_excerpt
from clinragen.evaluation.scores import DIAGNOSIS_SCORES
from clinragen.evaluation.systems import in_order, system_name

NOTE_CHARACTERS = 600


def print_table(console: Console, metrics: Mapping[str, Any]) -> None:
    """Print the main scores of every system with intervals, the difference to the full model, and the verdict."""
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
    console.print(Text(verdict_sentence(metrics)))


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


class Explained(Protocol):
    """A model's answer for one patient; `problem` names what is malformed in `text`, or is None.

    `probabilities` are by disease, in any order, or None where they were not requested.
    """

    @property
    def diagnoses(self) -> Sequence[str]: ...

    @property
    def rationale(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def problem(self) -> str | None: ...

    @property
    def probabilities(self) -> Mapping[str, float] | None: ...


def print_explanation(explanation: Explained, console: Console | None = None) -> None:
    """Print the diagnoses and the rationale of one patient; a malformed output is shown as written, with its fault."""
    console = console if console is not None else Console()
    console.print(Text("Diagnoses", style="bold"))
    # A text that cannot be read says nothing; it must not look like a clean bill of health.
    none = "none" if explanation.problem is None else "none could be read"
    for name in explanation.diagnoses or (none,):
        console.print(Text(f"  {name}"))
    console.print(Text("Rationale", style="bold"))
    console.print(Text(f"  {explanation.rationale or '(none)'}"))
    if explanation.problem is not None:
        console.print(Text(f"The output is malformed ({explanation.problem}). As written:", style="bold red"))
        console.print(Text(explanation.text))
    if explanation.probabilities is not None:
        console.print(_probability_table(explanation.probabilities))


def _probability_table(probabilities: Mapping[str, float]) -> Table:
    table = Table(title="Probability, given the other diseases listed (not calibrated)", box=box.SIMPLE_HEAD)
    table.add_column("Disease")
    table.add_column("Probability", justify="right")
    for name, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        table.add_row(Text(name), f"{probability:.1%}")
    return table
