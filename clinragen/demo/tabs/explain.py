"""Choose a patient, or enter a note and measurements; diagnoses and reasons come back, sentence by sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from html import escape
from typing import Any

from clinragen.demo.answer_html import answer_html
from clinragen.demo.api import Values, values_of
from clinragen.demo.async_steps import in_thread
from clinragen.demo.beyond_answer import (
    EMPTY,
    Filled,
    beyond_answer,
    on_save,
    on_switch,
    save_buttons,
)
from clinragen.demo.measurement_inputs import measurement_inputs, text_of_upload
from clinragen.demo.not_mentioned import not_mentioned
from clinragen.demo.own_values import template_link, values_table
from clinragen.demo.patient import OWN, OnePatient, patient_of, recorded
from clinragen.demo.patient_html import answered_patient_html, patient_html
from clinragen.demo.tab import AS_SENT, ONE_AT_A_TIME, PRIVATE, PageState, Tab, as_js, set_in_browser
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import ClinRaGenError

HINT = '<p class="cr cr-hint">Explain puts the answer here: diagnoses, and sentences that the data bear out.</p>'
READING = '<p class="cr cr-hint" role="status">Reading the patient …</p>'


def _build(gr: Any, page: Any, state: PageState) -> None:
    # Three things keep two patients apart. What is asked about is one patient, whole (`OnePatient`), or it is refused.
    # What the server says of a chosen patient sets all of the page at once, the choice included. And the browser, as
    # soon as the reader changes anything, itself empties what is of the patient before, drops an answer under way, and
    # paints no part of it that arrives all the same: each part says by which click it was asked for.
    explainer = state.explainer
    filled = Filled(gr, state)

    def choose(name: str | None) -> list[Any]:
        own = name == OWN
        row = {} if own else recorded(state, name)
        shown = ""
        if not own:
            chosen = explainer.patient(row["note"], LabSeries.from_example(explainer.vocabulary, row))
            shown = patient_html(chosen, explainer.range_set, recorded=row)
        return [name, gr.update(visible=own), "", "", None, shown, HINT, ""]

    def asked_about(name: str, note: str | None = "", table: Any = None, measurements: str | None = "") -> OnePatient:
        return patient_of(state, name, note, table, measurements)

    def take(table: Any) -> tuple[None, str, str]:
        return text_of_upload(state, table)

    async def show(asked_by: str, *values: Any) -> AsyncIterator[list[Any]]:
        """Yield the certain part of one patient's answer as it grows, and the patient's data with marks."""
        async for said, shown, *others in in_thread(lambda: parts_of(*values)):
            yield [_of_click(asked_by, said), _of_click(asked_by, shown), *others]

    def parts_of(
        patient: str, note: str | None = "", table: Any = None, measurements: str | None = ""
    ) -> Generator[list[Any], None, None]:
        one = asked_about(patient, note, table, measurements)
        row = state.patients.get(one.name)
        for found in explainer.explain_stream(one.note, one.series):
            findings = not_mentioned(found, explainer.checking) if found.complete and found.problem is None else []
            yield [
                answer_html(one.name, found, findings),
                answered_patient_html(found, explainer.range_set, findings, row),
                *filled.values(found),
            ]

    def explain(patient: str, note: str | None = "", table: Any = None, measurements: str | None = "") -> Values:
        """Diagnoses of one patient with their reasons: of the cohort by its name, or by a note, values or both."""
        try:
            one = asked_about(patient, note, table, measurements)
            return values_of(one.name, explainer.explain(one.note, one.series), explainer.range_set)
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Row(elem_id="explain-tab"):
        with gr.Column(elem_id="given"):
            patient = gr.Dropdown(
                [(OWN, OWN), *((state.summaries.get(name, name), name) for name in state.patients)],
                value=next(iter(state.patients), OWN),
                label="Patient (type to search)",
                elem_id="patient",
            )
            with gr.Column(visible=not state.patients, elem_id="own") as own:
                note = gr.Textbox("", label="Note", lines=6, max_lines=14, elem_id="note")
                with gr.Accordion("Type measurements into a table", open=False, elem_id="values"):
                    gr.HTML(values_table(explainer.vocabulary), apply_default_css=False)
                typed, table = measurement_inputs(gr, "Measurements")
                gr.HTML(template_link(explainer.vocabulary), apply_default_css=False, elem_id="template")
            message = gr.HTML("", apply_default_css=False, elem_id="message")
            button = gr.Button("Explain", variant="primary", elem_id="explain")
        with gr.Column(elem_id="said"):
            saves = save_buttons(gr)
            answer = gr.HTML(HINT, apply_default_css=False, elem_id="answer")
            beyond = beyond_answer(gr)
        with gr.Column(elem_id="shown"):
            view = gr.HTML("", apply_default_css=False, elem_id="view")
    click = gr.Textbox(visible=False, label="Click")
    given = [patient, note, table, typed]
    inputs = [note, typed, table, view]

    none = dict(zip(beyond.components, EMPTY, strict=True))

    asked = button.click(
        None,
        None,
        [answer, *beyond.components, click],
        js=f"() => [{as_js([READING, *EMPTY])}, clinragen.ask()].flat()",
    )
    answered = asked.then(
        show,
        [click, *given],
        [answer, view, *beyond.components],
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **AS_SENT,
        **PRIVATE,
    )
    # An answer that was dropped has failed as well, but what came in its place stays.
    instead = f"(shown) => shown === {as_js(READING)} ? {as_js(HINT)} : shown"
    answered.failure(None, answer, answer, js=instead)
    compared = on_switch(state, beyond, given, asked_about)
    saved = on_save(gr, state, saves, given, asked_about)

    under_way = [answered, compared, *saved]
    gone = {answer: HINT, **none}
    uploaded = table.upload(**_set({**gone, view: "", message: "", typed: ""}), cancels=under_way)
    taken = uploaded.then(take, table, [table, typed, message], **AS_SENT, **PRIVATE)
    note.input(**_set({**gone, view: ""}), cancels=under_way)
    for event in (typed.input, table.clear):
        event(**_set({**gone, view: "", message: ""}), cancels=[*under_way, taken])
    # Not `input`: with that the list also says that it was left with the keyboard, whatever is chosen.
    patient.change(
        **_set({**gone, note: "", typed: "", table: None, view: "", message: ""}), cancels=[*under_way, taken]
    )
    for event in (patient.change, page.load):
        event(
            choose,
            patient,
            [patient, own, *inputs, answer, message],
            trigger_mode="always_last",
            show_progress="hidden",
            **AS_SENT,
            **PRIVATE,
        )

    # What programs call. Its parts are on no screen: a person's page has them in one piece.
    parts = [gr.Markdown(visible=False), gr.Markdown(visible=False), gr.HTML(visible=False)]
    parts += [gr.Textbox(visible=False, label="Measurements in words")]
    parts += [gr.Label(visible=False, label=explainer.probability_of)]
    gr.Button("Explain", visible=False).click(explain, given, parts, api_name="explain", **ONE_AT_A_TIME, **AS_SENT)


def _set(values: dict[Any, Any]) -> dict[str, Any]:
    """Settings of an event that drops the answer and sets components."""
    return set_in_browser(values, "clinragen.drop")


def _of_click(asked_by: str, html: str) -> str:
    """A part of an answer with the click that asked for it, which `page.js` compares with the last one."""
    return f'<div data-asked="{escape(str(asked_by))}">{html}</div>'


EXPLAIN = Tab("Explain", _build)
