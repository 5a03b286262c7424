"""A note rewritten as another patient's: the words for the patient change, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intervened_patients import make_group

from clinragen.interventions.changes import PERSONS
from clinragen.interventions.rewriting import MAN, WOMAN, as_sex, with_age, with_other_race
from modeling_clinragen.vocabulary_clinragen import Vocabulary

OF_A_MAN = [
    ("___ year old man with HTN. He had seen his PCP.", "___ year old woman with HTN. She had seen her PCP."),
    ("67M with cough, brought by his wife", "67F with cough, brought by her wife"),
    ("Mr. ___ is a 71 yo M. We told him.", "Mrs. ___ is a 71 yo F. We told her."),
    ("ELDERLY MALE, intubated himself out", "ELDERLY FEMALE, intubated herself out"),
    ("Pt is a pleasant gentleman", "Pt is a pleasant lady"),
    ("56yoM p/w fever", "56yoF p/w fever"),
]
UNTOUCHED = [
    "Father with stroke. Brother had early MI. Sister with HTN. His-Purkinje disease, bundle of His block.",
    "T 101 F, Tmax 98.6 F, M1 segment, HE grade 2, T2N0M0, HER2 positive, mannitol",
    "Hepatic encephalopathy (HE). Thermal injury. Shelter. The other.",
]


@pytest.mark.parametrize(("man", "woman"), OF_A_MAN)
def test_a_man_becomes_a_woman_and_back(man: str, woman: str) -> None:
    assert as_sex(man, WOMAN) == woman
    assert as_sex(woman, MAN) == man
    assert as_sex(man, MAN) == man
    assert as_sex(woman, WOMAN) == woman


@pytest.mark.parametrize("note", UNTOUCHED)
def test_relatives_abbreviations_and_temperatures_are_nobodys_sex(note: str) -> None:
    assert as_sex(note, WOMAN) == note
    assert as_sex(note, MAN) == note


@pytest.mark.parametrize(
    ("her", "his"),
    [
        ("her chest; it was given to her.", "his chest; it was given to him."),
        ("told her to rest, the choice is hers", "told him to rest, the choice is his"),
        ("Her daughter drove her in. Her BP", "His daughter drove him in. His BP"),
    ],
)
def test_her_is_his_or_him(her: str, his: str) -> None:
    assert as_sex(her, MAN) == his
    # The way back does not know "hers".
    assert as_sex(his, WOMAN) == her.replace("hers", "her")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("67 yo Caucasian man with white count of 12", "67 yo African American man with white count of 12"),
        ("An African-American woman, white sputum", "An Caucasian woman, white sputum"),
        ("black male, black stools", "white male, black stools"),
        ("black stools, white matter disease, Asian flu", "black stools, white matter disease, Asian flu"),
    ],
)
def test_a_race_is_one_only_before_a_person(before: str, after: str) -> None:
    assert with_other_race(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("67 year old man, 3 years of cough", "30 year old man, 3 years of cough"),
        ("a 67-year-old, 67 y/o, 67yoF, 67 y.o. patient", "a 30-year-old, 30 y/o, 30yoF, 30 y.o. patient"),
        ("Age: 91. Patient aged 44 was", "Age: 30. Patient aged 30 was"),
        ("aged 1.5, dosage 30 mg, ___ year old, stage 3", "aged 1.5, dosage 30 mg, ___ year old, stage 3"),
    ],
)
def test_stated_ages_are_replaced(before: str, after: str) -> None:
    assert with_age(before, 30) == after


@given(st.text(alphabet="hisermanwFM 0123456789yo/.,\n-", max_size=120))
def test_any_text_is_rewritten_once_and_only_in_letters_and_digits(note: str) -> None:
    for rewritten in (as_sex(note, MAN), as_sex(note, WOMAN), with_other_race(note), with_age(note, 85)):
        assert re.sub(r"[\w-]| (?=American)", "", rewritten) == re.sub(r"[\w-]| (?=American)", "", note)
    assert as_sex(as_sex(note, WOMAN), WOMAN) == as_sex(note, WOMAN)
    assert as_sex(as_sex(note, MAN), MAN) == as_sex(note, MAN)


def test_only_a_note_that_says_it_is_rewritten(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary)
    by_name = {intervention.name: intervention for intervention in PERSONS}
    for case in group.cases:
        shown = case.shown
        as_man, as_woman = (by_name[name].change(case, group) for name in ("as_man", "as_woman"))
        assert (as_man is None) == (as_sex(shown.note, MAN) == shown.note)
        for changed in (as_man, as_woman):
            assert changed is None or (changed.values is shown.values and changed.hours is shown.hours)
