"""Where a reader gives measurements: as CSV text, or by a file, whose text then stands where it can be seen."""

from __future__ import annotations

from typing import Any

from clinragen.demo.patient import text_of_file
from clinragen.demo.tab import PageState
from clinragen.demo.tables_html import message_html
from modeling_clinragen.errors import ClinRaGenError


def measurement_inputs(gr: Any, label: str, name: str = "") -> tuple[Any, Any]:
    """The box for the text and the one for the file.

    Args:
        gr: The module gradio.
        label: What the text box is called, before what a CSV has.
        name: Begins the ids of both elements, `measurements` and `table`.
    """
    typed = gr.Textbox(
        "",
        label=f"{label} as CSV text (hours, then variables with their units)",
        lines=3,
        max_lines=10,
        elem_id=f"{name}measurements",
    )
    table = gr.File(
        label="Measurements from a CSV file of at most 1 MB",
        file_types=[".csv"],
        height=150,
        elem_id=f"{name}table",
    )
    return typed, table


def text_of_upload(state: PageState, table: Any) -> tuple[None, str, str]:
    """The outcome of an uploaded file, which is not kept: an empty file box, its text, or what is wrong with it."""
    try:
        return None, text_of_file(state, table), ""
    except ClinRaGenError as error:
        return None, "", message_html(error)
