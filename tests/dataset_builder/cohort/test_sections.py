"""The section parser on MIMIC-like, transcribed and arbitrary notes."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_builder.cohort.note_sections import apply_policy, parse_sections, policies
from modeling_clinragen.note_clinragen import BLANK, clean_note

DISCHARGE = """ \nName:  ___                 Unit No:   ___
 \nAdmission Date:  ___              Discharge Date:   ___
 \nService: MEDICINE
 \nAllergies: \nPenicillins
 \nAttending: ___.
 \nChief Complaint:\nSOB
 \nMajor Surgical or Invasive Procedure:\nIntubation ___
 \nHistory of Present Illness:\nMs. ___ is a ___ with COPD.
In the ED, initial vitals: 98.6 90 120/80
 \nPast Medical History:\nCOPD\nHTN
 \nSocial History:\n___\nFamily History:\nNo CAD
 \nPhysical Exam:\nADMISSION PHYSICAL EXAM:\n======================\nVS: 98.6\nGENERAL: tired
HEENT: MMM\nDISCHARGE PHYSICAL EXAM:\n======\nGENERAL: looks well
 \nPertinent Results:\nADMISSION LABS:\n___ WBC-12
 \nBrief Hospital Course:\n___ with COPD, treated for pneumonia.\n\nACUTE ISSUES:\n# Pneumonia: ceftriaxone.
Discharge weight: 70 kg\nTRANSITIONAL ISSUES:\n- follow up CXR
 \nMedications on Admission:\n1. Albuterol
 \nDischarge Medications:\n1. Albuterol  2. Prednisone
 \nDischarge Disposition:\nHome
 \nDischarge Diagnosis:\nPneumonia
 \nDischarge Condition:\nMental Status: Clear
 \nDischarge Instructions:\nYou were treated for pneumonia.
 \nFollowup Instructions:\n___
"""


def test_a_mimic_discharge_summary_is_cut_at_its_headings() -> None:
    names = [section.name for section in parse_sections(DISCHARGE)]
    assert names == [
        *["preamble", "header", "header", "header", "allergies", "header", "chief_complaint", "procedures"],
        *["history_of_present_illness", "past_medical_history", "social_history", "family_history"],
        *["physical_exam", "physical_exam", "discharge_exam", "pertinent_results", "pertinent_results"],
        *["brief_hospital_course", "unknown", "unknown", "unknown", "medications_on_admission"],
        *["discharge_medications", "discharge_disposition", "discharge_diagnosis", "discharge_condition"],
        *["discharge_instructions", "followup"],
    ]


def test_the_admission_policy_shows_nothing_that_came_later() -> None:
    note = apply_policy(DISCHARGE, "admission")
    for kept in ("Penicillins", "SOB", "with COPD", "98.6 90 120/80", "HTN", "No CAD", "GENERAL: tired", "WBC-12"):
        assert kept in note
    assert "1. Albuterol" in note
    for later in ("pneumonia", "Pneumonia", "looks well", "Prednisone", "Home", "ceftriaxone", "Intubation"):
        assert later not in note


def test_the_hospital_course_keeps_its_inner_headings() -> None:
    note = apply_policy(DISCHARGE, "brief_hospital_course")
    assert note.startswith("Brief Hospital Course:\n___ with COPD")
    assert note.endswith("- follow up CXR")
    assert "# Pneumonia: ceftriaxone." in note
    assert "Albuterol" not in note


def test_an_examination_after_the_course_is_not_the_admission_examination() -> None:
    text = "Physical Exam:\nfebrile\nBrief Hospital Course:\nbetter\nPhysical Exam:\nafebrile\nMedications:\nnew drug"
    assert apply_policy(text, "admission") == "Physical Exam:\nfebrile"


@pytest.mark.parametrize(
    ("heading", "hidden"),
    [
        ("DISCHARGE EXAM", True),
        ("Exam on discharge", True),
        ("D/C physical", True),
        ("Wt at discharge: 70 kg, other", True),
        ("At discharge", True),
        ("Hospital Course", True),
        ("ICU Course", True),
        ("Transfer Exam", True),
        ("Something New Entirely", True),
        ("GENERAL", False),
        ("HEENT", False),
    ],
)
def test_headings_inside_the_examination(heading: str, hidden: bool) -> None:
    note = apply_policy(f"Physical Exam:\nfebrile\n{heading}:\nMARKER", "admission")
    assert ("MARKER" not in note) is hidden


@pytest.mark.parametrize(
    "text",
    [
        "CHIEF COMPLAINT:\nfever\nHOSPITAL COURSE:\nlater",
        "CHIEF COMPLAINT: fever\nHOSPITAL COURSE: later",
        "CHIEF COMPLAINT:,  fever.,HOSPITAL COURSE: , later",
        "Chief Complaint\nfever\nHospital Course\nlater",
        "chief complaint:\nfever\nhospital course:\nlater",
        "  Chief  Complaint :\nfever\n\n\nHospital Course (by problem):\nlater",
        "CHIEF COMPLAINT:\r\nfever\r\nHOSPITAL COURSE:\r\nlater",
    ],
)
def test_headings_are_found_in_the_ways_people_write_them(text: str) -> None:
    note = apply_policy(text, "admission")
    assert "fever" in note
    assert "later" not in note
    assert "later" in apply_policy(text, "brief_hospital_course")


def test_a_sentence_with_a_colon_is_not_a_heading() -> None:
    text = "History of Present Illness:\nShe said the following: it hurts.\nwe made a\nplan: rest, and fluids.\n"
    assert [section.name for section in parse_sections(text)] == ["history_of_present_illness"]


def test_blanks_become_one_mark() -> None:
    assert clean_note("Mr. [**Known lastname 12**]  saw Dr. _______\ton [**2101-\n1-1**]") == (
        f"Mr. {BLANK} saw Dr. {BLANK} on {BLANK}"
    )


def test_a_note_without_the_sections_is_empty_and_full_shows_everything() -> None:
    assert apply_policy("just words", "admission") == ""
    assert apply_policy("", "admission") == ""
    assert apply_policy(" just   words ", "full") == "just words"


def test_every_policy_says_whether_it_is_retrospective() -> None:
    retrospective = {name for name, rule in policies().items() if rule["retrospective"]}
    assert retrospective == {"brief_hospital_course", "full"}


# Notes put together from headings, punctuation and words, so that hypothesis meets the interesting cases.
HEADINGS = ["Chief Complaint", "HPI", "DISCHARGE EXAM", "Brief Hospital Course", "PLAN", "General", "Unlisted Heading"]
MARKS = [
    ":",
    ": ",
    ",",
    ".",
    "\n",
    "\n\n",
    " ",
    "\t",
    "\r\n",
    "___",
    "[**",
    "**]",
    "(",
    ")",
    "&",
    "é",
    "\x00",
    "\u2028",
]
pieces = st.sampled_from([*HEADINGS, *MARKS, "fever"])
texts = st.one_of(st.text(), st.lists(pieces, max_size=40).map("".join))


@given(texts)
@settings(max_examples=300, deadline=None)
def test_sections_joined_are_the_note(text: str) -> None:
    sections = parse_sections(text)
    assert "".join(section.heading + section.body for section in sections) == text
    assert all(section.heading for section in sections if section.name != "preamble")


@given(texts, st.sampled_from(["admission", "brief_hospital_course", "full"]))
# Without the heading, "/COMPLAIN00" is one itself, and has no section.
@example("B:/COMPLAIN00", "admission")
# A form of few lines is one only as long as most of them are known.
@example("HPI cough\nPMH gout\nOwn drugs none\nCourse better\nDispo home", "admission")
@settings(max_examples=300, deadline=None)
def test_a_policy_applied_twice_changes_nothing_more(text: str, policy: str) -> None:
    once = apply_policy(text, policy)
    assert apply_policy(once, policy) == once


@given(texts)
@settings(max_examples=200, deadline=None)
def test_policies_only_select_what_is_there(text: str) -> None:
    rest = iter(clean_note(text))
    assert all(letter in rest for letter in apply_policy(text, "admission") if not letter.isspace())


def test_real_transcribed_notes(shared: Path) -> None:
    with gzip.open(shared / "notes" / "mtsamples_clinical.csv.gz", "rt", encoding="utf-8") as stream:
        notes = [row["text"] for row in csv.DictReader(stream)]
    course = admission = 0
    for text in notes:
        sections = parse_sections(text)
        assert "".join(section.heading + section.body for section in sections) == text
        shown = apply_policy(text, "admission")
        assert apply_policy(shown, "admission") == shown
        later = {"brief_hospital_course", "discharge_exam", "discharge_medications", "discharge_diagnosis", "followup"}
        assert not {section.name for section in parse_sections(shown)} & later
        admission += bool(shown)
        # Counted apart from the parser: a capital heading with these words.
        course += "HOSPITAL COURSE:" in text
        if "HOSPITAL COURSE:" in text:
            assert apply_policy(text, "brief_hospital_course")
    assert course >= 80
    assert admission >= 600
