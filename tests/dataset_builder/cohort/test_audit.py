"""The leakage audit: every check fires on a planted leak, and on nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tiny_mimic import HR, SHIPPED, VOCABULARY, TinyMimic, build

from dataset_builder.cohort.leakage_audit import LATER_WORDS, LeakageAudit
from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.schema import SPLITS
from modeling_clinragen.vocabulary_clinragen import Disease, Vocabulary

DISEASES = VOCABULARY.diseases
CLEAN = {
    "patients_in_several_splits": 0,
    "notes_identical_across_splits": 0,
    "measurements_after_prediction_time": 0,
    "labels_named_in_their_note": 0,
}


def part(*examples: dict[str, Any], diseases: tuple[Disease, ...] = DISEASES) -> pa.Table:
    """Examples as the audit sees them. Each has a label vector of the `true` disease keys."""
    rows = [
        {"subject_id": 1, "note": "", "true": (), "hours": [1.0], "prediction_time": 48.0, **row} for row in examples
    ]
    return pa.table(
        {
            "subject_id": pa.array([row["subject_id"] for row in rows], pa.int64()),
            "note": [row["note"] for row in rows],
            "labels": pa.array(
                [[int(disease.key in row["true"]) for disease in diseases] for row in rows], pa.list_(pa.int8())
            ),
            "lab_hours": pa.array([row["hours"] for row in rows], pa.list_(pa.float32())),
            "prediction_time": pa.array([row["prediction_time"] for row in rows], pa.float32()),
        }
    )


def without_later_words(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if not name.startswith(LATER_WORDS)}


def audited(parts: dict[str, pa.Table], definitions: Definitions = SHIPPED) -> dict[str, int]:
    audit = LeakageAudit(definitions)
    for split, examples in parts.items():
        audit.add(split, examples)
    return without_later_words(audit.result())


def named(note: str, *keys: str) -> int:
    return audited({"train": part({"note": note, "true": keys})})["labels_named_in_their_note"]


def test_what_is_clean_counts_nothing() -> None:
    parts = {
        split: part(
            {"subject_id": number, "note": f"Fever {number}", "true": ["shock"], "hours": [0.5, 48.0]},
            {"subject_id": number, "note": f"Fever {number}", "true": ["copd"], "hours": []},
        )
        for number, split in enumerate(SPLITS)
    }
    assert audited(parts) == {**CLEAN, "labels": 6}


def test_a_patient_in_several_splits_is_counted_once() -> None:
    parts = {
        "train": part({"subject_id": 1}, {"subject_id": 1}, {"subject_id": 2}),
        "validation": part({"subject_id": 1}),
        "test": part({"subject_id": 1}, {"subject_id": 3}),
    }
    assert audited(parts) == {**CLEAN, "patients_in_several_splits": 1, "labels": 0}


def test_a_note_that_two_splits_share_is_counted_and_an_empty_one_is_not() -> None:
    parts = {
        "train": part({"subject_id": 1, "note": "Same"}, {"subject_id": 2, "note": "Own"}, {"subject_id": 3}),
        "test": part({"subject_id": 4, "note": "Same"}, {"subject_id": 5, "note": "same"}, {"subject_id": 6}),
    }
    assert audited(parts) == {**CLEAN, "notes_identical_across_splits": 1, "labels": 0}


def test_measurements_after_the_prediction_time_are_counted_one_by_one() -> None:
    late = part(
        {"hours": [1.0, 24.0], "prediction_time": 24.0},
        {"hours": [], "prediction_time": 1.0},
        {"hours": [9.0, 10.5, 11.0, 12.0], "prediction_time": 10.5},
    )
    assert audited({"train": late}) == {**CLEAN, "measurements_after_prediction_time": 2, "labels": 0}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("septicemia", "Sepsis"),
        ("acute_renal_failure", "acute renal failure"),
        ("acute_renal_failure", "ACUTE RENAL\n   FAILURE"),
        ("acute_renal_failure", "(AKI)"),
        ("congestive_heart_failure", "CHF exacerbation"),
        ("congestive_heart_failure", "hx of chf"),
        ("essential_hypertension", "HTN/HLD"),
        ("copd", "chronic-obstructive pulmonary disease"),
        ("pneumonia", "two pneumonias"),
        ("pneumonia", "Pneumonia (except that caused by tuberculosis or sexually transmitted disease)"),
    ],
)
def test_a_note_that_names_a_label_is_counted(key: str, words: str) -> None:
    assert named(f"Admitted with {words}, now stable.", key) == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["acute_myocardial_infarction"], "mild dyspnea in Miami, amiodarone"),  # MI, AMI inside other words
        (["congestive_heart_failure"], "CHFX, heart, failure to thrive"),
        (["shock"], "sepsis and copd"),  # named, but not this example's labels
        (["pneumonia"], "given levofloxacin for cough and consolidation"),  # a finding and a drug are no names
        ([], "sepsis"),
    ],
)
def test_what_is_no_name_of_a_label_is_not_counted(keys: list[str], words: str) -> None:
    assert named(f"Admitted with {words}.", *keys) == 0


def test_every_label_counts_once_however_often_it_is_named() -> None:
    note = "sepsis, septic, SEPSIS; CHF and heart failure; AKI"
    assert named(note, "septicemia", "congestive_heart_failure", "shock") == 2


def test_a_disease_of_the_users_own_is_known_by_its_name() -> None:
    own = (
        Disease("gout", "Gout; podagra (of the foot)", "chronic"),
        Disease("plus", "C++ (odd)", "acute"),
        DISEASES[11],
    )
    about = {"gout": {}, "plus": {"terms": [{"term": "oddity", "kind": "finding"}]}}
    about[DISEASES[11].key] = dict(SHIPPED.diseases[DISEASES[11].key])
    definitions = Definitions(Vocabulary((), own, ()), {}, about)
    notes = ["gout flare", "PODAGRA", "gouty", "uses c++ daily", "urosepsis"]
    rows = [{"note": note, "true": ("gout", "plus", "septicemia")} for note in notes]
    result = audited({"train": part(*rows, diseases=own)}, definitions)
    assert result["labels_named_in_their_note"] == 4
    assert result["labels"] == 15


def test_the_names_of_a_disease_of_the_users_own_come_from_its_terms() -> None:
    own = (Disease("gout", "Gout", "chronic"),)
    terms = [
        {"term": "podagra", "kind": "name", "spellings": ["gouty arthritis"]},
        {"term": "colchicine", "kind": "drug", "spellings": ["Colcrys"]},
    ]
    definitions = Definitions(Vocabulary((), own, ()), {}, {"gout": {"terms": terms}})
    notes = ["podagra", "Gouty arthritis", "gout", "colchicine and colcrys"]
    rows = [{"note": note, "true": ("gout",)} for note in notes]
    assert audited({"train": part(*rows, diseases=own)}, definitions)["labels_named_in_their_note"] == 3


@pytest.mark.parametrize(
    ("note", "kinds"),
    [
        ("Afebrile at Discharge. Discharged home.", {"discharge"}),
        ("Her hospital\ncourse was long", {"hospital_course"}),
        ("bacteremia on HD 3, extubated POD2", {"hospital_day", "operation"}),
        ("transferred to the floor; follow-up in May", {"transfer", "follow_up"}),
        ("The patient expired.", {"death"}),
        ("dischargeable withdrawn, of course, hd, followers, thd 3", set()),
        ("", set()),
    ],
)
def test_words_of_what_came_later_are_counted_by_kind(note: str, kinds: set[str]) -> None:
    audit = LeakageAudit(SHIPPED)
    audit.add("train", part({"note": note}, {"note": note}, {"note": "Fever."}))
    counts = {name.removeprefix(LATER_WORDS): count for name, count in audit.result().items() if LATER_WORDS in name}
    assert {kind for kind, count in counts.items() if count} == kinds
    assert all(count in (0, 2) for count in counts.values())


def test_a_build_reports_words_of_what_came_later(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, note="Chief Complaint:\ncough\nPast Medical History:\ndischarged in 2019 after pneumonia")
    hospital.chart(1, 1, HR, 80)
    _, provenance = build(hospital, tmp_path, note_policy="admission")
    assert provenance["leakage_audit"][f"{LATER_WORDS}discharge"] == 1
    assert provenance["leakage_audit"][f"{LATER_WORDS}death"] == 0


def test_a_build_counts_the_names_in_its_notes(tmp_path: Path) -> None:
    hospital = TinyMimic()
    codes = (("5849", 9), ("0389", 9), ("4280", 9), ("4019", 9))
    note = "Chief Complaint:\nsepsis with acute renal failure, CHF exacerbation, hypertension"
    hospital.stay(1, codes=codes, note=note)
    hospital.chart(1, 1, HR, 80)
    _, provenance = build(hospital, tmp_path)
    assert without_later_words(provenance["leakage_audit"]) == {**CLEAN, "labels_named_in_their_note": 4, "labels": 4}


def test_thousands_of_notes_take_seconds() -> None:
    filler = "The patient was seen by the team, and the plan was discussed with the family at length. " * 14
    keys = [disease.key for disease in DISEASES[::6]]
    rows = [{"subject_id": number, "note": f"{number} {filler}", "true": keys} for number in range(5700)]
    examples = part(*rows)
    begun = time.process_time()
    result = audited({"train": examples})
    assert time.process_time() - begun < 5
    assert result == {**CLEAN, "labels": 5700 * len(keys)}
