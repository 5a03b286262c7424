"""Choose a patient, or enter a note and a CSV; diagnoses, rationale and probabilities come back."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from clinragen.checking.render_html import html_fragment, style
from clinragen.demo.tab import PRIVATE, PageState, Tab
from clinragen.inference import Explanation
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.lab_summary import summarise
from modeling_clinragen.errors import ClinRaGenError

OWN = "My own note and measurements"
SHOWN_DISEASES = 10


def _build(gr: Any, page: Any, state: PageState) -> None:
    explainer, patients = state.explainer, state.patients

    def clear() -> tuple[str, str, str, None]:
        return "", "", "", None

    def choose(name: str) -> tuple[Any, ...]:
        # Nothing of the patient before may stand beside this one: neither the answer nor a file of measurements.
        if name == OWN:
            return "", None, "", "", *clear()
        row = patients[name]
        return row["note"], None, row["lab_summary"], ", ".join(row["diagnoses"]) or "none", *clear()

    def explain(name: str, note: str, table: str | None) -> tuple[str, str, str, str, dict[str, float] | None]:
        try:
            if table is not None:
                series = explainer.read_labs(Path(table))
            elif name != OWN:
                series = LabSeries.from_example(explainer.vocabulary, patients[name])
            else:
                series = LabSeries.empty(explainer.vocabulary)
            found = explainer.explain(note.strip(), series)
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error
        scores = None if found.probabilities is None else dict(found.probabilities)
        measured = summarise(series, explainer.range_set) or "Nothing was measured."
        return _warnings(found), _diagnoses(found), rationale_html(found), measured, scores

    with gr.Row():
        with gr.Column():
            patient = gr.Dropdown(
                [OWN, *patients], value=next(iter(patients), OWN), label="Patient", elem_id="patient"
            )
            note = gr.Textbox(label="Note", lines=14, max_lines=24, elem_id="note")
            table = gr.File(label="Measurements (CSV: hours plus variables with units)", file_types=[".csv"])
            button = gr.Button("Explain", variant="primary", elem_id="explain")
        with gr.Column():
            warnings = gr.Markdown(elem_id="warnings")
            gr.Markdown("### Diagnoses")
            diagnoses = gr.Markdown(elem_id="diagnoses")
            rationale = gr.HTML(elem_id="rationale")
            scores = gr.Label(
                label="Probability, given the other diseases listed (not calibrated)",
                num_top_classes=SHOWN_DISEASES,
                show_heading=False,
                visible=explainer.config.probabilities,
                elem_id="probabilities",
            )
            anomalies = gr.Textbox(label="Measurements in words", lines=4, elem_id="anomalies")
            truth = gr.Textbox(label="Coded diagnoses (known for patients of the cohort only)", elem_id="truth")
    answer = [warnings, diagnoses, rationale, scores]
    shown = [warnings, diagnoses, rationale, anomalies, scores]
    for event in (patient.change, page.load):
        event(choose, patient, [note, table, anomalies, truth, *answer], **PRIVATE)
    # Where the new answer is an error, the one before must not stand there as if it were of this patient.
    asked = button.click(clear, None, answer, **PRIVATE)
    asked.then(explain, [patient, note, table], shown, **PRIVATE)


def _warnings(found: Explanation) -> str:
    return "\n".join(f"- **{warning}**" for warning in found.warnings)


def _diagnoses(found: Explanation) -> str:
    # A text that cannot be read says nothing; it must not look like a clean bill of health.
    if found.problem is not None:
        return "No diagnosis could be read."
    shown = [f"- {name}" for name in found.diagnoses if name not in found.without_evidence]
    lines = shown or ["No disease is diagnosed with evidence." if found.diagnoses else "No disease is diagnosed."]
    if found.without_evidence:
        lines += ["", "Named without evidence, so not asserted:", ""]
        lines += [f"- *{name}*" for name in found.without_evidence]
    return "\n".join(lines)


def rationale_html(found: Explanation) -> str:
    """The shown rationale with what decides each claim, and the withheld sentences, closed, below it."""
    if found.problem is not None:
        return f"<p>The output is malformed ({escape(found.problem)}). As written: {escape(found.text)}</p>"
    shown = html_fragment(found.checked, "Rationale", "shown")
    parts = [f"<style>{style()}</style>", shown]
    if found.withheld:
        items = "".join(f"<li>{escape(sentence.text)}</li>" for sentence in found.withheld)
        count = len(found.withheld)
        summary = f"{count} sentence{'' if count == 1 else 's'} withheld: not borne out by the data"
        parts.append(f"<details><summary>{summary}</summary><ul>{items}</ul></details>")
    return "".join(parts)


EXPLAIN = Tab("Explain", _build)
