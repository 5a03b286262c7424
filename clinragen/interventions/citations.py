"""The evidence that a shown rationale cites, as sentences of the note and variables of the series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clinragen.claims.check import Checking
from clinragen.claims.sentences import CheckedSentence, Patient
from clinragen.claims.types import SUPPORTED, Claim
from clinragen.interventions.patient import VARIABLE, Case, Shown, Unit
from clinragen.verification import VerifiedRationale, VerifyConfig, generate_verified
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.vocabulary_clinragen import Vocabulary

Explain = Callable[[Sequence[Shown]], list[VerifiedRationale]]


def patient_of(shown: Shown, vocabulary: Vocabulary) -> Patient:
    """A patient as rationales are written from and checked against."""
    note, series = shown.given
    known = LabSeries.empty(vocabulary)
    if series is not None:
        known = LabSeries.from_values(vocabulary, series["hours"], series["values"])
    return Patient(known, note)


def explain_with(
    model: Any, processor: Any, checking: Checking, batch_size: int, report: Report = no_report
) -> Explain:
    """A function that writes the verified rationale of each patient, as `clinragen predict` shows it."""
    config = VerifyConfig(batch_size=batch_size)

    def explain(patients: Sequence[Shown]) -> list[VerifiedRationale]:
        asked = [patient_of(one, checking.vocabulary) for one in patients]
        return generate_verified(model, processor, asked, checking, config, report=report)

    return explain


def cited_evidence(
    case: Case, sentences: Sequence[CheckedSentence], vocabulary: Vocabulary
) -> tuple[tuple[Unit, int], ...]:
    """Each piece of evidence with the disease that it is cited for, in the order of the rationale, once.

    A quotation is cited evidence where its tie to the disease holds, and is the sentences of the note that it stands
    in; a variable where what is said of it holds and is a sign of the disease.
    """
    number = {disease.key: place for place, disease in enumerate(vocabulary.diseases)}
    found: dict[tuple[Unit, int], None] = {}
    for sentence in sentences:
        for tie in sentence.supported_ties:
            if tie.disease is None:
                continue
            for unit in _units(case, sentence, tie, vocabulary):
                found[unit, number[tie.disease]] = None
    return tuple(found)


def argued_diseases(sentences: Sequence[CheckedSentence]) -> set[str]:
    """Keys of the diseases that a rationale gives evidence for."""
    return {tie.disease for sentence in sentences for tie in sentence.supported_ties if tie.disease is not None}


def _units(case: Case, sentence: CheckedSentence, tie: Claim, vocabulary: Vocabulary) -> list[Unit]:
    if tie.variable is not None:
        return [Unit(VARIABLE, vocabulary.variable_keys.index(tie.variable))]
    quoted = [
        span
        for claim in sentence.claims
        if claim.kind == "note" and claim.verdict == SUPPORTED and tie.span[0] <= claim.span[0] < tie.span[1]
        for span in claim.evidence.spans
    ]
    return case.sentences_of(tie.evidence.spans or quoted)
