"""The model's answer for one patient as JSON: what `predict --json` prints and the service sends."""

from __future__ import annotations

import json
from typing import Any

from clinragen.checking.render_json import SCHEMA_VERSION, sentence_result
from clinragen.inference import Explanation


def explanation_result(explanation: Explanation) -> dict[str, Any]:
    """The answer as values of JSON; sentences and claims as in `clinragen check --format json`.

    Spans of sentences and claims are characters of `rationale` (those of withheld sentences of the text where they
    were written), those of `evidence` of `note`.
    """
    checked = explanation.checked
    scores, limits = explanation.probabilities, explanation.thresholds
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
        "thresholds": None if limits is None else dict(limits),
    }


def explanation_json(explanation: Explanation) -> str:
    """The answer as a JSON document."""
    return json.dumps(explanation_result(explanation), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
