"""Nothing is supported by half a sentence: a word or number that is not understood leaves it open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from claim_cases import KNOWLEDGE, VOCABULARY, by_variable, check, series_of
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.claims.check import check_rationale
from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon

DATA = Path(__file__).resolve().parents[2] / "data"
LEFT: list[dict[str, Any]] = yaml.safe_load((DATA / "claim_unread.yaml").read_text("utf-8"))
SERIES = {
    name: series_of(columns)
    for name, columns in yaml.safe_load((DATA / "claim_wordings.yaml").read_text("utf-8"))["series"].items()
}
RISING = series_of({"hours": [0, 4, 8, 12, 16], "heart_rate": [84, 96, 112, 124, 130], "temperature": [39.1] * 5})

# One part each, so that there is no place in them where a word would be about something else.
TRUE = (
    "The heart rate was 130 at hour 16",
    "The heart rate rose from 84 to 130",
    "The heart rate is high in three readings",
    "The highest heart rate was 130",
    "The patient was tachycardic at hour 12",
    "The heart rate was never above 135",
    "At hour 8 the heart rate was 112",
    "HR 124 on the fourth reading",
    "The temperature stayed above 38",
)
UNKNOWN = ("florbly", "florb", "florbed", "zorbic", "quonks", "vraxing")


@pytest.mark.parametrize("text", TRUE)
def test_the_sentences_are_supported_as_they_are(text: str) -> None:
    if text != TRUE[7]:
        assert set(by_variable(check_rationale(f"{text}.", RISING)).values()) == {"S"}


@given(st.sampled_from(TRUE), st.sampled_from(UNKNOWN), st.data())
@settings(max_examples=300, deadline=None)
def test_an_unknown_word_never_leaves_a_sentence_supported(text: str, word: str, data: st.DataObject) -> None:
    words = text.split()
    place = data.draw(st.integers(0, len(words)))
    said = " ".join([*words[:place], word, *words[place:]])
    assert "S" not in by_variable(check_rationale(f"{said}.", RISING)).values(), said


@given(
    st.sampled_from(TRUE),
    st.sampled_from(UNKNOWN),
    st.sampled_from(("in", "at", "for", "of", "from", "during", "on", "by", "to", "within", "after", "before", "per")),
    st.sampled_from(("{0}, {1} {2}.", "{1} {2}, {0}.", "{0} {1} the {2}.", "{1} a {2} {0}.")),
)
@settings(max_examples=300, deadline=None)
def test_an_unknown_word_behind_a_preposition_is_about_the_whole_sentence(
    text: str, word: str, preposition: str, order: str
) -> None:
    said = order.format(text, preposition, word)
    assert "S" not in by_variable(check_rationale(said, RISING)).values(), said


@pytest.mark.parametrize(
    "text",
    [
        "Florb, the heart rate was 130 at hour 16.",
        "The heart rate was 130 at hour 16, no florb.",
        "The heart rate was 130 at hour 16; florb in a quonk.",
        "The heart rate was 130 at hour 16, which suggests a florb of the quonk.",
        "The heart rate was 130 at hour 16: florb or a quonk after vraxing.",
        "The heart rate was 130 at hour 16 after florb 5 mg.",
        "The heart rate was 130 at hour 16 despite 2 L of florb.",
        "The heart rate was 130 at hour 16 on norepinephrine.",
        "Lactate 4.2, WBC 18, HR 130.",
    ],
)
def test_harmless_places(text: str) -> None:
    assert by_variable(check_rationale(text, RISING)) == {"heart_rate": "S"}


@pytest.mark.parametrize("word", UNKNOWN)
def test_what_is_wrong_stays_wrong(word: str) -> None:
    for text in (f"The heart rate was 190 in the {word}.", f"The {word} heart rate was 190."):
        assert by_variable(check_rationale(text, RISING)) == {"heart_rate": "C"}


@pytest.mark.parametrize(
    "text", ["From 70, the heart rate was 130.", "130 and readings at 50, the heart rate was 84."]
)
def test_a_number_that_belongs_to_nothing_leaves_the_sentence_open(text: str) -> None:
    assert "S" not in by_variable(check_rationale(text, RISING)).values()


@pytest.mark.parametrize("case", LEFT, ids=lambda case: case["say"][:70])
def test_known_sentences_that_are_left_open(case: dict[str, Any]) -> None:
    expected = {**case["expect"], **dict.fromkeys(case["left"], "U")}
    assert by_variable(check_rationale(case["say"], SERIES[case["of"]])) == expected


def test_every_meaning_of_the_knowledge_base_explains() -> None:
    lexicon = load_lexicon(VOCABULARY)
    meanings = {sign.meaning for disease in KNOWLEDGE.diseases for sign in disease.signs if sign.meaning}
    assert len(meanings) > 20
    for meaning in sorted(meanings):
        kinds = {token.kind for token in tokenize(meaning, lexicon)}
        if kinds <= {"word", "soft", "filler", "conjunction", "comma"}:
            text = f"The temperature is high in most readings: {meaning} in Shock."
            assert by_variable(check_rationale(text, RISING)) == {"temperature": "S"}, text


def test_a_word_is_listed_once() -> None:
    content = (Path(__file__).resolve().parents[3] / "clinragen/claims/resources/plain_words.yaml").read_text("utf-8")
    manner = re.search(r"^manner:\n(.*)\Z", content, re.MULTILINE | re.DOTALL)
    assert manner is not None
    words = [word.strip(" []\n") for word in manner[1].split(",")]
    assert len(words) == len(set(words)) > 100


def test_a_word_of_manner_changes_nothing_and_an_invented_one_does() -> None:
    assert by_variable(check("Heart rate strikingly peaked at 130.")) == {"heart_rate": "S"}
    assert by_variable(check("Heart rate florbly peaked at 130.")) == {"heart_rate": "U"}
