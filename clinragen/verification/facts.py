"""The data that a patient's rationale may draw on, as values for the constraint on generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.sentences import Patient, SentenceChecker
from clinragen.verification.affirmed import affirmed_spans
from modeling_clinragen.grounding_clinragen import Facts
from modeling_clinragen.reading_clinragen import shared_spans
from modeling_clinragen.support_clinragen import Support


def measured(patient: Patient) -> Mapping[str, Any] | None:
    """The series as the model takes it; None where nothing was measured."""
    series = patient.series
    return {"hours": series.hours, "values": series.values} if series.observed.any() else None


def facts_of(patient: Patient, checker: SentenceChecker, read: Sequence[tuple[int, int]]) -> Facts:
    """The patient as the model is shown it, the parts of the note that can be quoted, and what supports which disease.

    What the model does not read it can't quote. With a knowledge base the parts are the phrases that it knows:
    everything else would be evidence for nothing.

    Args:
        patient: The patient.
        checker: The patient's checker.
        read: The parts of the note that the model reads, as (start, end) characters.
    """
    note, evidence = patient.note or "", checker.evidence
    if not evidence.has_knowledge:
        return Facts(note, shared_spans(affirmed_spans(note, evidence.context), read), measured(patient))
    found = sorted({(one.start, one.end) for mentions in evidence.mentions.values() for one in mentions})
    spans = [span for span in found if any(start <= span[0] and span[1] <= end for start, end in read)]
    return Facts(note, spans, measured(patient), _support(evidence, patient.series.vocabulary.name_of_disease))


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
