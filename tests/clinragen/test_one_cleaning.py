"""One cleaning of notes: model, teachers and checker read the same text of a note, however it was saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinragen.claims.check import Checking, PatientChecker, check_rationale
from clinragen.claims.sentences import Patient, SentenceChecker
from clinragen.evaluation.checked import Given
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from clinragen.verification.facts import facts_of
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.note_file import read_note
from modeling_clinragen.note_clinragen import clean_note

VOCABULARY = shipped_definitions().vocabulary
KNOWLEDGE = load_knowledge(None, VOCABULARY)
CHECKING = Checking(VOCABULARY, VOCABULARY.range_set("clinical"), KNOWLEDGE)
NOTE = "Chief Complaint:\nmelena\nHistory of Present Illness:\nMr. ___ has COPD, melena since ___. He denies fever."
RATIONALE = '"COPD" supports chronic kidney disease. "melena since ___" is new. "fever" too.'
DIRTY = {
    "byte order mark": "\ufeff" + NOTE,
    "Windows": NOTE.replace("\n", "\r\n"),
    "line separators": NOTE.replace("\n", "\u2028"),
    "names in brackets": NOTE.replace("___", "[**Known lastname 7**]"),
    "long blanks": NOTE.replace("___", "_________"),
    "blanks": NOTE.replace(" ", "\u00a0 \t"),
    "null bytes": NOTE.replace(" ", "\x00"),
    "soft hyphens": NOTE.replace("COPD", "CO\u00adPD").replace("fever", "fe\u200bver"),
}


def example(note: str) -> dict[str, Any]:
    names = ["Chronic obstructive pulmonary disease and bronchiectasis", "Gastrointestinal hemorrhage"]
    series: dict[str, Any] = {"lab_hours": [], "lab_values": [], "lab_observed": []}
    return {"example_id": "x-1", "note": note, "diagnoses": names, **series}


@pytest.mark.parametrize("note", DIRTY.values(), ids=DIRTY)
def test_everybody_reads_the_same_note(note: str, make_processor: Any, tmp_path: Any) -> None:
    assert clean_note(note) == NOTE
    series = LabSeries.empty(VOCABULARY)
    processor = make_processor()
    np.testing.assert_array_equal(processor(note)["input_ids"], processor(NOTE)["input_ids"])
    assert processor.read_report(note, None) == processor.read_report(NOTE, None)
    teacher = RuleTeacher(KNOWLEDGE, VOCABULARY, CHECKING.range_set)
    assert teacher.write(example(note)) == teacher.write(example(NOTE))
    claims = check_rationale(RATIONALE, series, note, knowledge=KNOWLEDGE)
    assert claims == check_rationale(RATIONALE, series, NOTE, knowledge=KNOWLEDGE)
    assert {claim.verdict for claim in claims} == {"supported", "contradicted"}
    patient = Patient(series, note)
    assert patient.note == Given(example(note), CHECKING).note == NOTE
    read = processor.reading(note, None).spans
    facts = facts_of(patient, SentenceChecker(patient, CHECKING), read)
    assert facts == facts_of(Patient(series, NOTE), SentenceChecker(Patient(series, NOTE), CHECKING), read)
    # Places are places in the cleaned note.
    mentions = PatientChecker(series, note, CHECKING).evidence.mentions
    for mention in (one for found in mentions.values() for one in found):
        assert NOTE[mention.start : mention.end] == mention.quote
    path = tmp_path / "note.txt"
    path.write_bytes(note.encode("utf-8"))
    if note.count("\x00") < len(note) / 10:
        assert read_note(path) == NOTE
