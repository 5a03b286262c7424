"""Answers about made-up patients, checked by the real checker, that are written as files and as HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from claim_cases import CHECKING, VOCABULARY
from explained_patients import PATIENTS

from clinragen.claims.sentences import CheckedSentence, Patient, check_sentences
from clinragen.export.origin import ModelOrigin
from clinragen.inference import CALIBRATED, Explanation

MOMENT = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)
ORIGIN = ModelOrigin("a model", "0123456789abcdef", "a synthetic hospital (CC0)")
HEART_FAILURE = "Congestive heart failure; nonhypertensive"
HYPERTENSION = "Essential hypertension"
SHOWN = (
    f'"orthopnea" supports {HEART_FAILURE}. "hypertension" supports {HYPERTENSION}. Heart rate is high in most '
    "readings. The pH falls to 7.22."
)
WITHHELD = "Glucose is high throughout. The heart rate is low."


def sentences_of(text: str, patient: Patient) -> tuple[CheckedSentence, ...]:
    return tuple(check_sentences(text, patient, CHECKING))


def answer(name: str = "both", shown: str = SHOWN, withheld: str = WITHHELD, **settings: object) -> Explanation:
    """An answer about one of the patients, with two diagnoses that have evidence and one that has none."""
    patient = PATIENTS[name]
    scores = {disease: 0.01 * number for number, disease in enumerate(VOCABULARY.disease_names)}
    made = Explanation(
        diagnoses=("Shock", HEART_FAILURE, HYPERTENSION),
        rationale=shown,
        sentences=sentences_of(shown, patient),
        withheld=sentences_of(withheld, patient),
        verified=True,
        without_evidence=("Shock",),
        warnings=("The note is longer than the model reads.",),
        text=f"{shown} {withheld}",
        problem=None,
        patient=patient,
        range_set="clinical",
        knowledge="Written by hand.",
        probabilities={**scores, HEART_FAILURE: 0.912},
        thresholds=dict.fromkeys(VOCABULARY.disease_names, 0.4),
        probability_of=CALIBRATED,
    )
    return replace(made, **settings)  # type: ignore[arg-type]


MALFORMED = answer(
    shown="", withheld="", diagnoses=(), without_evidence=(), text="Shock, shock", problem="a mark is missing"
)
