"""A rationale about one patient quotes the note, states numbers of the series, and nothing of what is unmeasured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.grounding_clinragen import Facts, Grounding, Quotable, State
from modeling_clinragen.note_clinragen import clean_note, find_spans
from modeling_clinragen.numbers_clinragen import SeriesNumbers, VariableNames

VOCABULARY = shipped_definitions().vocabulary
NAMES = VariableNames(VOCABULARY)
RANGES = VOCABULARY.range_set("clinical")
NOTE = "Chief complaint: productive cough.\nDenies chest pain.  History of COPD\nand diabetes."
DISEASES = VOCABULARY.disease_names
HOURS = [0.0, 4.2, 8.0, 12.0, 16.0, 20.0]
READ = {
    "heart_rate": [88, 94, 118, 131, 127, 122],
    "ph": [7.38, math.nan, 7.35, 7.22, math.nan, 7.31],
    "fraction_inspired_oxygen": [0.21, math.nan, 0.4, 0.6, math.nan, 0.5],
}


def series() -> dict[str, Any]:
    values = np.full((len(HOURS), len(VOCABULARY.variables)), np.nan, dtype=np.float32)
    for key, read in READ.items():
        values[:, VOCABULARY.variable_keys.index(key)] = read
    return {"hours": np.array(HOURS), "values": values}


def grounding(
    note: str = NOTE,
    spans: list[tuple[int, int]] | None = None,
    measured: dict[str, Any] | None = None,
    numbers: str = "statistic",
) -> Grounding:
    measured = series() if measured is None else measured
    return Grounding(Facts(note, spans, measured), NAMES, SeriesNumbers(NAMES, RANGES, measured, numbers), DISEASES)


def possible(text: str, about: Grounding | None = None) -> bool:
    about = about if about is not None else grounding()
    reached = about.after(State(), text)
    return reached is not None and about.complete(reached)


@pytest.mark.parametrize(
    "text",
    [
        '"productive cough" supports Pneumonia.',
        # White space of the note is one blank.
        '"History of COPD and diabetes" supports it.',
        "“COPD” and »diabetes« fit.",
        "Heart rate is high in most readings from hour 8, peaking near 130 bpm.",
        "Heart rate rises from about 90 to about 120 bpm.",
        "HR swings between about 90 and 130.",
        "Heart rate was 118 at hour 8 and 131 at hour 12.",
        "Heart rate peaked at 131 at hour 12.",
        "pH is low, down to about 7.20, and 7.22 at hour 12.",
        "pH is low, lowest near 7.20.",
        "Tachycardia (up to 131).",
        "FiO2 up to 60 % or 0.6.",
        "Heart rate was 118 bpm at hour 8 and 131 beats per minute at hour 12.",
        "Heart rate peaked at 131 in the morning.",
        "SpO2 was not measured.",
        "Temperature was never measured. No measurement points to Shock.",
        "Heart rate is high in 4 of 6 readings.",
        "The patient looks ill.",
    ],
)
def test_true_sentences_are_possible(text: str) -> None:
    assert possible(text)


@pytest.mark.parametrize(
    "text",
    [
        '"productive sputum" supports Pneumonia.',
        # A quotation neither begins nor ends inside a word.
        '"roductive cough" supports it.',
        '"productive coug" supports it.',
        '"" supports it.',
        '"productive cough',
        "Heart rate is high in most readings from hour 9.",
        "Heart rate is high, peaking near 140 bpm.",
        "Heart rate was 119.",
        "Heart rate was 118 at hour 12.",
        "Heart rate rises from about 90 to about 140 bpm.",
        "Heart rate is high from hour of the morning.",
        "Heart rate is low from hour 8.",
        "pH is low, lowest near 7.10.",
        "SpO2 is low.",
        "She is febrile.",
        "Lactate was 4.",
        "Given 2 litres.",
        "Heart rate is high in 5 of 6 readings.",
        # The unit is that of another variable.
        "Heart rate is high, peaking near 130 mmHg.",
        "Heart rate is high, peaking near 130 mg/dL, in keeping with Shock.",
        "Heart rate was 131 %.",
        "Heart rate was 131% at hour 12.",
        "pH is low, lowest near 7.20 C and 7.22 at hour 12.",
    ],
)
def test_what_the_data_do_not_hold_is_not_possible(text: str) -> None:
    assert not possible(text)


def test_digits_inside_a_word_are_letters() -> None:
    assert possible("The A1c and S2 are noted.")


def test_only_given_spans_can_be_quoted() -> None:
    note = clean_note(NOTE)
    start = note.index("productive")
    about = grounding(spans=[(start, start + len("productive cough"))])
    assert possible('"productive cough" fits.', about)
    assert possible('"cough" fits.', about)
    assert not possible('"COPD" fits.', about)
    # Two spans are two texts.
    other = note.index("COPD")
    about = grounding(spans=[(start, start + 10), (other, other + 4)])
    assert possible('"productive" and "COPD" fit.', about)
    assert not possible('"productive COPD" fits.', about)


def test_without_a_note_nothing_can_be_quoted_and_without_a_series_nothing_stated() -> None:
    assert not possible('"COPD" fits.', grounding(note=""))
    assert not possible('"COPD" fits.', grounding(spans=[]))
    empty = Grounding(Facts(NOTE), NAMES, SeriesNumbers(NAMES, RANGES, None))
    for text in ("Heart rate is high.", "HR 90.", "She is tachycardic.", "Blood sugar, always."):
        assert not possible(text, empty)
    assert possible("No bedside variable was measured.", empty)
    assert possible("Heart rate was not measured.", empty)
    assert possible("There is no heartfelt complaint.", empty)


def test_a_name_inside_a_disease_is_no_statement_about_the_variable() -> None:
    unmeasured = Grounding(Facts(NOTE), NAMES, SeriesNumbers(NAMES, RANGES, None))
    for name in VOCABULARY.disease_names:
        assert possible(f'"COPD" supports {name}.', unmeasured)


def test_a_repeated_sentence_ends_the_rationale() -> None:
    about = grounding()
    once = about.after(State(), "Heart rate is high. pH is low. Heart rate is high. ")
    assert once is not None
    assert about.complete(once)
    assert about.after(once, "pH") is None


def test_the_ways_to_bind_numbers_differ_as_they_say() -> None:
    wrong, some, true = "peaking near 200 bpm.", "peaking at 122 bpm.", "peaking near 130 bpm."
    allowed = {
        numbers: [possible(f"Heart rate is high, {end}", grounding(numbers=numbers)) for end in (wrong, some, true)]
        for numbers in ("free", "readings", "statistic")
    }
    assert allowed == {
        "free": [True, True, True],
        "readings": [False, True, True],
        "statistic": [False, False, True],
    }
    with pytest.raises(SettingsError, match="choose one of"):
        SeriesNumbers(NAMES, RANGES, None, "any")


@given(note=st.text(alphabet="aB 1.,\n-'\"“»\u00e9\0", max_size=60), data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_possible_quotation_stands_in_the_note(note: str, data: st.DataObject) -> None:
    quotable = Quotable(note)
    places, words = quotable.starts, ""
    for _ in range(data.draw(st.integers(0, 20))):
        following = sorted({quotable.text[place] for place in places if quotable.text[place] != "\0"})
        if not following:
            break
        words += data.draw(st.sampled_from(following))
        places = quotable.behind(places, words[-1])
    if words and quotable.ends(places):
        assert find_spans(clean_note(note), words)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_every_part_of_the_note_between_words_can_be_quoted(data: st.DataObject) -> None:
    words = clean_note(NOTE).split()
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    assert possible(f'"{" ".join(words[first : last + 1])}" fits.')


@given(text=st.text(alphabet='ab1.,\n "hourHR%-mgHC', max_size=40))
@settings(max_examples=200, deadline=None)
def test_reading_a_text_at_once_or_by_characters_is_the_same(text: str) -> None:
    about, reached = grounding(), State()
    whole = about.after(reached, text)
    for character in text:
        after = about.after(reached, character)
        if after is None:
            assert whole is None
            return
        reached = after
    assert whole == reached


def test_words_are_quoted_once_in_a_sentence() -> None:
    assert not possible('"COPD" and "COPD" fit.')
    assert possible('"COPD" and "diabetes" fit. "COPD" fits.')


def test_a_word_that_asks_for_a_number_gets_one() -> None:
    assert not possible("Heart rate is high in some readings from hourly rounds.")
    assert not possible("Heart rate is high, up to about three.")
    assert possible("Heart rate is high in most readings from hours 8.")
    assert possible("She was seen at hourly rounds.")


@pytest.mark.parametrize("character", ["\ufffd", "\x07", "\0", "\x7f", "\t", "\u200b"])
def test_what_nobody_can_read_is_not_written(character: str) -> None:
    assert possible("Heart rate is high. The patient looks ill.")
    assert not possible(f"Heart rate is high. The {character}patient looks ill.")
    assert not possible(f'{character}"COPD" fits.')


def test_a_quotation_ends_outside_decimals_and_words() -> None:
    about = grounding(note="Lactate 6.1, pH 7.12. WBC 12.")
    for words, right in {
        "Lactate 6.1": True,
        "Lactate 6": False,
        "1, pH": False,
        "pH 7.12": True,
        "WBC 12": True,
    }.items():
        assert possible(f'"{words}" fits.', about) is right, words
        assert bool(find_spans("Lactate 6.1, pH 7.12. WBC 12.", words)) is right, words
    assert not possible('"WBC 12"fits.', about)
