"""The tab that says what the page is: limits, training data, licence, where the model comes from, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from clinragen.demo.figures_of_model import card_part, card_text
from clinragen.demo.tab import PageState, Tab
from clinragen.demo.tables_html import list_html, section_html, sentence_html, table_html
from dataset_builder.storage.governance import provenance_notices
from modeling_clinragen.provenance_clinragen import is_credentialed, origins_of

LIMITS = (
    "Research software, not a medical device. Nothing on this page may decide about a patient's care.",
    "A fluent rationale can be wrong: check it against the note and the measurements.",
    "The checker says whether the patient's data bear out a sentence. It does not say whether a diagnosis is right.",
    "What was not measured is never normal, and a disease that is not listed is not ruled out.",
)
STAYS = (
    "What is entered stays on the machine that serves the page: nothing is stored, logged or sent on, and an "
    "uploaded file is removed as soon as it is read."
)
LIBRARIES = ("clinragen", "torch", "transformers", "gradio")
LICENCE = "The software is under the Apache License 2.0."
UNKNOWN = "Where the model comes from is not recorded, so it counts as trained on data under a data use agreement."


def _build(gr: Any, page: Any, state: PageState) -> None:
    gr.HTML(about_html(state), apply_default_css=False, elem_id="about")


def about_html(state: PageState) -> str:
    """The whole tab as HTML."""
    parts = [
        section_html("Limits", list_html([*LIMITS, *_of_card(state)])),
        section_html("Your data", sentence_html(STAYS)),
        section_html("The model", _model(state)),
        section_html("Training data and licence", *_data(state.explainer.model.provenance)),
        section_html("Versions", _versions()),
    ]
    return f'<div class="cr cr-report">{"".join(parts)}</div>'


def _of_card(state: PageState) -> list[str]:
    """The limits that the model's own card has, as texts."""
    lines = card_part(card_text(state.folder), "## Limits").splitlines()
    return [line.removeprefix("- ").replace("*", "") for line in lines if line.startswith("- ")]


def _model(state: PageState) -> str:
    explainer = state.explainer
    knowledge = explainer.checking.knowledge
    origin = state.origin
    rows = [
        *([] if origin is None else [["Name", origin.name], ["Revision", origin.revision]]),
        ["Language model", str(explainer.model.config.text_config.model_type)],
        ["Parameters, adapters merged", f"{sum(one.numel() for one in explainer.model.parameters()):,}"],
        ["Diseases", f"{len(explainer.vocabulary.diseases)}"],
        ["Variables", f"{len(explainer.vocabulary.variables)}"],
        ["Normal ranges", explainer.range_set.name],
        ["Knowledge base", "none" if knowledge is None else knowledge.origin],
    ]
    return table_html("What answers", ["", "This model"], rows)


def _data(provenance: Mapping[str, Any] | None) -> list[str]:
    if provenance is None:
        return [sentence_html(UNKNOWN), sentence_html(LICENCE)]
    rows = []
    for origin in origins_of(provenance):
        licence = origin["licence"]
        named = licence.get("name") if isinstance(licence, Mapping) else licence
        bound = "yes" if origin["credentialed"] is not False else "no"
        row = [str(origin["title"]), str(origin["version"]), str(named or "not recorded"), bound]
        if row not in rows:
            rows.append(row)
    steps = provenance.get("steps")
    done = [str(step["step"]) for step in steps if isinstance(step, Mapping) and "step" in step] if steps else []
    agreement = (
        "The data use agreement of a source binds the model as well: it stays on this machine, and so do its answers."
    )
    return [
        list_html(provenance_notices(provenance)),
        table_html("Sources", ["Source", "Version", "Licence", "Under a data use agreement"], rows),
        *([sentence_html(agreement)] if is_credentialed(provenance) else []),
        *([sentence_html(f"What was done, in order: {', '.join(done)}.")] if done else []),
        sentence_html(LICENCE),
    ]


def _versions() -> str:
    rows = [["Python", platform.python_version()], *([name, version(name)] for name in LIBRARIES)]
    return table_html("What runs", ["", "Version"], rows)


ABOUT = Tab("About", _build)
