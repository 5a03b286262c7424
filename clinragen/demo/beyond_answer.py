"""The surroundings of an answer: files of it, the answer without a part of the data, and the attention map.

Nothing is kept for it: each event asks about the patient that the page has, and the model answers again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from clinragen.demo.attention_map import AttentionMaps
from clinragen.demo.patient import OnePatient
from clinragen.demo.patient_summaries import shortened
from clinragen.demo.tab import AS_SENT, ONE_AT_A_TIME, PRIVATE, PageState
from clinragen.demo.what_if import possible_changes, what_if, what_if_html
from clinragen.export.forms import FHIR, JSON, PDF
from clinragen.export.write import rendered
from clinragen.inference import Explanation
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError

FORMS = {PDF: ("PDF", "application/pdf"), JSON: ("JSON", "application/json"), FHIR: ("FHIR", "application/fhir+json")}
OTHERS = 50
"""So many patients of the page are what an attention map is compared with."""
LONGEST = 90
"""So many characters of a sentence of the note stand in the list of what can be switched off."""

Asked = Callable[..., OnePatient]
"""The one patient that components stand for, from their values."""


@dataclass(frozen=True)
class Beyond:
    """The components that a whole answer fills, and a change of the patient empties.

    Args:
        off: What can be switched off.
        compared: The answers with and without it.
        attention: The attention map.
    """

    off: Any
    compared: Any
    attention: Any

    @property
    def components(self) -> list[Any]:
        """All of them, in the order of `values`."""
        return [self.off, self.compared, self.attention]


def save_buttons(gr: Any) -> list[tuple[str, Any]]:
    """A button for each form that an answer can be saved in, with the ending of its file."""
    with gr.Row(elem_id="saves", elem_classes="cr-after"):
        return [(ending, gr.Button(f"Save as {title}", size="sm")) for ending, (title, _) in FORMS.items()]


def on_save(gr: Any, state: PageState, buttons: list[tuple[str, Any]], given: list[Any], asked: Asked) -> list[Any]:
    """Let the browser save what the buttons make, and no file lie anywhere else; returns the events."""

    def saved(ending: str) -> Callable[..., str]:
        def save(*values: Any) -> str:
            one = asked(*values)
            if state.origin is None:
                raise SettingsError("this page does not know where its model comes from, and saves no answer")
            found = state.explainer.explain(one.note, one.series)
            data = rendered(ending, found, state.origin, datetime.now(UTC))
            encoded = base64.b64encode(data).decode()
            return json.dumps({"name": f"explanation{ending}", "type": FORMS[ending][1], "data": encoded})

        return save

    events = []
    for ending, button in buttons:
        content = gr.Textbox(visible=False, label="File")
        made = button.click(
            saved(ending), given, content, show_progress="hidden", **ONE_AT_A_TIME, **AS_SENT, **PRIVATE
        )
        made.then(None, content, content, js="(file) => clinragen.save(file)")
        events.append(made)
    return events


def beyond_answer(gr: Any) -> Beyond:
    """The part of the page below an answer; it is shown beside a whole answer only (`page.css`)."""
    with gr.Column(elem_id="beyond", elem_classes="cr-after"):
        with gr.Accordion("What if", open=False, elem_id="what-if"):
            off = gr.Dropdown([], label="Switch off (type to search)", value=None, elem_id="off")
            compared = gr.HTML("", apply_default_css=False, elem_id="compared")
        with gr.Accordion("What the measurements attend to", open=False, elem_id="attention"):
            attention = gr.HTML("", apply_default_css=False, elem_id="attention-map")
    return Beyond(off, compared, attention)


def on_switch(state: PageState, beyond: Beyond, given: list[Any], asked: Asked) -> Any:
    """Answer again without what is chosen; returns the event."""

    def compare(name: str | None, *values: Any) -> str:
        one = asked(*values)
        old = state.explainer.explain(one.note, one.series)
        titles = possible_changes(old.patient)
        new = what_if(state.explainer, old, str(name))
        return f'<div class="cr">{what_if_html(old, new, titles[str(name)])}</div>'

    return beyond.off.input(compare, [beyond.off, *given], beyond.compared, **ONE_AT_A_TIME, **AS_SENT, **PRIVATE)


class Filled:
    """Values of what stands beside an answer.

    Args:
        gr: The module gradio.
        state: The page's.
    """

    def __init__(self, gr: Any, state: PageState) -> None:
        vocabulary = state.explainer.vocabulary
        others = (LabSeries.from_example(vocabulary, row) for row in islice(state.patients.values(), OTHERS))
        self._gr = gr
        self._maps = AttentionMaps(state.explainer, others)

    def values(self, answer: Explanation) -> list[Any]:
        """For a whole answer; as long as it is not whole, nothing changes."""
        if not answer.complete or answer.problem is not None:
            return [self._gr.skip()] * 3
        choices = [(shortened(title, LONGEST), name) for name, title in possible_changes(answer.patient).items()]
        attention = f'<div class="cr">{self._maps.html(answer.patient.series)}</div>'
        return [self._gr.update(choices=choices, value=None), "", attention]


EMPTY: tuple[Any, ...] = ({"__type__": "update", "choices": [], "value": None}, "", "")
"""No answer, as the browser takes it."""
