"""The groups of a cohort's patients: read from the source's tables, recomputed by hand, kept from stage to stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hospital_tables import read_table
from tiny_mimic import crowd, make_cohort

from dataset_builder.cohort.patient_groups import age_band, race_group
from dataset_builder.contract.groups import GROUPS, KINDS, read_groups
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import InputDataError

RACES = {
    "WHITE": "white",
    "BLACK/AFRICAN AMERICAN": "black",
    "HISPANIC OR LATINO": "hispanic",
    "ASIAN": "asian",
    "OTHER": "other",
    "UNKNOWN": None,
}


def test_groups_are_those_of_the_tables(tiny_run: Path) -> None:
    tables = tiny_run / "hospital" / "tables"
    patients = {int(row["subject_id"]): row for row in read_table(tables / "hosp" / "patients.csv.gz")}
    admissions = {int(row["hadm_id"]): row for row in read_table(tables / "hosp" / "admissions.csv.gz")}
    stays = {int(row["stay_id"]): row for row in read_table(tables / "icu" / "icustays.csv.gz")}
    cohort = load_examples(tiny_run / "build")
    found = read_groups(tiny_run / "build")
    rows = [row for split in cohort.values() for row in split]
    assert found.keys() == {row["example_id"] for row in rows}
    for row in rows:
        own, admission = found[row["example_id"]], admissions[row["hadm_id"]]
        patient, stay = patients[row["subject_id"]], stays[row["stay_id"]]
        age = int(patient["anchor_age"]) + int(admission["admittime"][:4]) - int(patient["anchor_year"])
        lower = int(str(own["age"]).split()[0])
        assert lower <= age
        assert age < lower + 27
        assert own == {
            "sex": patient["gender"],
            "age": own["age"],
            "race": RACES[admission["race"]],
            "insurance": admission["insurance"],
            "care_unit": stay["first_careunit"],
        }
    assert {own["race"] for own in found.values()} >= {"white", "black", None}
    # What the rationales are written for keeps them.
    assert (tiny_run / "rationales" / GROUPS).read_bytes() == (tiny_run / "build" / GROUPS).read_bytes()


@pytest.mark.parametrize(
    ("age", "band"),
    [
        *((17, None), (None, None), (18, "18 to 44"), (44, "18 to 44"), (45, "45 to 64"), (64, "45 to 64")),
        *((65, "65 to 79"), (79, "65 to 79"), (80, "80 and older"), (90, "80 and older")),
    ],
)
def test_ages_are_in_bands(age: int | None, band: str | None) -> None:
    assert age_band(age) == band


@pytest.mark.parametrize(
    ("words", "group"),
    [
        *(
            ("WHITE - RUSSIAN", "white"),
            ("PORTUGUESE", "white"),
            ("BLACK/CAPE VERDEAN", "black"),
            ("Caucasian", "white"),
        ),
        *(
            ("African American", "black"),
            ("HISPANIC/LATINO - PUERTO RICAN", "hispanic"),
            ("SOUTH AMERICAN", "hispanic"),
        ),
        *(("WHITE - BRAZILIAN", "white"), ("ASIAN - CHINESE", "asian"), ("AMERICAN INDIAN/ALASKA NATIVE", "other")),
        *(("MULTIPLE RACE/ETHNICITY", "other"), ("UNABLE TO OBTAIN", None), ("PATIENT DECLINED TO ANSWER", None)),
        *((None, None), ("", None), ("Other/Unknown", None)),
    ],
)
def test_a_source_s_words_become_groups(words: str | None, group: str | None) -> None:
    assert race_group(words) == group


def test_what_a_source_does_not_say_is_null(tmp_path: Path) -> None:
    # These tables lack the columns of race and insurance.
    make_cohort("mimic-iv", crowd(4).write(tmp_path / "tables"), tmp_path / "cohort", note_policy="structured")
    found = read_groups(tmp_path / "cohort")
    assert found
    assert all(own["race"] is None and own["insurance"] is None for own in found.values())
    assert all(own["sex"] and own["care_unit"] and own["age"] for own in found.values())
    assert all(list(own) == list(KINDS) for own in found.values())


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"groups\.parquet: is missing.*build it again"):
        read_groups(tmp_path)
    (tmp_path / GROUPS).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputDataError, match=r"groups\.parquet: is not a readable file of groups"):
        read_groups(tmp_path)
