"""Free wording: sentences by kind, and what must hold whatever the wording."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import yaml
from claim_cases import CASES as CLINICAL
from claim_cases import VOCABULARY, by_variable, check, series_of
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen import claims as claims_room
from clinragen.claims.check import check_rationale
from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon
from dataset_builder.contract.lab_series import LabSeries

CONTENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "data" / "claim_wordings.yaml").read_text("utf-8")
)
SERIES: dict[str, LabSeries] = {name: series_of(data) for name, data in CONTENT["series"].items()}
CASES = [case for cases in CONTENT["kinds"].values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['of']}: {case['say'][:70]}")
def test_free_wording(case: dict[str, Any]) -> None:
    claims = check_rationale(case["say"], SERIES[case["of"]])
    assert by_variable(claims) == case["expect"], [(claim.kind, claim.text, claim.evidence) for claim in claims]


# A statement is supported only if every word that could change it was read.

TRUE = {"heart_rate": "the heart rate was 130", "temperature": "the temperature was 39.4"}


@pytest.mark.parametrize(
    "word", ["hardly ever was there a sign that", "nobody thinks that", "it was wrong that", "few of those for whom"]
)
@pytest.mark.parametrize("key", TRUE)
def test_a_word_that_is_not_read_leaves_the_statement_open(word: str, key: str) -> None:
    assert by_variable(check(f"{TRUE[key].capitalize()}.")) == {key: "S"}
    assert by_variable(check(f"{word.capitalize()} {TRUE[key]}.")) in ({key: "U"}, {})


@pytest.mark.parametrize("place", ["in the ambulance", "on the ward", "at home", "before admission", "at triage"])
@pytest.mark.parametrize("value", [130, 199])
def test_what_happened_elsewhere_is_not_checked(place: str, value: int) -> None:
    for text in (f"{place.capitalize()}, the heart rate was {value}.", f"Heart rate was {value} {place}."):
        assert by_variable(check(text)) == {"heart_rate": "U"}, text


DETERMINERS = {
    "None of the": lambda share: share == 0,
    "Not one of the": lambda share: share == 0,
    "All": lambda share: share == 1,
    "Every one of the": lambda share: share == 1,
    "Most of the": lambda share: share > 0.5,
    "The majority of": lambda share: share > 0.5,
}


@given(st.lists(st.integers(60, 140), min_size=3, max_size=12), st.sampled_from(sorted(DETERMINERS)))
@settings(max_examples=150, deadline=None)
def test_a_determiner_counts_the_readings(values: list[int], determiner: str) -> None:
    series = series_of({"hours": list(range(len(values))), "heart_rate": values})
    holds = DETERMINERS[determiner](sum(value > 100 for value in values) / len(values))
    claims = check_rationale(f"{determiner} heart rate readings were above 100.", series)
    assert by_variable(claims) == {"heart_rate": "S" if holds else "C"}


COUNTED = st.lists(st.integers(60, 140), min_size=6, max_size=12)
SIDES = {"first": lambda values, size: values[:size], "last": lambda values, size: values[-size:]}
WORDS = ("one", "two", "three", "four", "five")


@given(COUNTED, st.sampled_from(sorted(SIDES)), st.integers(3, 5), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_a_count_within_the_first_or_last_readings(values: list[int], side: str, size: int, count: int) -> None:
    series = series_of({"hours": list(range(len(values))), "heart_rate": values})
    holds = sum(value > 100 for value in SIDES[side](values, size)) == count
    text = f"{WORDS[count - 1].capitalize()} of the {side} {WORDS[size - 1]} heart rate readings were above 100."
    assert by_variable(check_rationale(text, series)) == {"heart_rate": "S" if holds else "C"}


RIVALS = {"exceeded": 1, "was higher than": 1, "was above": 1, "was lower than": -1, "fell below": -1}


@given(st.integers(60, 140), st.integers(60, 140), st.sampled_from(sorted(RIVALS)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_two_variables_are_compared_at_the_time_given(rate: int, pressure: int, verb: str, leads: bool) -> None:
    series = series_of(
        {"hours": [0, 4, 8], "heart_rate": [100, rate, 100], "systolic_blood_pressure": [101, pressure, 99]}
    )
    said = f"the heart rate {verb} the systolic pressure"
    text = f"At hour 4 {said}." if leads else f"{said.capitalize()} at hour 4."
    verdict = "S" if RIVALS[verb] * (rate - pressure) > 0 else "C"
    assert by_variable(check_rationale(text, series)) == {"heart_rate": verdict, "systolic_blood_pressure": verdict}


@pytest.mark.parametrize(
    "text", ["The tachycardia was due to {0}.", "Tachycardic from {0}.", "The heart rate rose because of {0}."]
)
@pytest.mark.parametrize("cause", ["dehydration", "a ruptured spleen", "pain", "the fever", "blenting"])
def test_a_cause_is_never_supported(text: str, cause: str) -> None:
    series = series_of({"hours": [0, 4, 8, 12], "heart_rate": [100, 112, 124, 136], "temperature": [39.0] * 4})
    assert by_variable(check_rationale(text.format(cause), series))["heart_rate"] == "U"
    slow = series_of({"hours": [0, 4, 8, 12], "heart_rate": [88, 80, 74, 70], "temperature": [39.0] * 4})
    assert by_variable(check_rationale(text.format(cause), slow))["heart_rate"] == "C"


@pytest.mark.parametrize("phrase", ["no fever since", "has been afebrile ever since", "was not febrile again"])
@pytest.mark.parametrize("last", [36.9, 38.8])
def test_a_time_that_refers_back_begins_at_the_one_before(phrase: str, last: float) -> None:
    series = series_of({"hours": [0, 4, 8, 12, 16, 20], "temperature": [39.1, 39.4, 38.7, 36.8, last, last]})
    subject = "and " if phrase.startswith("no") else "and she "
    text = f"The temperature was 36.8 at hour 12 {subject}{phrase}."
    assert by_variable(check_rationale(text, series)) == {"temperature": "S" if last < 38 else "C"}


SUPERLATIVES = {"highest": max, "fastest": max, "maximum": max, "lowest": min, "slowest": min, "minimum": min}
ORDERS = ("The {0} heart rate was {1}.", "{1} was the {0} heart rate.", "{0} HR {1}.")


@given(
    st.lists(st.integers(60, 140), min_size=3, max_size=12, unique=True),
    st.sampled_from(sorted(SUPERLATIVES)),
    st.sampled_from(ORDERS),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_superlative_is_the_extreme_in_any_order(
    values: list[int], word: str, order: str, data: st.DataObject
) -> None:
    series = series_of({"hours": list(range(len(values))), "heart_rate": values})
    said = data.draw(st.sampled_from(values))
    claims = check_rationale(order.format(word, said), series)
    assert by_variable(claims) == {"heart_rate": "S" if said == SUPERLATIVES[word](values) else "C"}


@given(st.lists(st.sampled_from([case["say"] for case in CLINICAL["sentences"]]), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_text_has_the_tokens_of_its_sentences(sentences: list[str]) -> None:
    ended = [text if text.endswith((".", "!")) else f"{text}." for text in sentences]
    text, lexicon = " ".join(ended), load_lexicon(VOCABULARY)
    alone = [token.kind for one in ended for token in tokenize(one, lexicon)]
    assert [token.kind for token in tokenize(text, lexicon)] == alone


@pytest.mark.parametrize("end", [", peaking near 180 bpm.", " (peaking near 180 bpm)."])
def test_a_number_behind_an_interpretation_is_not_passed_over(end: str) -> None:
    claims = check(f"Heart rate is high, in keeping with Shock{end}")
    assert by_variable(claims) == {"heart_rate": "U"}
    # A number of something else changes nothing.
    assert by_variable(check("Heart rate is high, with lactate peaking at 6.2.")) == {"heart_rate": "S"}


# What is not known leaves a statement open, whatever it is; it may still be wrong.

UNKNOWN = ("vraxed", "quonk", "zorbic", "blenting", "oopsed")
TRUE_AND_FALSE = (
    ("The heart rate {0} peaked at {1}.", "130", "150"),
    ("{0} heart rate was {1}.", "130", "150"),
    ("The heart rate was {0} up to {1} bpm.", "130", "150"),
    ("The heart rate {0} to {1}.", "130", "150"),
)


@pytest.mark.parametrize("word", UNKNOWN)
@pytest.mark.parametrize(("sentence", "true", "false"), TRUE_AND_FALSE)
def test_an_unknown_word_leaves_a_statement_open(sentence: str, true: str, false: str, word: str) -> None:
    assert by_variable(check(sentence.format(word, true).capitalize())) == {"heart_rate": "U"}
    assert by_variable(check(sentence.format(word, false).capitalize())) in ({"heart_rate": "C"}, {"heart_rate": "U"})


@pytest.mark.parametrize(
    "end", ["on norepinephrine", "despite two quonks", "in a young man", "amid sedation", "clearly"]
)
def test_a_known_word_behind_a_preposition_changes_nothing(end: str) -> None:
    assert by_variable(check(f"The heart rate peaked at 130 {end}.")) == {"heart_rate": "S"}


def test_a_number_that_nothing_takes_up_leaves_what_is_before_it_open() -> None:
    assert by_variable(check("The heart rate rose to 130 and then vraxed off to 92.")) == {"heart_rate": "U"}


@given(st.lists(st.integers(60, 140), min_size=3, max_size=8, unique=True), st.data())
@settings(max_examples=100, deadline=None)
def test_no_claim_is_supported_whose_words_include_a_contradicted_part(values: list[int], data: st.DataObject) -> None:
    series = series_of({"hours": list(range(len(values))), "heart_rate": values})
    wrong = max(values) + data.draw(st.integers(5, 40))
    claims = check_rationale(f"Heart rate peaked at {wrong} and was {values[-1]} at the last reading.", series)
    assert {claim.verdict for claim in claims} == {"contradicted"}


@given(st.lists(st.integers(60, 140), min_size=4, max_size=10, unique=True), st.integers(1, 3), st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_first_and_the_last_readings_are_counted_from_their_end(values: list[int], count: int, last: bool) -> None:
    series = series_of({"hours": list(range(len(values))), "heart_rate": values})
    side, chosen = ("last", values[-count - 1 :]) if last else ("first", values[: count + 1])
    limit = min(chosen)
    words = ("two", "three", "four")
    text = f"The {side} {words[count - 1]} heart rates were all above {{}}."
    assert by_variable(check_rationale(text.format(limit - 1), series)) == {"heart_rate": "S"}
    assert by_variable(check_rationale(text.format(max(values)), series)) == {"heart_rate": "C"}


@given(st.integers(60, 140), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_a_rise_and_a_fall_are_each_judged_by_their_part_of_the_time(start: int, up: int, down: int) -> None:
    rise, fall = 25 + up, 25 + down
    top = start + rise
    values = [start, start + rise // 2, top, top - fall // 2, top - fall]
    series = series_of({"hours": [0, 4, 8, 12, 16], "heart_rate": values})
    for text in ("Heart rate rose and then fell.", "Heart rate fell after rising.", "Heart rate rose before falling."):
        assert by_variable(check_rationale(text, series)) == {"heart_rate": "S"}, text
    assert by_variable(check_rationale("Heart rate fell and then rose.", series))["heart_rate"] != "S"


def test_no_module_keeps_a_text() -> None:
    modules = [import_module(f"clinragen.claims.{found.name}") for found in iter_modules(claims_room.__path__)]
    kept = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, functools._lru_cache_wrapper)
    }
    check("Heart rate was 130.")
    before = {value: value.cache_info().currsize for value in kept}
    check("The heart rate of this patient was 130 at hour 20, said nobody before.")
    assert kept
    assert before == {value: value.cache_info().currsize for value in kept}
