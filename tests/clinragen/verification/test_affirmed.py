"""The parts of a note that can be quoted without a knowledge base: what it says of this patient."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.text.context import load_context_rules, read_context
from clinragen.text.term_index import split_words
from clinragen.verification.affirmed import EXCLUDING, affirmed_spans
from modeling_clinragen.note_clinragen import clean_note


def affirmed(note: str) -> str:
    return " | ".join(note[start:end] for start, end in affirmed_spans(note))


@pytest.mark.parametrize(
    ("note", "kept", "left_out"),
    [
        ("Fever and cough. Denies chest pain. Edema noted.", ["Fever and cough", "Edema"], ["chest pain"]),
        ("No melena, no fever. Dyspnea.", ["Dyspnea"], ["melena", "fever"]),
        ("Father had a stroke. She has orthopnea.", ["orthopnea"], ["stroke"]),
        ("Family History:\nmother with diabetes\n\nExam: edema", ["edema"], ["diabetes"]),
        ("Possible pneumonia. Hypoxia.", ["Hypoxia"], ["pneumonia"]),
        ("Rule out GI bleed. Pale.", ["Pale"], ["GI bleed"]),
        ("Return if fever. Ascites today.", ["Ascites"], ["fever"]),
        # A past mention counts for some diseases.
        ("History of CHF.", ["CHF"], []),
        ("Pneumonia was ruled out. Wheezing.", ["Wheezing"], ["Pneumonia"]),
    ],
)
def test_only_what_is_said_of_this_patient_is_affirmed(note: str, kept: list[str], left_out: list[str]) -> None:
    found = affirmed(note)
    for words in kept:
        assert words in found
    for words in left_out:
        assert words not in found


@pytest.mark.parametrize("note", ["", " \n ", ".,;"])
def test_a_note_without_words_affirms_nothing(note: str) -> None:
    assert affirmed_spans(note) == []


@given(parts=st.lists(st.sampled_from(["no ", "fever", ". ", "denies ", "\n", "father had ", "cough, ", '"', "\0"])))
@settings(max_examples=100, deadline=None)
def test_the_parts_are_in_order_apart_and_hold_no_word_that_is_taken_back(parts: list[str]) -> None:
    note = clean_note("".join(parts))
    spans = affirmed_spans(note)
    context = read_context(note, load_context_rules())
    ends = [0]
    for start, end in spans:
        assert ends[-1] <= start < end <= len(note)
        ends.append(end)
    for word in split_words(note):
        taken_back = bool(context.effects(word.start, word.end) & EXCLUDING)
        assert taken_back != any(start <= word.start and word.end <= end for start, end in spans)
