"""What a check reads: rationales, lists of diagnoses, patients from plain lists, and the standards to check by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from own_vocabulary import VARIABLES, write_vocabulary

from clinragen.checking.inputs import (
    MAX_BYTES,
    MAX_CHARACTERS,
    patient_of,
    rationale_of,
    read_diagnoses,
    read_rationale,
    read_standards,
)
from clinragen.knowledge.reader import shipped_content
from dataset_builder.contract.definitions import shipped_definitions, write_definitions
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

HEART_FAILURE = "Congestive heart failure; nonhypertensive"


# --- rationales


@given(st.text(max_size=50).filter(str.strip))
def test_a_text_is_read_as_it_is_but_for_its_line_ends(text: str) -> None:
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not expected.strip():
        return
    assert rationale_of(text.encode("utf-8"), "x") == expected
    assert rationale_of(b"\xef\xbb\xbf" + text.encode("utf-8"), "x").endswith(expected)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"\xff\xfeh\0", "is not UTF-8"),
        (b"a" * (MAX_CHARACTERS + 1), "is longer than 100,000 characters"),
        ("ä".encode() * (MAX_CHARACTERS + 1), "is longer than 100,000 characters"),
        (b"a" * (MAX_BYTES + 1), "is longer than 100,000 characters"),
    ],
)
def test_a_text_that_cannot_be_checked_is_refused(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=f"^{path}: {part}"):
        read_rationale(path)


def test_the_longest_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\U0001f600" * MAX_CHARACTERS, encoding="utf-8-sig")
    assert len(read_rationale(path)) == MAX_CHARACTERS


@pytest.mark.parametrize("path", ["missing.txt", "."])
def test_a_file_that_cannot_be_read_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="cannot be read"):
        read_rationale(tmp_path / path)


# --- diagnoses


@given(st.data())
def test_every_list_of_names_is_read_back(data: st.DataObject) -> None:
    vocabulary = shipped_definitions().vocabulary
    names = data.draw(st.lists(st.sampled_from(vocabulary.disease_names), unique=True))
    between = data.draw(st.sampled_from([";", "; ", ",", " ,\n", "\n"]))
    change = data.draw(st.sampled_from([str, str.upper, str.lower]))
    assert read_diagnoses(change(between.join(names)), vocabulary) == tuple(names)


def test_names_with_semicolons_are_known_as_wholes(vocabulary: Vocabulary) -> None:
    found = read_diagnoses(f"Shock;{HEART_FAILURE};Respiratory failure; insufficiency; arrest (adult);", vocabulary)
    assert found == ("Shock", HEART_FAILURE, "Respiratory failure; insufficiency; arrest (adult)")
    assert read_diagnoses(" ; ", vocabulary) == ()
    assert read_diagnoses("Shock, shock", vocabulary) == ("Shock",)


@pytest.mark.parametrize("listed", ["Plague", "Shock; Plague", "Shocks", "Congestive heart failure", "Shock Shock"])
def test_an_unknown_name_is_refused(listed: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(SettingsError, match=r"--diagnoses: unknown disease '.*choose from 'Acute"):
        read_diagnoses(listed, vocabulary)


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=";,"), min_size=1))
def test_a_word_of_any_kind_is_refused(listed: str) -> None:
    vocabulary = shipped_definitions().vocabulary
    assume(listed.lower() not in map(str.lower, vocabulary.disease_names))
    with pytest.raises(SettingsError, match="unknown disease"):
        read_diagnoses(f"Shock; {listed}", vocabulary)


# --- patients


def test_plain_lists_make_a_patient(vocabulary: Vocabulary) -> None:
    row: list[float | None] = [None] * len(vocabulary.variables)
    row[3] = 118.0
    patient = patient_of(vocabulary, "[** name **] has cough.\r\n", [0.0, 2.0], [row, [None] * len(row)])
    assert patient.note == "___ has cough."
    assert patient.series.observed.sum() == 1
    assert patient.series.values[0, 3] == 118.0
    assert patient_of(vocabulary, " \n").note is None
    assert patient_of(vocabulary, None).note is None
    assert len(patient_of(vocabulary, "cough").series) == 0


@pytest.mark.parametrize(
    ("hours", "values", "part"),
    [
        ([0.0], [[1.0]], "a row has 1 values"),
        ([0.0, 1.0], [[None] * 11], "do not fit"),
        ([1.0, 0.0], [[None] * 11] * 2, "strictly rising"),
        (["soon"], [[None] * 11], "must be numbers"),
        ([0.0], [["high"] * 11], "must be numbers"),
        ([0.0], [[float("inf")] * 11], "must be finite"),
    ],
)
def test_a_series_that_is_not_one_is_refused(
    hours: list[float], values: list[list[float]], part: str, vocabulary: Vocabulary
) -> None:
    with pytest.raises((ModelInputError, InputDataError), match=part):
        patient_of(vocabulary, None, hours, values)


# --- standards


def test_the_shipped_standards(vocabulary: Vocabulary) -> None:
    checking = read_standards()
    assert checking.vocabulary == vocabulary
    assert checking.knowledge is not None
    assert checking.range_set.name == "clinical"
    assert read_standards(range_set="paper").range_set.name == "paper"
    with pytest.raises(SettingsError, match="unknown range set"):
        read_standards(range_set="none")


def test_a_knowledge_folder_brings_its_vocabulary(tmp_path: Path, vocabulary: Vocabulary) -> None:
    content = {**shipped_content(), "origin": "of this test"}
    (tmp_path / "knowledge.json").write_text(json.dumps(content), encoding="utf-8")
    for path in (tmp_path, tmp_path / "knowledge.json"):
        checking = read_standards(knowledge=path)
        assert checking.knowledge is not None
        assert checking.knowledge.origin == "of this test"
    write_definitions(tmp_path, shipped_definitions())
    assert read_standards(knowledge=tmp_path).vocabulary == vocabulary
    shutil.rmtree(tmp_path)
    with pytest.raises(InputDataError, match="is missing"):
        read_standards(knowledge=tmp_path)


def test_a_vocabulary_of_one_s_own(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "without-terms")
    bare = read_standards(folder)
    assert bare.vocabulary.disease_names == ("Gout", "Asthma")
    assert bare.knowledge is None
    with pytest.raises(InputDataError, match="is missing or not in the vocabulary"):
        read_standards(folder, _shipped_file(tmp_path))
    whole = write_vocabulary(
        tmp_path / "shipped-diseases", {"heart_rate": VARIABLES["heart_rate"]}, {}, variables=["heart_rate", "ph"],
        diseases=["shipped"],
    )  # fmt: skip
    (whole / "variables" / "heart_rate.yaml").unlink()
    knowledge = read_standards(whole).knowledge
    assert knowledge is not None
    assert {sign.variable for disease in knowledge.diseases for sign in disease.signs} <= {"heart_rate", "ph"}


def test_a_cohort_folder_is_a_vocabulary(tmp_path: Path, vocabulary: Vocabulary) -> None:
    write_definitions(tmp_path, shipped_definitions())
    assert read_standards(tmp_path).vocabulary == vocabulary
    assert read_standards(tmp_path).knowledge == read_standards().knowledge
    for missing in (tmp_path / "none", tmp_path / "vocabulary.json"):
        with pytest.raises(InputDataError, match="is not a folder"):
            read_standards(missing)


def _shipped_file(folder: Path) -> Path:
    path = folder / "shipped.json"
    path.write_text(json.dumps(shipped_content()), encoding="utf-8")
    return path
