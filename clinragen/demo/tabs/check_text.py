"""Any model's rationale, or any person's, checked sentence by sentence against a note and measurements.

The checker works by rules: no model is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinragen.checking.checked import CheckedText, check_text
from clinragen.checking.inputs import checked_length
from clinragen.checking.render_html import html_fragment, style
from clinragen.checking.render_json import result
from clinragen.demo.measurement_inputs import measurement_inputs, text_of_upload
from clinragen.demo.patient import OWN, patient_of
from clinragen.demo.tab import AS_SENT, PRIVATE, PageState, Tab, set_in_browser
from clinragen.demo.tables_html import list_html, message_html, sentence_html
from modeling_clinragen.errors import ClinRaGenError, SettingsError
from modeling_clinragen.note_clinragen import clean_note

INTRODUCTION = (
    "Paste what any model or person wrote about a patient, and what is known of the patient. Every statement about "
    "the measurements, every quotation of the note and every tie between evidence and a disease is checked by rules. "
    "No model is asked."
)
TEXT = "the rationale"


def _build(gr: Any, page: Any, state: PageState) -> None:
    def checked(text: Any, note: Any, measurements: Any, diseases: Any) -> tuple[CheckedText, tuple[str, ...]]:
        # The texts first: they say what is missing, the measurements only what is wrong with them.
        written = checked_length(_text(text, TEXT), TEXT)
        listed = _listed(state, diseases)
        one = patient_of(state, OWN, note, None, measurements)
        patient = state.explainer.patient(clean_note(one.note) or None, one.series)
        return check_text(written, patient, state.explainer.checking, listed), one.series.remarks

    def check(text: Any = "", note: Any = "", measurements: Any = "", diseases: Any = None) -> dict[str, Any]:
        """The verdicts on a rationale as JSON, as `clinragen check --format json` writes them."""
        try:
            return result(checked(text, note, measurements, diseases)[0])
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def show_checked(text: Any, note: Any, measurements: Any, diseases: Any) -> str:
        """The same to read; what is wrong with the input stands where the answer would."""
        try:
            found, remarks = checked(text, note, measurements, diseases)
        except ClinRaGenError as error:
            return message_html(error)
        warned = f'<div class="cr">{list_html(remarks)}</div>' if remarks else ""
        fragment = html_fragment(found, prefix="checked")
        return (
            f'<style>{style()}</style>{warned}<div class="cr-checked" tabindex="0" role="region" '
            f'aria-label="The verdicts">{fragment}</div>'
        )

    def take_table(table: Any) -> tuple[None, str, str]:
        return text_of_upload(state, table)

    gr.HTML(f'<div class="cr">{sentence_html(INTRODUCTION)}</div>', apply_default_css=False, elem_id="check-about")
    with gr.Row(elem_id="check-tab"):
        with gr.Column(elem_id="check-said"):
            text = gr.Textbox("", label="Rationale to check", lines=8, max_lines=14, elem_id="check-text")
            diseases = gr.Dropdown(
                list(state.explainer.vocabulary.disease_names),
                value=[],
                multiselect=True,
                label="Diseases that the rationale has to agree with (may be left empty)",
                elem_id="check-diseases",
            )
            button = gr.Button("Check", variant="primary", elem_id="check")
        with gr.Column(elem_id="check-given"):
            note = gr.Textbox("", label="The patient's note", lines=6, max_lines=14, elem_id="check-note")
            typed, table = measurement_inputs(gr, "The patient's measurements", "check-")
    answer = gr.HTML("", apply_default_css=False, elem_id="check-answer")
    given = [text, note, typed, diseases]

    asked = button.click(**_emptied(answer))
    answered = asked.then(show_checked, given, answer, **AS_SENT, **PRIVATE)
    uploaded = table.upload(**_emptied(answer, typed), cancels=[answered])
    taken = uploaded.then(take_table, table, [table, typed, answer], **AS_SENT, **PRIVATE)
    for event in (text.input, note.input, diseases.input):
        event(**_emptied(answer), cancels=[answered])
    for event in (typed.input, table.clear):
        event(**_emptied(answer), cancels=[answered, taken])

    # What programs call; a person's answer is the same to read.
    gr.Button("Check", visible=False).click(check, given, gr.JSON(visible=False), api_name="check", **AS_SENT)


def _emptied(*texts: Any) -> dict[str, Any]:
    return set_in_browser(dict.fromkeys(texts, ""))


def _listed(state: PageState, diseases: Any) -> tuple[str, ...] | None:
    """The chosen diseases; None where nobody chose any. Raises `SettingsError` for another than the model's."""
    chosen = [] if diseases is None else [diseases] if isinstance(diseases, str) else diseases
    known = state.explainer.vocabulary.disease_names
    if not isinstance(chosen, Sequence) or not all(name in known for name in chosen):
        raise SettingsError(f"a listed disease is not one of the model's; choose from {'; '.join(known)}")
    return tuple(dict.fromkeys(chosen)) or None


def _text(given: Any, what: str) -> str:
    if given is not None and not isinstance(given, str):
        raise SettingsError(f"{what}: is not text; send text")
    return given or ""


CHECK_TEXT = Tab("Check a text", _build)
