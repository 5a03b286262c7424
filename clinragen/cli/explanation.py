"""The model's answer for one patient, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clinragen.checking.printable import one_line
from clinragen.checking.render_text import print_lines, sentence_lines
from clinragen.inference import Explanation


def print_explanation(explanation: Explanation, console: Console | None = None, *, details: bool = False) -> None:
    """Print the diagnoses and the rationale of one patient; a malformed output is shown as written, with its fault.

    Args:
        explanation: The answer.
        console: Where to print; by default standard output.
        details: Also print the claims of each sentence with what decides them, and the withheld sentences.
    """
    console = console if console is not None else Console()
    for warning in explanation.warnings:
        console.print(Text(f"Warning: {one_line(warning)}", style="bold yellow"))
    _print_diagnoses(explanation, console)
    console.print(Text("Rationale", style="bold"))
    # Unverified text carries the verdict on every sentence, whether asked for or not.
    if not explanation.sentences:
        console.print(Text("  (nothing that the data support)" if explanation.verified else "  (none)"))
    elif details or not explanation.verified:
        print_lines(sentence_lines(explanation.checked, explanation.sentences), console)
    else:
        console.print(Text(f"  {one_line(explanation.rationale)}"))
    _print_withheld(explanation, console, details)
    if explanation.problem is not None:
        console.print(Text(f"The output is malformed ({explanation.problem}). As written:", style="bold red"))
        console.print(Text(one_line(explanation.text)))
    if explanation.probabilities is not None:
        console.print(_probability_table(explanation.probability_of, explanation.probabilities))


def _print_diagnoses(explanation: Explanation, console: Console) -> None:
    """No source, no assertion: what no sentence gives evidence for stands apart."""
    shown = explanation.asserted
    console.print(Text("Diagnoses", style="bold"))
    # A text that cannot be read says nothing; it must not look like a clean bill of health.
    if explanation.problem is not None:
        none = "none could be read"
    elif explanation.diagnoses:
        none = "none with evidence"
    else:
        none = "none"
    for name in shown or (none,):
        console.print(Text(f"  {one_line(name)}"))
    if explanation.without_evidence:
        console.print(Text("Named without evidence, so not asserted", style="bold yellow"))
        for name in explanation.without_evidence:
            console.print(Text(f"  {one_line(name)}"))


def _print_withheld(explanation: Explanation, console: Console, details: bool) -> None:
    if explanation.verified and explanation.sentences:
        claims = sum(len(sentence.claims) for sentence in explanation.sentences)
        console.print(
            Text(f"Each sentence was checked against the patient's data: {claims} claims hold.", style="dim")
        )
    if not explanation.withheld:
        return
    count = len(explanation.withheld)
    words = "sentence was" if count == 1 else "sentences were"
    if not details:
        console.print(
            Text(f"{count} {words} withheld: the data do not bear out what is said (--details).", style="dim")
        )
        return
    console.print(Text(f"Withheld: {count} {words} not borne out by the data", style="bold"))
    print_lines(sentence_lines(explanation.checked, explanation.withheld), console)


def _probability_table(title: str, probabilities: Mapping[str, float]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("Disease")
    table.add_column("Probability", justify="right")
    for name, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        table.add_row(Text(name), f"{probability:.1%}")
    return table
