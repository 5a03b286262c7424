"""The notes of a cohort: what each policy shows, and what a structured note is written from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tiny_mimic import (
    HR,
    START,
    TinyMimic,
    build,
    make_cohort,
)

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.note_clinragen import clean_note


def test_notes_follow_the_policy_and_a_missing_note_is_empty(tmp_path: Path) -> None:
    hospital = TinyMimic()
    note = (
        "Name:  ___\n\nChief Complaint:\nFever\n\nHistory of Present Illness:\nMr. [**Name 12**] fell ill.\n\n"
        "Brief Hospital Course:\nTreated for pneumonia.\n\nDischarge Diagnosis:\nPneumonia\n"
    )
    hospital.stay(1, note=note)
    hospital.note(101, "an addendum", kind="AD", sequence=2)
    hospital.stay(2)
    for number in (1, 2):
        hospital.chart(number, 1, HR, 80)
    rows, provenance = build(hospital, tmp_path, note_policy="admission")
    assert rows[1]["note"] == "Chief Complaint:\nFever\nHistory of Present Illness:\nMr. ___ fell ill."
    assert rows[2]["note"] == ""
    assert provenance["notes"]["without_a_note"] == 1
    assert provenance["notes_are_retrospective"] is False
    rows, provenance = build(hospital, tmp_path / "bhc", note_policy="brief_hospital_course")
    assert rows[1]["note"] == "Brief Hospital Course:\nTreated for pneumonia."
    assert provenance["notes_are_retrospective"] is True


def test_structured_notes_hold_only_what_was_known_before_the_icu(tmp_path: Path) -> None:
    hospital = TinyMimic()
    earlier = START - timedelta(days=40)
    hospital.stay(11, patient=1, start=earlier, codes=(("SECRETCODE", 9),))
    hospital.stay(1, codes=(("SECRETCODE", 9),))
    hospital.chart(1, 1, HR, 80)

    def drug(hadm: int, hours: float, name: str, kind: str = "MAIN") -> None:
        time = START + timedelta(hours=hours)
        hospital.add("hosp/prescriptions", subject_id=1, hadm_id=hadm, starttime=time, drug_type=kind, drug=name)

    drug(111, -39 * 24, "Warfarin")
    drug(101, -2, "Furosemide")
    drug(101, -3, "Furosemide")
    drug(101, -1, "Aspirin")
    drug(101, 0, "Norepinephrine")
    drug(101, 5, "Vancomycin")
    drug(101, -1, "Bag", kind="BASE")
    for hours, name in [(-4, "MED"), (-1, "CMED"), (2, "SURG")]:
        time = START + timedelta(hours=hours)
        hospital.add("hosp/services", subject_id=1, hadm_id=101, transfertime=time, curr_service=name)
    for hours, test in [(-1, "BLOOD CULTURE"), (1, "LATE CULTURE"), (None, "UNDATED CULTURE")]:
        time = None if hours is None else START + timedelta(hours=hours)
        hospital.add(
            "hosp/microbiologyevents",
            subject_id=1,
            hadm_id=101,
            charttime=time,
            spec_type_desc="BLOOD",
            test_name=test,
            org_name="SECRET ORGANISM",
        )
    rows, provenance = build(hospital, tmp_path, note_policy="structured")
    assert rows[1]["note"].splitlines() == [
        "Patient: 60-year-old woman.",
        "Admission: urgent, from emergency room.",
        "Service at ICU admission: cardiac medicine.",
        "Intensive care unit: MICU.",
        "Earlier admissions to this hospital: 1, the last ended 34 days before this admission.",
        "Medications ordered during earlier admissions: warfarin.",
        "Medications ordered in this admission before the ICU: aspirin, furosemide.",
        "Microbiology tests ordered before the ICU: blood: blood culture.",
    ]
    assert provenance["notes_are_structured"] is True
    assert "written by rule from tables" in provenance["about_the_notes"]


def test_every_policy_gives_notes_as_the_model_cleans_them(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(
        1, note="\ufeffChief Complaint:\u2028Fever\x00\u00a0and  [**Name**]\r\nBrief Hospital Course:\rTreated.\x0c"
    )
    hospital.chart(1, 1, HR, 80)
    time = START - timedelta(hours=1)
    drug = "Fu\u00adrose\u200bmide\u00a0 40\u3000mg"
    hospital.add("hosp/prescriptions", subject_id=1, hadm_id=101, starttime=time, drug_type="MAIN", drug=drug)
    notes = {
        policy: build(hospital, tmp_path / policy, note_policy=policy)[0][1]["note"]
        for policy in ("admission", "full", "structured")
    }
    assert notes["admission"] == "Chief Complaint:\nFever and ___"
    assert notes["full"] == "Chief Complaint:\nFever and ___\nBrief Hospital Course:\nTreated."
    assert "furosemide 40 mg" in notes["structured"]
    for note in notes.values():
        assert clean_note(note) == note


def test_a_source_without_notes_names_the_policy_that_works(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    root = hospital.write(tmp_path / "tables", leave_out=["note/discharge"])
    with pytest.raises(SettingsError, match="--note-policy structured"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="admission")
    assert not (tmp_path / "cohort").exists()
