"""Choose a patient, or enter a note and measurements; diagnoses, rationale and probabilities come back."""

from __future__ import annotations

from html import escape
from typing import Any

from clinragen.checking.render_html import html_fragment, style
from clinragen.demo.patient import OWN, patient_of, recorded, text_of_file
from clinragen.demo.tab import AS_SENT, PRIVATE, PageState, Tab
from clinragen.inference import Explanation
from modeling_clinragen.errors import ClinRaGenError

SHOWN_DISEASES = 10
EMPTY = ("", "", "", None)
"""No answer: warnings, diagnoses, rationale and probabilities."""


def _build(gr: Any, page: Any, state: PageState) -> None:
    # Three things keep two patients apart. What is asked about is one patient, whole (`OnePatient`), or it is refused.
    # What the server says of a chosen patient sets all of the page at once, the choice included. And the browser, as
    # soon as the reader changes anything, itself empties what is of the patient before and drops an answer under way.

    def choose(name: str | None) -> list[Any]:
        own = name == OWN
        row = {} if own else recorded(state, name)
        return [
            name,
            gr.update(value=row.get("note", ""), interactive=own),
            gr.update(value="", visible=own),
            gr.update(value=None, visible=own),
            row.get("lab_summary", ""),
            "" if own else ", ".join(row["diagnoses"]) or "none",
            *EMPTY,
        ]

    def take(table: Any) -> tuple[None, str, str]:
        """Put the text of an uploaded file where it can be seen, and keep no file."""
        try:
            return None, text_of_file(state, table), ""
        except ClinRaGenError as error:
            return None, "", f"- **{error}**"

    def explain(
        patient: str, note: str | None = "", table: Any = None, measurements: str | None = ""
    ) -> tuple[str, str, str, str, dict[str, float] | None]:
        """Diagnoses of one patient with their reasons: of the cohort by its name, or by a note, values or both."""
        try:
            one = patient_of(state, patient, note, table, measurements)
            found = state.explainer.explain(one.note, one.series)
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error
        scores = None if found.probabilities is None else dict(found.probabilities)
        measured = one.series.in_words(state.explainer.range_set) or "Nothing was measured."
        whose = f'<p class="whose">Answer for: <strong>{escape(one.name)}</strong></p>'
        return _warnings(found), _diagnoses(found), whose + rationale_html(found), measured, scores

    with gr.Row():
        with gr.Column():
            patient = gr.Dropdown(
                [OWN, *state.patients], value=next(iter(state.patients), OWN), label="Patient", elem_id="patient"
            )
            note = gr.Textbox("", label="Note", lines=14, max_lines=24, elem_id="note")
            typed = gr.Textbox(
                "",
                label="Measurements (CSV: hours plus variables with units)",
                lines=4,
                max_lines=12,
                elem_id="measurements",
            )
            table = gr.File(
                label="Measurements from a file of at most 1 MB", file_types=[".csv"], height=110, elem_id="table"
            )
            button = gr.Button("Explain", variant="primary", elem_id="explain")
        with gr.Column():
            warnings = gr.Markdown(elem_id="warnings")
            gr.Markdown("### Diagnoses")
            diagnoses = gr.Markdown(elem_id="diagnoses")
            rationale = gr.HTML(elem_id="rationale")
            scores = gr.Label(
                label=state.explainer.probability_of,
                num_top_classes=SHOWN_DISEASES,
                show_heading=False,
                visible=state.explainer.config.probabilities,
                elem_id="probabilities",
            )
            anomalies = gr.Textbox(label="Measurements in words", lines=4, elem_id="anomalies")
            truth = gr.Textbox(label="Coded diagnoses (known for patients of the cohort only)", elem_id="truth")
    answer = [warnings, diagnoses, rationale, scores]
    inputs = [note, typed, table, anomalies, truth]

    asked = button.click(**_emptied(answer))
    answered = asked.then(
        explain,
        [patient, note, table, typed],
        [warnings, diagnoses, rationale, anomalies, scores],
        api_name="explain",
        **AS_SENT,
    )
    uploaded = table.upload(**_emptied([*answer, anomalies, typed]), cancels=[answered])
    taken = uploaded.then(take, table, [table, typed, warnings], **AS_SENT, **PRIVATE)
    note.input(**_emptied([*answer, anomalies]), cancels=[answered])
    for event in (typed.input, table.clear):
        event(**_emptied([*answer, anomalies]), cancels=[answered, taken])
    patient.input(**_emptied([*inputs, *answer]), cancels=[answered, taken])
    for event in (patient.input, page.load):
        event(choose, patient, [patient, *inputs, *answer], trigger_mode="always_last", **AS_SENT, **PRIVATE)


def _emptied(outputs: list[Any]) -> dict[str, Any]:
    """Settings of an event that empties components in the browser itself, before anything is sent."""
    empty = {"label": "{}", "file": "null"}
    values = ", ".join(empty.get(component.get_block_name(), "''") for component in outputs)
    return {"fn": None, "inputs": None, "outputs": outputs, "js": f"() => [{values}]"}


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
