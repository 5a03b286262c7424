"""The one cleaning of notes: what it takes out, what it leaves, and that it changes nothing twice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_clinragen.note_clinragen import BLANK, clean_note, has_words

PIECES = (
    *("[**", "**]", "[", "*", "]", "_", BLANK, "fever", "é", "-", " ", "\t", "\n", "\r", "\r\n"),
    *("\x00", "\x1b", "\x85", "\x0c", "\x1c", "\u2028", "\ufeff", "\u200b", "\u00ad", "\u00a0", "\u3000", "\ud800"),
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
VISIBLE = "Pain since [**Date 1**]. ___ denies fever.\nBP 120/80"


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_a_cleaned_note_stays_as_it_is(text: str) -> None:
    once = clean_note(text)
    assert clean_note(once) == once


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_a_cleaned_note_can_be_written_and_split_by_anybody(text: str) -> None:
    cleaned = clean_note(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert cleaned.splitlines() == (cleaned.split("\n") if cleaned else [])
    assert not any(ord(character) < 32 and character != "\n" for character in cleaned)
    # Every letter of the text, but for what stands in de-identified blanks, is still there.
    if "[**" not in text:
        assert [one for one in cleaned if one.isalnum()] == [one for one in text if one.isalnum()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c"])
def test_line_ends_of_every_system_are_one(end: str) -> None:
    assert clean_note(VISIBLE.replace("\n", end)) == clean_note(VISIBLE)


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u2060", "\u200e", "\u202a", "\U000e0041"])
def test_what_nobody_sees_is_left_out(mark: str) -> None:
    assert clean_note(mark + VISIBLE) == clean_note(VISIBLE)
    assert clean_note("fe" + mark + "ver") == "fever"


def test_a_soft_hyphen_joins_and_a_control_character_separates() -> None:
    assert clean_note("haemo\u00adptysis") == "haemoptysis"
    for character in "\x00\x07\x1b\x7f\x90\ud83d":
        assert clean_note(f"fever{character}cough") == "fever cough"


def test_blanks_of_both_kinds_are_the_same_mark() -> None:
    for blank in ("[**Last Name (un) 12**]", "[**2101-\n1-1**]", "_____", "[**a [**b**] c**]", "[****]"):
        assert clean_note(f"Seen by {blank} today") == f"Seen by {BLANK} today"


def test_a_stray_bracket_takes_no_text_with_it() -> None:
    assert clean_note("[** lost\nfever and [**Name**] cough") == f"[** lost\nfever and {BLANK} cough"
    assert clean_note("a [** b\n\nfever\n\nc **] d") == "a [** b\n\nfever\n\nc **] d"


@pytest.mark.parametrize("piece", ["[** ", "**]", "[**a", "[****]", "_", " \n", "\x00", "\ufeff", "a  "])
def test_cleaning_takes_time_in_proportion_to_the_length(piece: str) -> None:
    # A quadratic search would need minutes for this much.
    text = (piece * 600_000)[:600_000]
    start = time.process_time()
    clean_note(text)
    assert time.process_time() - start < 3


def test_a_note_says_something_where_it_has_a_letter_or_a_digit() -> None:
    assert has_words("38.5")
    assert not has_words("___ \U0001f600 -- !")


@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_the_model_reads_the_cleaned_note(text: str, make_processor: Any) -> None:
    processor = make_processor(instruction="", lab_marker="")
    cleaned = clean_note(text)
    ids = processor.tokenizer(cleaned, add_special_tokens=False)["input_ids"] or [processor.tokenizer.eos_token_id]
    for given_note in (text, cleaned):
        np.testing.assert_array_equal(processor(given_note)["input_ids"][0].numpy(), ids)
