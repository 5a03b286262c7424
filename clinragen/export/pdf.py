"""The model's answer for one patient as a PDF of a page or two: text that can be selected, and small charts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from clinragen.checking.checked import MAX_EXCERPTS, WORDS, CheckedText, count_words
from clinragen.checking.printable import one_line
from clinragen.checking.render_html import MARKS
from clinragen.claims.sentences import NOTHING, CheckedSentence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim
from clinragen.export.forms import MISSING
from clinragen.export.origin import ModelOrigin
from clinragen.inference import Explanation
from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    from clinragen.export.pdf_page import Page

TITLE = "Diagnoses and rationale, by ClinRaGen"
CAUTION = (
    "Research software, not a medical device. A fluent rationale can be wrong: check it against the measurements."
)
COLOURS = {
    CONTRADICTED: (155, 28, 20),
    UNVERIFIABLE: (107, 74, 0),
    SUPPORTED: (15, 90, 38),
    NOTHING: (72, 82, 93),
}
LABEL = 33.0
"""Millimetres that a verdict or a probability has for itself before its text."""
OTHERS = 3
"""So many of the diseases that are not listed stand with their probabilities below those that are."""


def render_pdf(explanation: Explanation, origin: ModelOrigin, moment: datetime) -> bytes:
    """The answer as a PDF; the same bytes for the same answer, model and moment.

    What is withheld is counted and not written. Nothing of the patient is in the document's properties.

    Args:
        explanation: The answer.
        origin: The model that gave it.
        moment: When it did, with its time zone.

    Raises:
        SettingsError: fpdf2 is not installed.
    """
    try:
        from clinragen.export.pdf_page import Page
    except ImportError as error:
        raise SettingsError(MISSING) from error
    from clinragen.export.pdf_charts import draw_charts

    page = Page(TITLE, CAUTION, moment)
    page.heading(TITLE, 1)
    page.paragraph(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC. {CAUTION}", quiet=True)
    for warning in explanation.warnings:
        page.paragraph(f"Warning: {one_line(warning)}", bold=True, colour=COLOURS[UNVERIFIABLE])
    _write_diagnoses(page, explanation)
    _write_rationale(page, explanation)
    page.heading("Measurements", 2)
    series = explanation.patient.series
    draw_charts(page, series, series.vocabulary.range_set(explanation.range_set))
    page.heading("About this answer", 2)
    for line in _about(explanation, origin):
        page.paragraph(line, small=True)
    return page.content()


def _write_diagnoses(page: Page, explanation: Explanation) -> None:
    page.heading("Diagnoses", 2)
    if explanation.problem is not None:
        # A text that cannot be read says nothing; it must not look like a clean bill of health.
        page.paragraph(
            f"No diagnosis could be read: the output is malformed ({one_line(explanation.problem)}).", bold=True
        )
        return
    shown = explanation.asserted
    if not shown:
        page.paragraph(
            "No disease is diagnosed with evidence." if explanation.diagnoses else "No disease is diagnosed."
        )
    for name in shown:
        page.paragraph(one_line(name), label=_score(name, explanation), room=LABEL, bold=True)
    if explanation.without_evidence:
        page.paragraph("Named without evidence, so not asserted:", quiet=True)
        for name in explanation.without_evidence:
            page.paragraph(one_line(name), label=_score(name, explanation), room=LABEL)
    scores = explanation.probabilities or {}
    others = sorted((name for name in scores if name not in explanation.diagnoses), key=lambda name: -scores[name])
    if others:
        page.paragraph("Not diagnosed, the most probable first:", quiet=True)
        for name in others[:OTHERS]:
            page.paragraph(one_line(name), label=_score(name, explanation), room=LABEL, quiet=True)
    if scores:
        brackets = "; in brackets from which one a disease is diagnosed" if explanation.thresholds else ""
        page.paragraph(f"{explanation.probability_of}{brackets}.", small=True, quiet=True)


def _score(name: str, explanation: Explanation) -> str:
    """The probability of a disease with its threshold; a dash where it has none, though others have."""
    if explanation.probabilities is None:
        return ""
    score = explanation.probabilities.get(name)
    limit = None if explanation.thresholds is None else explanation.thresholds.get(name)
    return ("–" if score is None else f"{score:.0%}") + ("" if limit is None else f" (from {limit:.0%})")


def _write_rationale(page: Page, explanation: Explanation) -> None:
    page.heading("Rationale", 2)
    if not explanation.verified:
        page.paragraph("As generated: a sentence may say what the data do not bear out.", bold=True)
    if not explanation.sentences:
        page.paragraph(
            "There is no sentence that the data support." if explanation.verified else "There is no sentence."
        )
    for sentence in explanation.sentences:
        mark = f"{MARKS[sentence.verdict]} {WORDS[sentence.verdict]}"
        page.paragraph(one_line(sentence.text), label=mark, room=LABEL, colour=COLOURS[sentence.verdict])
        for text in _reasons(explanation.checked, sentence):
            page.paragraph(text, indent=LABEL, small=True, quiet=True)
    if explanation.withheld:
        count = len(explanation.withheld)
        verb = "was" if count == 1 else "were"
        page.paragraph(f"{count_words(count, 'sentence')} {verb} withheld: the data do not bear out what is said.")


def _reasons(checked: CheckedText, sentence: CheckedSentence) -> Iterator[str]:
    """For each claim of a sentence the reason of its verdict, the measurements, and the words of the note."""
    for fault in sentence.faults:
        yield f"{MARKS[CONTRADICTED]} {one_line(fault)}"
    said: set[str] = set()
    for claim in sentence.claims:
        about = f" ({one_line(about)})" if (about := checked.about(claim)) else ""
        parts = [f"{MARKS[claim.verdict]} {claim.kind}{about}: {one_line(claim.evidence.reason)}"]
        # Several claims of a sentence may rest on the same measurements and words.
        for found in (checked.readings(claim), _places(checked, claim)):
            if found and found not in said:
                said.add(found)
                parts.append(one_line(found))
        yield " – ".join(parts)


def _places(checked: CheckedText, claim: Claim) -> str:
    spans = claim.evidence.spans
    shown = [f"line {checked.places.line(span[0])}: “{checked.places.excerpt(span)}”" for span in spans[:MAX_EXCERPTS]]
    more = len(spans) - MAX_EXCERPTS
    return "; ".join([*shown, f"and {count_words(more, 'more place')}"] if more > 0 else shown)


def _about(explanation: Explanation, origin: ModelOrigin) -> Iterator[str]:
    note, series = explanation.patient.note, explanation.patient.series
    yield (
        f"Model: {one_line(origin.name)}, revision {one_line(origin.revision)}; software: clinragen "
        f"{version('clinragen')}. Trained on: {one_line(origin.data)}."
    )
    given = "no note" if note is None else f"a note of {len(note):,} characters"
    values = count_words(int(series.observed.sum()), "measurement")
    variables = count_words(int(series.observed.any(axis=0).sum()), "variable")
    yield f"Given: {given}, and {values} of {variables}. Hours are counted from ICU admission."
    checked = f"Sentences are checked by rules, without a model; what is normal: range set {explanation.range_set}"
    known = "none, so that no tie was checked" if explanation.knowledge is None else one_line(explanation.knowledge)
    yield f"{checked}; what supports which disease: {known.rstrip('.')}."
