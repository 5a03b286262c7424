"""The model's answer for one patient as values of JSON."""

from __future__ import annotations

from typing import Any

from clinragen.checking.render_json import SCHEMA_VERSION, sentence_result
from clinragen.inference import Explanation


def explanation_result(explanation: Explanation) -> dict[str, Any]:
    """The answer as values of JSON; sentences and claims as in `clinragen check --format json`.

    Spans of sentences and claims are characters of `rationale` (those of withheld sentences of the text where they
    were written), those of `evidence` of `note`.
    """
    checked = explanation.checked
    scores = explanation.probabilities
    return {
        "schema_version": SCHEMA_VERSION,
        "diagnoses": list(explanation.diagnoses),
        "without_evidence": list(explanation.without_evidence),
        "rationale": explanation.rationale,
        "verified": explanation.verified,
        "warnings": list(explanation.warnings),
        "sentences": [sentence_result(checked, sentence) for sentence in explanation.sentences],
        "withheld": [sentence_result(checked, sentence) for sentence in explanation.withheld],
        "note": explanation.patient.note,
        "range_set": explanation.range_set,
        "knowledge": explanation.knowledge,
        "problem": explanation.problem,
        "text": explanation.text,
        "probabilities": None if scores is None else dict(scores),
    }
