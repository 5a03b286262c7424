"""Omissions: evidence that is true, or that the checker finds, and that a rationale does not cite."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_rationales import checking_of, row_with, written_by

from clinragen.evaluation.score_types import Verified, WrittenRationales
from clinragen.evaluation.scores.evidence import evidence_scores
from clinragen.evaluation.scores.findings import STRONGEST, finding_scores
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.schema import load_examples
from dataset_builder.contract.truth import HospitalTruth, TrueCourse, TrueEvidence, read_truth
from dataset_builder.synthetic.hospital import fill_hospital
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SHOCK, KIDNEY = "shock", "chronic_kidney_disease"
NOTE = "Found down at home. Pressors were started for a profound drop in blood pressure. Productive cough."
EVIDENCE = TrueEvidence(("profound drop in blood pressure",), (TrueCourse("heart_rate", 1.0, 3.0),))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "hospital"
    fill_hospital(folder, patients=80, seed=3)
    return folder


@pytest.fixture(scope="module")
def hospital_rows(hospital: Path) -> list[dict[str, Any]]:
    cohort = hospital.with_name("cohort")
    build_cohort("mimic-iv", hospital, cohort, CohortConfig(note_policy="admission"))
    return [row for split in load_examples(cohort).values() for row in split]


def patient(vocabulary: Vocabulary, number: int = 0, note: str = NOTE) -> dict[str, Any]:
    return row_with(vocabulary, "heart_rate", *[130.0] * 6, note=note, number=number)


def scored(
    vocabulary: Vocabulary, text: str | None, evidence: TrueEvidence = EVIDENCE, *, listed: bool = True, **given: Any
) -> dict[str, Any]:
    """Scores of one rationale about a patient in shock."""
    written = written_by(
        [text],
        [given.pop("row", None) or patient(vocabulary)],
        checking_of(vocabulary),
        listed=[frozenset({SHOCK} if listed else ())],
        truth=HospitalTruth({(0, 0): {SHOCK: evidence}}),
        **given,
    )
    found = evidence_scores(written)
    assert found is not None
    return {
        source: {among: (share["count"], share["of"]) for among, share in found["shown"][source].items()}
        for source in ("note", "series")
    }


@pytest.mark.parametrize(
    ("text", "note", "series"),
    [
        ('"profound drop in blood pressure" supports Shock.', 1, 0),
        ('"drop in blood pressure" supports Shock.', 1, 0),
        ('"a profound  drop in blood pressure." supports Shock.', 1, 0),
        # Another phrase, another disease, another sentence, no quotation, words that are not in the note.
        ('"Found down at home" supports Shock.', 0, 0),
        ('"drop in blood pressure" supports Chronic kidney disease.', 0, 0),
        ('"drop in blood pressure" was noted. Shock is diagnosed.', 0, 0),
        ("A profound drop in blood pressure supports Shock.", 0, 0),
        ('"drop in pressure" supports Shock.', 0, 0),
        ('"drop in blood pressure" does not support Shock.', 0, 0),
        ("Heart rate is high in every reading, in keeping with Shock.", 0, 1),
        ("Heart rate is high in every reading. Shock is diagnosed.", 0, 0),
        ("Heart rate is high in every reading, in keeping with Chronic kidney disease.", 0, 0),
        # Not true, not a finding, another variable.
        ("Heart rate is low in every reading, in keeping with Shock.", 0, 0),
        ("Heart rate is not low, in keeping with Shock.", 0, 0),
        ("Temperature is high, in keeping with Shock.", 0, 0),
        ("", 0, 0),
        (None, 0, 0),
    ],
)
def test_evidence_counts_as_cited_in_a_true_sentence_that_names_the_disease(
    vocabulary: Vocabulary, text: str | None, note: int, series: int
) -> None:
    found = scored(vocabulary, text)
    assert found["note"] == {"present": (note, 1), "listed": (note, 1)}
    assert found["series"] == {"present": (series, 1), "listed": (series, 1)}


def test_only_evidence_that_is_there_is_asked_for(vocabulary: Vocabulary) -> None:
    text = '"drop in blood pressure" supports Shock.'
    absent = replace(EVIDENCE, phrases=("cold and mottled",))
    assert scored(vocabulary, text, absent)["note"]["present"] == (0, 0)
    # The course lies behind the last reading, or in another variable.
    for course in (TrueCourse("heart_rate", 8.0, 9.0), TrueCourse("temperature", 0.0, 9.0)):
        assert scored(vocabulary, text, replace(EVIDENCE, courses=(course,)))["series"]["present"] == (0, 0)
    assert scored(vocabulary, text, reads_note=False)["note"]["present"] == (0, 0)
    assert scored(vocabulary, text, reads_labs=False)["series"]["present"] == (0, 0)


def test_a_disease_that_is_not_listed_is_missing_among_all_only(vocabulary: Vocabulary) -> None:
    found = scored(vocabulary, "Nothing is diagnosed.", listed=False)
    assert found["note"] == {"present": (0, 1), "listed": (0, 0)}
    assert found["series"] == {"present": (0, 1), "listed": (0, 0)}


def test_withheld_sentences_lower_the_recall_of_what_is_shown(vocabulary: Vocabulary) -> None:
    text = '"drop in blood pressure" supports Shock.'
    written = written_by(
        [Verified(text, "", 1, 1)],
        [patient(vocabulary)],
        checking_of(vocabulary),
        truth=HospitalTruth({(0, 0): {SHOCK: EVIDENCE}}),
    )
    found = evidence_scores(written)
    assert found is not None
    assert [found[name]["note"]["present"]["value"] for name in ("raw", "shown")] == [1.0, 0.0]


def test_stays_without_a_truth_are_left_out_and_another_hospital_is_refused(vocabulary: Vocabulary) -> None:
    rows = [patient(vocabulary, number) for number in range(2)]
    truth = HospitalTruth({(1, 1): {SHOCK: EVIDENCE, "unknown_disease": EVIDENCE}})
    found = evidence_scores(written_by(["", ""], rows, checking_of(vocabulary), truth=truth))
    assert found is not None
    assert (found["without_truth"], found["shown"]["note"]["present"]["of"]) == (1, 1)
    other = HospitalTruth({(7, 1): {SHOCK: EVIDENCE}})
    with pytest.raises(InputDataError, match="none of the cohort's held-out stays"):
        evidence_scores(written_by(["", ""], rows, checking_of(vocabulary), truth=other))
    assert evidence_scores(written_by(["", ""], rows, checking_of(vocabulary))) is None


def test_more_sentences_never_lower_a_recall(vocabulary: Vocabulary) -> None:
    sentences = [
        *('"drop in blood pressure" supports Shock.', '"Productive cough" supports Chronic kidney disease.'),
        *(
            "Heart rate is high, in keeping with Shock and Chronic kidney disease.",
            "Heart rate is low.",
            "Nothing is known.",
        ),
    ]
    truth = {
        SHOCK: EVIDENCE,
        KIDNEY: TrueEvidence(("Productive cough",), (TrueCourse("heart_rate", 0.0, 5.0),)),
    }
    draw = random.Random(0)
    for _ in range(10):
        text, before = "", (-1, -1)
        for sentence in draw.sample(sentences, len(sentences)):
            text = f"{text} {sentence}".strip()
            written = written_by(
                [text], [patient(vocabulary)], checking_of(vocabulary), truth=HospitalTruth({(0, 0): truth})
            )
            found = evidence_scores(written)
            assert found is not None
            after = tuple(found["shown"][source]["present"]["count"] for source in ("note", "series"))
            assert all(new >= old for new, old in zip(after, before, strict=True))
            before = after
        assert before == (2, 2)


def test_the_rule_teacher_cites_what_the_synthetic_hospital_says_is_true(
    hospital: Path, hospital_rows: list[dict[str, Any]], vocabulary: Vocabulary
) -> None:
    written = taught(hospital_rows, vocabulary, truth=read_truth(hospital))
    found = evidence_scores(written)
    assert found is not None
    assert found["without_truth"] == 0
    assert found["shown"]["note"]["listed"]["value"] > 0.9
    assert found["shown"]["series"]["listed"]["value"] > 0.6
    for source in ("note", "series"):
        present, listed = (found["shown"][source][among] for among in ("present", "listed"))
        assert present["of"] >= listed["of"] > 0
        assert present["low"] <= present["value"] <= present["high"]


def test_the_rule_teacher_leaves_out_nothing_that_the_knowledge_base_finds(
    hospital_rows: list[dict[str, Any]], vocabulary: Vocabulary
) -> None:
    found = finding_scores(taught(hospital_rows, vocabulary))["shown"]
    for source in ("note", "series"):
        assert found[source]["of"] > 0
        assert found[source]["count"] == found[source]["of"]


def taught(rows: list[dict[str, Any]], vocabulary: Vocabulary, **given: Any) -> WrittenRationales:
    knowledge = load_knowledge(None, vocabulary)
    teacher = RuleTeacher(knowledge, vocabulary, vocabulary.range_set("clinical"))
    rationales = [teacher.write(row) for row in rows]
    keys = vocabulary.key_of_disease
    return written_by(
        [f"{one.note} {one.lab}" for one in rationales],
        rows,
        checking_of(vocabulary, knowledge=knowledge),
        listed=[frozenset(keys[name] for name in row["diagnoses"]) for row in rows],
        **given,
    )


def test_the_strongest_findings_are_those_with_most_abnormal_readings(vocabulary: Vocabulary) -> None:
    keys = ("heart_rate", "respiratory_rate", "glucose", "temperature")
    columns = {key: vocabulary.variable_keys.index(key) for key in keys}
    values = np.array([variable.fill for variable in vocabulary.variables]) * np.ones((10, 1))
    values[:, columns["heart_rate"]] = 140.0
    values[:9, columns["respiratory_rate"]] = 35.0
    values[:8, columns["glucose"]] = 320.0
    values[:7, columns["temperature"]] = 39.5
    row = {
        **patient(vocabulary),
        "lab_hours": list(map(float, range(10))),
        "lab_values": values.tolist(),
        "lab_observed": np.ones(values.shape, dtype=bool).tolist(),
    }
    texts = {
        "Heart rate is high. Respiratory rate is high.": 2,
        "Heart rate is high. Temperature is high.": 1,
        "Heart rate is high. Heart rate is 140 bpm. Glucose is low.": 1,
        "Heart rate is high. Respiratory rate is high. Glucose is high. Temperature is high.": 3,
    }
    for text, mentioned in texts.items():
        found = finding_scores(written_by([text], [row], checking_of(vocabulary)))["shown"]
        assert (found["strongest"]["count"], found["strongest"]["of"]) == (mentioned, STRONGEST)
        # Without a knowledge base there is no evidence of a disease to find.
        assert found["note"]["value"] is found["series"]["value"] is None
    empty = written_by(["Heart rate is high."], [row], checking_of(vocabulary), reads_labs=False)
    assert finding_scores(empty)["shown"]["strongest"]["of"] == 0
