"""One tab of the page, and what all tabs are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clinragen.inference import Explainer

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""For every event of a tab: no queue log or public endpoint may keep a patient."""


@dataclass(frozen=True)
class PageState:
    """The model and the patients of the page.

    Args:
        explainer: The loaded model.
        patients: Rows of the data contract by the name they are shown under; empty without a cohort.
    """

    explainer: Explainer
    patients: Mapping[str, Mapping[str, Any]]


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
