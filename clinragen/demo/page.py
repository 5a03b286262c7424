"""A plain page on one model, made of tabs.

It reports to nobody that it runs, and keeps no history of what was entered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from clinragen.demo.patient_summaries import summaries_of
from clinragen.demo.tab import PageState, Tab
from clinragen.demo.tabs import TABS
from clinragen.explain_config import ExplainConfig
from clinragen.export.origin import model_origin
from clinragen.export.pdf import CAUTION
from clinragen.inference import Explainer
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import SettingsError, StageError

TITLE = "ClinRaGen"
SHOWN_PATIENTS = 200
QUEUE = 20


def open_page(
    model: Path, config: ExplainConfig | None = None, *, cohort: Path | None = None, uploads: Path | None = None
) -> Any:
    """Load a model and build its page (`gradio.Blocks`), which `clinragen.demo.serve.run_page` serves.

    Args:
        model: Model folder.
        config: How patients are explained.
        cohort: Cohort folder whose test patients can be chosen.
        uploads: The folder of uploaded files (see `private_uploads`).

    Raises:
        SettingsError: gradio is not installed, or the cohort's vocabulary is not the model's.
        StageError: There is no model.
    """
    try:
        import gradio  # noqa: F401 (imported here so that the message names the extra)
    except ImportError as error:
        raise SettingsError("the demo needs gradio; install it with: pip install 'clinragen[demo]'") from error
    if not (model / "config.json").is_file():
        raise StageError(f"{model}: not a model folder; run `clinragen quickstart` first, or give another folder")
    explainer = Explainer.from_pretrained(model, config)
    if explainer.model.disease_head is not None:
        # A head's probabilities cost next to nothing, and say how sure a diagnosis is.
        explainer.config = replace(explainer.config, probabilities=True)
    patients = patients_of(cohort, explainer)
    summaries = summaries_of(cohort, patients)
    return build_page(PageState(explainer, patients, uploads, summaries, model_origin(model), model))


def build_page(state: PageState, tabs: Sequence[Tab] = TABS, title: str = TITLE) -> Any:
    """Build the page (`gradio.Blocks`). A single tab is shown without a tab bar."""
    import gradio as gr

    from clinragen.demo.blocks import Page

    with Page(title=title, analytics_enabled=False) as page:
        gr.HTML(f'<div class="cr-header"><h1>{escape(title)}</h1><p>{escape(CAUTION)}</p></div>', elem_id="header")
        if len(tabs) == 1:
            tabs[0].build(gr, page, state)
        else:
            with gr.Tabs():
                for tab in tabs:
                    with gr.Tab(tab.title):
                        tab.build(gr, page, state)
    # Through the queue alone: one way in.
    return page.queue(max_size=QUEUE, api_open=False)


def patients_of(cohort: Path | None, explainer: Explainer) -> dict[str, dict[str, Any]]:
    """Test patients of a cohort by the name they are shown under; empty without a cohort.

    Raises:
        SettingsError: The cohort's vocabulary is not the model's; both lists are in the message.
    """
    if cohort is None:
        return {}
    splits = load_examples(cohort)
    explainer.vocabulary.require_same(splits.vocabulary, "the model", str(cohort))
    test = splits["test"]
    rows = test.select(range(min(SHOWN_PATIENTS, len(test))))
    return {f"Patient {number}: {row['example_id']}": row for number, row in enumerate(rows, start=1)}
