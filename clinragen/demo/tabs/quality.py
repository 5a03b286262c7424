"""How good the model is: what its evaluation measured, in tables, or one sentence where nothing was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinragen.demo.figures_of_model import METRICS, Figures, figures_of
from clinragen.demo.tab import PageState, Tab
from clinragen.demo.tables_html import list_html, section_html, sentence_html, table_html
from clinragen.evaluation.outcome import verdict_sentence
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES, RATIONALE_SCORES
from clinragen.evaluation.systems import MAIN, in_order, system_name
from dataset_builder.storage.files import faults_named
from modeling_clinragen.errors import ClinRaGenError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.formatting import format_score

NOTHING = "How good this model is was not measured, or the result is not beside it."
CURE = "A run of `clinragen quickstart` or `clinragen run` measures it and leaves its report beside the model."
INTERVALS = "In brackets: 95 % intervals, by resampling patients."
_SHOWN = ("micro_f1", "macro_f1", "micro_auroc")


def _build(gr: Any, page: Any, state: PageState) -> None:
    try:
        figures = figures_of(state.folder)
        shown = figures_html(figures, state.explainer.vocabulary)
    except ClinRaGenError as error:
        # The page is of use without them.
        figures = Figures()
        shown = f'<div class="cr cr-report">{section_html("Figures", sentence_html(_plain(str(error))))}</div>'
    gr.HTML(shown, apply_default_css=False, elem_id="quality")
    if figures.section:
        gr.Markdown(figures.section, elem_id="quality-card", elem_classes="cr-report")


def figures_html(figures: Figures, vocabulary: Vocabulary) -> str:
    """The figures of a model as HTML.

    Raises:
        InputDataError: The evaluation is of another version, and lacks something that is shown.
    """
    if figures.metrics:
        with faults_named(METRICS):
            parts = _measured(figures.metrics, vocabulary)
    elif figures.listed:
        rows = [list(one) for one in figures.listed]
        parts = [section_html("From the model's card", table_html("Results", ["Data", "Metric", "Value"], rows))]
    elif figures.section:
        parts = [section_html("From the model's card")]
    else:
        parts = [section_html("Figures", sentence_html(NOTHING, _plain(CURE)))]
    return f'<div class="cr cr-report">{"".join(parts)}</div>'


def _measured(metrics: Mapping[str, Any], vocabulary: Vocabulary) -> list[str]:
    counts = metrics["held_out"]
    tested = f"Tested on {counts['examples']:,} stays of {counts['subjects']:,} patients whom no training saw."
    return [
        section_html("What it was tested on", sentence_html(tested), list_html(metrics.get("notices", []))),
        _diagnoses(metrics),
        _rationales(metrics),
        _calibration(metrics),
        _diseases(metrics, vocabulary),
    ]


def _diagnoses(metrics: Mapping[str, Any]) -> str:
    titles = {score.name: score.title for score in DIAGNOSIS_SCORES}
    titles |= {score.name: score.title for score in RANKING_SCORES}
    rows = [
        [system_name(name), *(format_score(scores.get(score)) for score in _SHOWN)]
        for name, scores in in_order(metrics["systems"])
    ]
    header = ["System", *(_capital(titles[score]) for score in _SHOWN)]
    return section_html(
        "Are the diagnoses right?",
        table_html("Scores of the diagnoses", header, rows),
        sentence_html("1 is perfect.", INTERVALS),
        f"<details><summary>The comparison in words</summary>{sentence_html(verdict_sentence(metrics))}</details>",
    )


def _rationales(metrics: Mapping[str, Any]) -> str:
    title = "Do the rationales hold, and is anything left out?"
    entries = metrics["rationale"].get(MAIN)
    if not entries:
        return section_html(title, sentence_html("No rationale was scored."))
    rows = [[name, cell(entries)] for score in RATIONALE_SCORES for name, cell in score.terminal]
    return section_html(
        title,
        table_html("Claims, checked against the patients' data", ["", system_name(MAIN)], rows),
        sentence_html(
            "As written: what the model would say freely. As shown: after every sentence was checked.",
            "Evidence cited: of the diseases that a patient has and that show in the note or in the series, those",
            "whose evidence a sentence gives.",
            INTERVALS,
        ),
    )


def _calibration(metrics: Mapping[str, Any]) -> str:
    title = "Do the probabilities mean what they say?"
    found = metrics.get("calibration", {}).get(MAIN)
    if found is None:
        return section_html(
            title, sentence_html("The model gives no probabilities of its own, so nothing was scored.")
        )
    row = [
        _capital(system_name(MAIN)),
        *(format_score(found["before"].get(key)) for key in ("calibration_error", "brier")),
    ]
    return section_html(
        title,
        table_html("Calibration", ["System", "Calibration error", "Brier score"], [row]),
        sentence_html(
            "A calibration error of 0.01 says that a probability is off by one percentage point on average.",
            "0 is perfect for both.",
            INTERVALS,
        ),
    )


def _diseases(metrics: Mapping[str, Any], vocabulary: Vocabulary) -> str:
    scores = metrics["per_disease"][MAIN]
    rows = [
        [disease.name, f"{scores[disease.key]['positives']:,}", format_score(scores[disease.key])]
        for disease in vocabulary.diseases
        if disease.key in scores
    ]
    return section_html(
        "Disease by disease",
        table_html("Scores of each disease", ["Disease", "Patients with it", "F1"], rows),
        sentence_html(INTERVALS),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """A text for people: commands have no backquotes around them."""
    return text.replace("`", "'")


QUALITY = Tab("How good is it", _build)
