"""One tab of the page, and what all tabs are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinragen.export.origin import ModelOrigin
from clinragen.inference import Explainer

AS_SENT: dict[str, Any] = {"preprocess": False}
"""For events that read what was sent themselves: gradio would leave files behind, and quote it in its errors."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""For every event of a tab: no public endpoint may keep a patient."""
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""For every event that asks the model."""


def set_in_browser(values: Mapping[Any, Any], call: str = "") -> dict[str, Any]:
    """Settings of an event that sets components in the browser itself, before anything is sent.

    Args:
        values: What each component gets, JSON-able.
        call: A function of `page.js` that the values go through.
    """
    return {"fn": None, "inputs": None, "outputs": list(values), "js": f"() => {call}({as_js(list(values.values()))})"}


def as_js(value: Any) -> str:
    """A value as JavaScript has it, in plain ASCII."""
    return json.dumps(value, ensure_ascii=True)


@dataclass(frozen=True)
class PageState:
    """The model and the patients of the page.

    Args:
        explainer: The loaded model.
        patients: Rows of the data contract by the name they are shown under; empty without a cohort.
        uploads: The folder of uploaded files, which are removed when they were read; None leaves them to gradio.
        summaries: Patients in one line each, by name; one that is absent is shown by its name.
        origin: Where the model comes from, for files of its answers; None where that is not known.
        folder: The model's folder, beside which a run has its report; None without one.
    """

    explainer: Explainer
    patients: Mapping[str, Mapping[str, Any]]
    uploads: Path | None = None
    summaries: Mapping[str, str] = field(default_factory=dict)
    origin: ModelOrigin | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Tab:
    """A part of the page.

    Args:
        title: What the tab is called, where there are several.
        build: Adds components and events; called with the module gradio, the page (`gradio.Blocks`, whose context is
            open) and the state.
    """

    title: str
    build: Callable[[Any, Any, PageState], None]
