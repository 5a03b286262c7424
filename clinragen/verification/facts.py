"""The data that a patient's rationale may draw on, as values for the constraint on generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.sentences import Patient, SentenceChecker
from clinragen.verification.affirmed import affirmed_spans
from modeling_clinragen.grounding_clinragen import Facts
from modeling_clinragen.reading_clinragen import shared_spans
from modeling_clinragen.support_clinragen import Support


def facts_of(patient: Patient, checker: SentenceChecker, processor: Any) -> Facts:
    """The patient as the model is shown it, the parts of the note that can be quoted, and what supports which disease.

    What the model does not read it can't quote. With a knowledge base the parts are the phrases that it knows:
    everything else would be evidence for nothing.
    """
    series = patient.series
    note = patient.note or ""
    measured = {"hours": series.hours, "values": series.values} if series.observed.any() else None
    evidence = checker.evidence
    read = processor.reading(note, measured).spans
    if not evidence.has_knowledge:
        return Facts(note, shared_spans(affirmed_spans(note, evidence.context), read), measured)
    found = sorted({(one.start, one.end) for mentions in evidence.mentions.values() for one in mentions})
    spans = [span for span in found if any(start <= span[0] and span[1] <= end for start, end in read)]
    return Facts(note, spans, measured, _support(evidence, series.vocabulary.name_of_disease))


def _support(evidence: KnowledgeEvidence, names: Mapping[str, str]) -> Support:
    phrases: dict[str, frozenset[str]] = {}
    for key, mentions in evidence.mentions.items():
        for mention in mentions:
            phrases[mention.quote] = phrases.get(mention.quote, frozenset()) | {names[key]}
    return Support(
        phrases,
        {place: frozenset(names[key] for key in keys) for place, keys in evidence.signs_of.items()},
        frozenset(names[key] for key in evidence.mentions),
        frozenset(names[key] for key in evidence.signs),
    )
