"""The left side of the page: one patient's note and measurements, and what is said about places in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from clinragen.claims.sentences import Patient
from clinragen.demo.cited import Cited, cited_by
from clinragen.demo.not_mentioned import NotMentioned
from clinragen.demo.note_html import note_html
from clinragen.demo.series_svg import series_html
from clinragen.inference import Explanation
from modeling_clinragen.vocabulary_clinragen import RangeSet


def patient_html(
    patient: Patient, ranges: RangeSet, cited: Sequence[Cited] = (), recorded: Mapping[str, Any] | None = None
) -> str:
    """Note and charts.

    Args:
        patient: The data.
        ranges: What is low, normal and high.
        cited: What the page says about places in them.
        recorded: The row of a patient of the cohort, whose coded diagnoses are known.
    """
    note = "<p>No note.</p>" if patient.note is None else note_html(patient.note, cited)
    words = patient.series.in_words(ranges) or "Nothing was measured."
    parts = [
        f"<h2>Note</h2>{note}<h2>Measurements</h2>{series_html(patient.series, ranges, cited)}",
        _details("Measurements in words", f'<p class="cr-words">{escape(words)}</p>'),
    ]
    if recorded is not None:
        # For comparison; closed, so that nobody reads the answer before the model's.
        parts.append(_details("Coded diagnoses of this stay", f"<p>{escape(coded(recorded))}</p>", "cr-truth"))
    return f'<div class="cr cr-patient">{"".join(parts)}</div>'


def answered_patient_html(
    answer: Explanation,
    ranges: RangeSet,
    findings: Sequence[NotMentioned] = (),
    recorded: Mapping[str, Any] | None = None,
) -> str:
    """Note and charts with the places that an answer is about."""
    cited = [*cited_by(answer.sentences), *(one.cited for one in findings)]
    return patient_html(answer.patient, ranges, cited, recorded)


def coded(row: Mapping[str, Any]) -> str:
    """The coded diagnoses of a patient of the cohort, in words."""
    return ", ".join(row["diagnoses"]) or "none of the model's diseases"


def _details(summary: str, content: str, name: str = "") -> str:
    return f'<details class="{name}"><summary>{summary}</summary>{content}</details>'
