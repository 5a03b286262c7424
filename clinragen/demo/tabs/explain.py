"""Choose a patient, or enter a note and a CSV; diagnoses, rationale and probabilities come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinragen.demo.tab import PRIVATE, PageState, Tab
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.lab_summary import summarise
from modeling_clinragen.errors import ClinRaGenError, SettingsError

OWN = "My own note and measurements"
SHOWN_DISEASES = 10


def _build(gr: Any, page: Any, state: PageState) -> None:
    explainer, patients = state.explainer, state.patients

    def choose(name: str) -> tuple[str, str, str]:
        if name == OWN:
            return "", "", ""
        row = patients[name]
        return row["note"], row["lab_summary"], ", ".join(row["diagnoses"]) or "none"

    def explain(name: str, note: str, table: str | None) -> tuple[str, str, str, dict[str, float] | None]:
        try:
            if table is not None:
                series = explainer.read_labs(Path(table))
            elif name != OWN:
                series = LabSeries.from_example(explainer.vocabulary, patients[name])
            else:
                series = LabSeries.empty(explainer.vocabulary)
            if not note.strip() and len(series) == 0:
                raise SettingsError("give a note, a CSV with measurements, or both")
            found = explainer.explain(note.strip(), series)
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error
        # A text that cannot be read says nothing; it must not look like a clean bill of health.
        none = "No disease is diagnosed." if found.problem is None else "No diagnosis could be read."
        listed = "\n".join(f"- {disease}" for disease in found.diagnoses) or none
        rationale = found.rationale
        if found.problem is not None:
            rationale = f"The output is malformed ({found.problem}). As written: {found.text}"
        scores = None if found.probabilities is None else dict(found.probabilities)
        return listed, rationale, summarise(series, explainer.range_set) or "Nothing was measured.", scores

    with gr.Row():
        with gr.Column():
            patient = gr.Dropdown(
                [OWN, *patients], value=next(iter(patients), OWN), label="Patient", elem_id="patient"
            )
            note = gr.Textbox(label="Note", lines=14, max_lines=24, elem_id="note")
            table = gr.File(label="Measurements (CSV: hours plus variables with units)", file_types=[".csv"])
            button = gr.Button("Explain", variant="primary", elem_id="explain")
        with gr.Column():
            gr.Markdown("### Diagnoses")
            diagnoses = gr.Markdown(elem_id="diagnoses")
            rationale = gr.Textbox(label="Rationale", lines=8, elem_id="rationale")
            scores = gr.Label(
                label="Probability, given the other diseases listed (not calibrated)",
                num_top_classes=SHOWN_DISEASES,
                show_heading=False,
                visible=explainer.config.probabilities,
                elem_id="probabilities",
            )
            anomalies = gr.Textbox(label="Measurements in words", lines=4, elem_id="anomalies")
            truth = gr.Textbox(label="Coded diagnoses (known for patients of the cohort only)", elem_id="truth")
    patient.change(choose, patient, [note, anomalies, truth], **PRIVATE)
    page.load(choose, patient, [note, anomalies, truth], **PRIVATE)
    button.click(explain, [patient, note, table], [diagnoses, rationale, anomalies, scores], **PRIVATE)


EXPLAIN = Tab("Explain", _build)
