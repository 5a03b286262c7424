"""A sentence holds only if every word of it is taken up: by a claim, an argument, or the meaning of a sign."""

from __future__ import annotations

import pytest
from claim_cases import CHECKING, VOCABULARY, series_of

from clinragen.claims.sentences import CheckedSentence, Patient, SentenceChecker
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE
from clinragen.teachers.rules import RuleTeacher
from clinragen.verification.review import holds

NAMES = VOCABULARY.name_of_disease
RHYTHM, BLEEDING = (NAMES[key] for key in ("cardiac_dysrhythmias", "gastrointestinal_hemorrhage"))
SERIES = series_of(
    {
        "hours": [0, 3, 6, 9, 12, 15],
        "heart_rate": [84, 88, 123, 127, 131, 126],
        "diastolic_blood_pressure": [71, 74, 70, 72, 73, 75],
    }
)
PATIENT = Patient(SERIES, "Brought in after an episode of melena. On the ward atrial fibrillation was seen.")


def one(text: str, diagnoses: list[str] | None = None) -> CheckedSentence:
    (sentence,) = SentenceChecker(PATIENT, CHECKING, diagnoses).check(text)
    return sentence


def unread(text: str) -> list[str]:
    sentence = one(text)
    return [text[first:last] for first, last in sentence.unread]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Heart rate is high in most readings, gross hematuria and edema.", ["gross hematuria", "edema"]),
        ("Heart rate is high in most readings stenosis of the valve.", ["stenosis", "valve"]),
        (f"Heart rate is high in most readings, {RHYTHM}.", [RHYTHM.rstrip(".")]),
        (f"Heart rate is high in most readings from hour 6 bpm, which fits {RHYTHM}.", ["bpm"]),
        (f'"melena" supports {BLEEDING} in this unfortunate man.', ["unfortunate man"]),
        ("Diastolic blood pressure is heart rate is high in most readings.", ["Diastolic blood pressure"]),
    ],
)  # fmt: skip
def test_a_true_claim_does_not_carry_what_stands_beside_it(text: str, left: list[str]) -> None:
    sentence = one(text)
    assert CONTRADICTED not in {claim.verdict for claim in sentence.claims}
    assert unread(text) == left
    assert sentence.verdict == UNVERIFIABLE
    assert not holds(sentence)


@pytest.mark.parametrize(
    "text",
    [
        f'"melena" supports {BLEEDING}.',
        f"Heart rate is high in most readings from hour 6, up to about 130 bpm, in keeping with {RHYTHM}.",
        f"Heart rate is high in most readings: tachyarrhythmia in {RHYTHM}.",
        f"Heart rate is high in most readings, which suggests compensation for blood loss and fits {BLEEDING}.",
        "Diastolic blood pressure stays normal.",
    ],
)
def test_nothing_is_left_of_a_sentence_that_is_understood(text: str) -> None:
    assert unread(text) == []
    assert one(text).verdict == SUPPORTED
    assert holds(one(text))


def test_a_meaning_counts_for_its_own_sign_and_disease_only() -> None:
    elsewhere = f"Heart rate is high in most readings, which suggests compensation for blood loss and fits {RHYTHM}."
    assert unread(elsewhere) == ["compensation", "blood loss"]
    both = f"Heart rate is high in most readings: tachyarrhythmia in {RHYTHM} and {BLEEDING}."
    assert unread(both) == ["tachyarrhythmia"]


def test_places_move_with_the_sentence() -> None:
    checker = SentenceChecker(PATIENT, CHECKING)
    first = checker.check(f'"melena" supports {BLEEDING}.')
    second = checker.check_next(first, "Heart rate is high in most readings, gross hematuria.")
    whole = f"{first[0].text} {second.text}"
    assert [whole[start:end] for start, end in second.unread] == ["gross hematuria"]
    assert checker.check(whole)[1] == second


def test_what_is_mentioned_without_a_diagnosis() -> None:
    text = 'No disease is diagnosed, although the note mentions "melena".'
    assert one(text, []).verdict == SUPPORTED
    assert one(text).verdict == SUPPORTED
    assert one(text, [BLEEDING]).faults == ("a disease is among the diagnoses",)
    assert not holds(one('No disease is diagnosed, although the note mentions "fever".', []))


def test_the_teacher_writes_it_with_the_strongest_mention() -> None:
    knowledge = CHECKING.knowledge
    assert knowledge is not None
    teacher = RuleTeacher(knowledge, VOCABULARY, CHECKING.range_set)
    example = {
        "example_id": "stay 1",
        "note": PATIENT.note,
        "diagnoses": [],
        "lab_hours": SERIES.hours,
        "lab_values": SERIES.values,
        "lab_observed": SERIES.observed,
    }
    rationale = teacher.write(example)
    quoted = min((found[0] for found in teacher.mentions(PATIENT.note or "").values()), key=lambda one: one.rank)
    assert rationale.note == f'No disease is diagnosed, although the note mentions "{quoted.quote}".'
    for sentence in SentenceChecker(PATIENT, CHECKING, []).check(f"{rationale.note} {rationale.lab}"):
        assert holds(sentence), sentence


def test_one_stray_reading_is_no_sign() -> None:
    rates = [80.0] * 30
    rates[17] = 52.0
    patient = Patient(series_of({"hours": list(range(30)), "heart_rate": rates}), None)
    (sentence,) = SentenceChecker(patient, CHECKING).check(f"Heart rate is low once at hour 17, which fits {RHYTHM}.")
    verdicts = {claim.kind: claim.verdict for claim in sentence.claims}
    assert verdicts.pop("tie") == UNVERIFIABLE
    assert set(verdicts.values()) == {SUPPORTED}
