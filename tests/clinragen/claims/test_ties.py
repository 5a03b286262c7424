"""Ties between evidence and diseases, and what is said not to be there, judged by the knowledge base of the run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claim_cases import CHECKING, KNOWLEDGE, RANGES, SERIES, VOCABULARY, series_of
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.claims.check import (
    CONTRADICTED,
    SUPPORTED,
    UNVERIFIABLE,
    Checking,
    Claim,
    PatientChecker,
    check_rationale,
)
from clinragen.claims.consistency import find_disagreements
from clinragen.knowledge import Sign
from clinragen.knowledge.mentions import load_finder
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.lab_series import LabSeries

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import claims as benchmark

NAMES = VOCABULARY.name_of_disease
PNEUMONIA, SEPSIS, HEART, BLEEDING = (
    NAMES[key] for key in ("pneumonia", "septicemia", "congestive_heart_failure", "gastrointestinal_hemorrhage")
)
NOTE = (
    "Chief complaint: breathlessness. Found with worsening lower extremity edema and orthopnea. Lactate 6.1. "
    "No melena. Father had pneumonia."
)
FAST = series_of({"hours": [0, 2, 4, 6], "heart_rate": [128, 131, 126, 130], "temperature": [36.8, 37.0, 36.9, 36.9]})
SHORT = {SUPPORTED: "S", CONTRADICTED: "C", UNVERIFIABLE: "U"}


def argued(text: str, note: str | None = NOTE, series: LabSeries = FAST, checking: Checking = CHECKING) -> list[Claim]:
    """The ties and absences of a text."""
    claims = PatientChecker(series, note, checking).check(text)
    return [claim for claim in claims if claim.kind in ("tie", "absence")]


def short(claims: list[Claim]) -> str:
    return "".join(SHORT[claim.verdict] for claim in claims)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        # Quotations: the base ties a term in it, or around it in the note, to the disease.
        (f'"orthopnea" supports {HEART}.', "S"),
        (f'"orthopnea and dizziness" fits {HEART}.', "S"),
        (f'"edema" fits {HEART}.', "S"),
        (f'"worsening lower extremity edema" fits {HEART}.', "S"),
        ('"Lactate 6.1" fits Shock.', "S"),
        # Others' terms, a number within the limit, or a term that the quotation itself takes back.
        ('"orthopnea" supports Other liver diseases.', "C"),
        ('"Lactate 1.1" fits Shock.', "C"),
        (f'"no melena" supports {BLEEDING}.', "C"),
        (f'"Father had pneumonia" supports {PNEUMONIA}.', "C"),
        # What nobody knows, or what is only possible.
        (f'"a blue hat" supports {HEART}.', "U"),
        (f'"possible pneumonia" supports {PNEUMONIA}.', "U"),
        ('"lactate" was sent for Shock.', "S"),
        (f'"to" supports {HEART}.', "U"),
        # Each piece of evidence with each disease.
        (f'"orthopnea" and "a blue hat" support {HEART} and Other liver diseases.', "SUCU"),
        # Statements: variable and direction are a sign, the opposite of one, others' or nobody's.
        ("Heart rate is high, which fits Shock.", "S"),
        ("Heart rate is high in every reading, peaking near 130 bpm, in keeping with Shock.", "S"),
        ("Heart rate peaks at 131 bpm, in keeping with Shock.", "S"),
        ("Heart rate is low, which fits Shock.", "C"),
        ("Heart rate is normal, which fits Shock.", "C"),
        ("There is no tachycardia in Shock.", "C"),
        ("Temperature is low, in keeping with Acute and unspecified renal failure.", "C"),
        ("Heart rate is erratic, which fits Shock.", "U"),
        ("Heart rate is 90 to 131 bpm, which fits Shock.", "S"),
        # The same denied.
        (f'"orthopnea" does not support {HEART}.', "C"),
        ('"orthopnea" does not support Other liver diseases.', "S"),
        (f'"a blue hat" does not support {HEART}.', "U"),
        ("Heart rate is normal, which argues against Shock.", "S"),
        # No disease of the vocabulary, no tie.
        ('"orthopnea" supports gout.', ""),
        ("Heart rate is high.", ""),
    ],
)
def test_a_tie_is_judged_by_the_knowledge_base(text: str, verdicts: str) -> None:
    claims = argued(text)
    assert short(claims) == verdicts, [claim.evidence.reason for claim in claims]
    for claim in claims:
        assert claim.disease in NAMES
        assert claim.text == text[slice(*claim.span)]
        assert claim.evidence.reason
        assert (claim.kind == "absence") == claim.negated


def test_a_part_of_a_phrase_that_is_evidence_for_something_else_is_none_for_this() -> None:
    note = "Cirrhosis with portal hypertension. Her hypertension is treated."
    liver = "Other liver diseases"
    assert short(argued(f'"portal hypertension" supports {liver}.', note)) == "S"
    assert short(argued(f'"hypertension" supports {liver}.', note)) == "C"
    assert short(argued('"hypertension" supports Essential hypertension.', note)) == "S"


def test_the_place_in_the_note_is_given_where_it_decides() -> None:
    (claim,) = argued(f'"edema" fits {HEART}.')
    (span,) = claim.evidence.spans
    assert NOTE[slice(*span)].endswith("lower extremity edema")
    (variable,) = argued("Heart rate is high, which fits Shock.")
    assert (variable.variable, variable.disease) == ("heart_rate", "shock")


ABSENT = [
    # text, with note and values, without note, without values
    ("The note does not point to Shock.", "C", "C", "C"),
    (f"Nothing in the note points to {SEPSIS}.", "C", "C", "C"),
    ("The note itself does not point to Other liver diseases.", "S", "C", "S"),
    ("The note does not point to any of the diseases.", "C", "C", "C"),
    ("No measurement points to Shock.", "C", "C", "C"),
    ("The measurements do not point to Disorders of lipid metabolism.", "S", "S", "C"),
    ("Neither the note nor the vitals suggest Disorders of lipid metabolism.", "SS", "CS", "SC"),
    ("The vital signs do not point to any of the diseases.", "C", "C", "C"),
    ("There is no note.", "C", "S", "C"),
    ("No bedside variable was measured.", "C", "C", "S"),
    ("There are no vital signs.", "C", "C", "S"),
    ("What the note mentions is not diagnosed as any of the diseases.", "C", "C", "C"),
    (f"The note supports {HEART}.", "S", "C", "S"),
    ("The note supports Other liver diseases.", "U", "C", "U"),
]


@pytest.mark.parametrize(("text", "both", "no_note", "no_values"), ABSENT, ids=lambda value: str(value)[:50])
def test_what_is_not_there(text: str, both: str, no_note: str, no_values: str) -> None:
    empty = LabSeries.empty(VOCABULARY)
    assert short(argued(text)) == both
    for note in (None, "", " \n"):
        assert short(argued(text, note)) == no_note
    assert short(argued(text, series=empty)) == no_values


@pytest.mark.parametrize(
    ("note", "verdict"),
    [
        ("Dry cough for a week.", "S"),
        ("No melena.", "S"),
        ("Melena in 2009.", "U"),
        ("Possible melena.", "U"),
        ("Melena since yesterday.", "C"),
    ],
)
def test_an_absence_is_open_where_the_note_leaves_it_open_or_knows_it_as_history(note: str, verdict: str) -> None:
    assert short(argued(f"The note does not point to {BLEEDING}.", note)) == verdict
    assert short(argued("The note points to none of the diseases.", note)) in ("", verdict)


def test_an_extreme_rounded_onto_the_limit_is_not_normal() -> None:
    series = series_of({"hours": [0, 4, 8, 12], "systolic_blood_pressure": [141, 143, 142, 143]})
    name = NAMES["essential_hypertension"]
    for number, verdict in (("about 140", "U"), ("128", "C"), ("about 150", "S")):
        claims = argued(f"Systolic blood pressure peaks at {number} mmHg, which fits {name}.", series=series)
        assert short(claims) == verdict, number


def test_a_contradicted_absence_shows_what_is_there() -> None:
    (claim,) = argued(f"The note does not point to {HEART}.")
    (span,) = claim.evidence.spans
    assert NOTE[slice(*span)] in {mention.quote for mention in load_finder(KNOWLEDGE).find(NOTE)[claim.disease or ""]}
    (series,) = argued("No measurement points to Shock.")
    assert "heart rate high" in series.evidence.reason


def test_the_runs_own_knowledge_decides() -> None:
    entry = KNOWLEDGE.disease("lipid_disorders")
    fast = replace(entry, signs=(Sign("heart_rate", "high", "made up"),), terms=KNOWLEDGE.disease("shock").terms)
    own = replace(KNOWLEDGE, diseases=tuple(fast if one.key == entry.key else one for one in KNOWLEDGE.diseases))
    texts = [
        f'"on pressors" supports {NAMES["lipid_disorders"]}.',
        f"Heart rate is high in {NAMES['lipid_disorders']}.",
        f"No measurement points to {NAMES['lipid_disorders']}.",
    ]
    assert "".join(short(argued(text)) for text in texts) == "CCS"
    assert "".join(short(argued(text, checking=replace(CHECKING, knowledge=own))) for text in texts) == "SSC"


def test_without_a_knowledge_base_only_what_needs_none_is_said() -> None:
    bare = replace(CHECKING, knowledge=None)
    for text, *_ in ABSENT:
        with_base = argued(text, None, LabSeries.empty(VOCABULARY))
        assert argued(text, None, LabSeries.empty(VOCABULARY), bare) == with_base
    assert argued(f'"orthopnea" supports {HEART}. The note does not point to Shock.', checking=bare) == []
    assert short(argued("There is no note.", checking=bare)) == "C"


TEXTS = st.lists(
    st.sampled_from(
        [
            *(text for text, *_ in ABSENT),
            *(
                f'"orthopnea" supports {HEART}.',
                "Heart rate is high in Shock.",
                '"fever" does not fit Shock.',
                "It is late.",
            ),
        ]
    ),
    max_size=4,
).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_checker_of_a_patient_gives_what_single_checks_give(texts: list[str]) -> None:
    checker = PatientChecker(FAST, NOTE, CHECKING)
    single = [check_rationale(text, FAST, NOTE, range_set=RANGES, knowledge=KNOWLEDGE) for text in texts]
    assert [checker.check(text) for text in texts] == single


def test_the_note_is_searched_once_for_a_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = load_finder(KNOWLEDGE)
    found: list[str] = []

    def find(note: str, context: object) -> dict[str, Any]:
        found.append(note)
        return {}

    monkeypatch.setattr(finder, "find", find)
    checker = PatientChecker(FAST, NOTE, CHECKING)
    assert found == []
    for _ in range(3):
        checker.check(f"The note does not point to Shock. Nothing in the note points to {SEPSIS}.")
    assert found == [NOTE]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return [dict(row) for row in benchmark.synthetic_rows(tmp_path_factory.mktemp("ties"), 40, 31)]


def test_everything_that_the_rules_argue_is_supported_by_their_own_base(rows: list[dict[str, Any]]) -> None:
    kinds: dict[str, int] = {}
    nothing: dict[str, Any] = {"lab_hours": [], "lab_values": [], "lab_observed": []}
    for seed in (0, 1):
        teacher = RuleTeacher(KNOWLEDGE, VOCABULARY, RANGES, seed)
        for example in (one for row in rows for one in (row, {**row, "note": ""}, {**row, **nothing})):
            rationale = teacher.write(example)
            checker = PatientChecker(LabSeries.from_example(VOCABULARY, example), example["note"], CHECKING)
            read = checker.read(f"{rationale.note} {rationale.lab}")
            for claim in read.claims:
                assert claim.verdict == SUPPORTED, (claim.kind, claim.disease, claim.evidence.reason)
                kinds[claim.kind] = kinds.get(claim.kind, 0) + 1
            listed = [VOCABULARY.key_of_disease[name] for name in example["diagnoses"]]
            assert not any(find_disagreements(read.sentences, NAMES, listed))
            # Each disease that the teacher has evidence for gets a tie, each other one an absence.
            tied = {claim.disease for claim in read.claims if claim.kind == "tie"}
            assert tied == (rationale.note_support or set()) | (rationale.lab_support or set())
    assert kinds["tie"] > 200
    assert kinds["absence"] > 100


def test_the_evidence_of_a_patient_is_what_the_teacher_finds(rows: list[dict[str, Any]]) -> None:
    teacher = RuleTeacher(KNOWLEDGE, VOCABULARY, RANGES)
    for row in rows:
        evidence = PatientChecker(LabSeries.from_example(VOCABULARY, row), row["note"], CHECKING).evidence
        assert evidence.mentions == teacher.mentions(row["note"])
        for key, findings in evidence.signs.items():
            signs = {(sign.variable, sign.direction) for sign in KNOWLEDGE.disease(key).signs}
            assert {(found.variable, found.direction) for found in findings} == signs & set(evidence.findings)


def test_the_quiet_series_of_the_cases_has_no_sign_of_shock() -> None:
    claims = argued("No measurement points to Shock.", series=SERIES["quiet"])
    assert short(claims) == "S"
