"""A checked rationale as JSON, by `resources/check.schema.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from clinragen.checking.checked import MAX_PLACES, CheckedText
from clinragen.checking.printable import REPLACEMENT
from clinragen.claims.sentences import CheckedSentence
from clinragen.claims.types import Claim

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning or goes; readers must accept fields that they do not know."""
RESOURCES = files("clinragen.checking") / "resources"

_HALF = re.compile("[\ud800-\udfff]")


def schema() -> dict[str, Any]:
    """The JSON schema of the result."""
    content: dict[str, Any] = json.loads((RESOURCES / "check.schema.json").read_text(encoding="utf-8"))
    return content


def render_json(checked: CheckedText) -> str:
    """The whole result as a JSON document."""
    written = json.dumps(result(checked), ensure_ascii=False, indent=2, allow_nan=False)
    # Half of a surrogate pair is a character to Python, but no encoding can write it.
    return _HALF.sub(REPLACEMENT, written) + "\n"


def result(checked: CheckedText) -> dict[str, Any]:
    """The whole result as values of JSON.

    All spans are `[start, end]` in characters (Unicode code points), the end exclusive: those named `span` in `text`,
    those of `evidence` in `note`.
    """
    series = checked.patient.series
    columns = zip(series.vocabulary.variable_keys, series.observed.T, strict=True)
    measured = [key for key, column in columns if column.any()]
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"clinragen {version('clinragen')}",
        "text": checked.text,
        "note": checked.patient.note,
        "series": {"measurements": int(series.observed.sum()), "variables": measured},
        "range_set": checked.range_set,
        "knowledge": checked.knowledge,
        "diagnoses": None if checked.diagnoses is None else list(checked.diagnoses),
        "contradicted": checked.contradicted,
        "counts": {"sentences": checked.sentence_counts, "claims": checked.claim_counts},
        "sentences": [sentence_result(checked, sentence) for sentence in checked.sentences],
    }


def sentence_result(checked: CheckedText, sentence: CheckedSentence) -> dict[str, Any]:
    """One sentence as values of JSON."""
    return {
        "text": sentence.text,
        "span": list(sentence.span),
        "verdict": sentence.verdict,
        "faults": list(sentence.faults),
        "claims": [_claim(checked, claim) for claim in sentence.claims],
    }


def _claim(checked: CheckedText, claim: Claim) -> dict[str, Any]:
    evidence = claim.evidence
    vocabulary = checked.patient.series.vocabulary
    cue = None
    if evidence.cue_span is not None:
        cue = {
            "text": evidence.cue,
            "span": list(evidence.cue_span),
            "line": checked.places.line(evidence.cue_span[0]),
        }
    return {
        "text": claim.text,
        "span": list(claim.span),
        "kind": claim.kind,
        "variable": claim.variable,
        "disease": claim.disease,
        "verdict": claim.verdict,
        "hedged": claim.hedged,
        "negated": claim.negated,
        "evidence": {
            "reason": evidence.reason,
            "hours": _numbers(evidence.hours),
            "values": _numbers(evidence.values),
            "unit": None if claim.variable is None else vocabulary.variable(claim.variable).unit,
            "places": len(evidence.spans),
            "note": [
                {"span": list(span), "line": checked.places.line(span[0])} for span in evidence.spans[:MAX_PLACES]
            ],
            "cue": cue,
        },
    }


def _numbers(values: Iterable[float]) -> list[float]:
    """Without the digits that single precision adds: 38.9, not 38.900001525878906."""
    return [float(f"{value:.6g}") for value in values]
