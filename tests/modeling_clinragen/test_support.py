"""Which diseases a sentence may name: diagnosed ones that the evidence in it supports, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.grounding_clinragen import Facts, Grounding, State
from modeling_clinragen.numbers_clinragen import SeriesNumbers, VariableNames
from modeling_clinragen.support_clinragen import DiseaseNames, Support

VOCABULARY = shipped_definitions().vocabulary
NAMES = VariableNames(VOCABULARY)
DISEASES = VOCABULARY.disease_names
KEYS = VOCABULARY.name_of_disease
SHOCK, HEART, PNEUMONIA, SEPSIS = (
    KEYS[key] for key in ("shock", "congestive_heart_failure", "pneumonia", "septicemia")
)
NOTE = "Leg edema and orthopnea. Fever with a productive cough, on oxygen."
SUPPORT = Support(
    phrases={
        "Leg edema": frozenset({HEART}),
        "orthopnea": frozenset({HEART}),
        "Fever": frozenset({PNEUMONIA, SEPSIS}),
        "productive cough": frozenset({PNEUMONIA}),
    },
    signs={
        ("heart_rate", "high"): frozenset({SHOCK, SEPSIS}),
        ("heart_rate", "low"): frozenset({HEART}),
        ("temperature", "high"): frozenset({PNEUMONIA, SEPSIS}),
    },
    noted=frozenset({HEART, PNEUMONIA, SEPSIS}),
    signed=frozenset({SHOCK, SEPSIS}),
)
ALL = frozenset((SHOCK, HEART, PNEUMONIA, SEPSIS))
KNOWN = DiseaseNames(DISEASES, NAMES, SUPPORT)
UNKNOWN = DiseaseNames(DISEASES, NAMES, None)


def grounding(support: Support | None = SUPPORT) -> Grounding:
    values = np.full((3, len(VOCABULARY.variables)), np.nan)
    values[:, VOCABULARY.variable_keys.index("heart_rate")] = [118, 122, 126]
    values[:, VOCABULARY.variable_keys.index("temperature")] = [38.9, 39.0, 38.8]
    series: dict[str, Any] = {"hours": np.array([0.0, 4.0, 8.0]), "values": values}
    numbers = SeriesNumbers(NAMES, VOCABULARY.range_set("clinical"), series)
    spans = None
    if support is not None:
        spans = [(NOTE.index(phrase), NOTE.index(phrase) + len(phrase)) for phrase in support.phrases]
    return Grounding(Facts(NOTE, spans, series, support), NAMES, numbers, DISEASES)


ABOUT, FREELY = grounding(), grounding(None)


def possible(text: str, listed: frozenset[str] | None = ALL, about: Grounding = ABOUT) -> bool:
    reached = about.after(State(listed=listed), text)
    return reached is not None and about.complete(reached)


@pytest.mark.parametrize(
    ("sentence", "allowed"),
    [
        # Quotations: what all of them support.
        ('"orthopnea" supports ', {HEART}),
        ('"Fever" supports ', {PNEUMONIA, SEPSIS}),
        ('"Fever" and "productive cough" support ', {PNEUMONIA}),
        ('"Fever" and "orthopnea" support ', set()),
        # Neither a part of a phrase nor more than it stands for it.
        ('"edema" supports ', set()),
        ('"cough" supports ', set()),
        ('"a productive cough, on" supports ', set()),
        ('"on oxygen" supports ', set()),
        # Statements: by variable and direction; with no direction by the variable.
        ("Heart rate is high, in keeping with ", {SHOCK, SEPSIS}),
        ("Heart rate is low, in keeping with ", {HEART}),
        ("She is tachycardic, which fits ", {SHOCK, SEPSIS}),
        ("Heart rate, which fits ", {SHOCK, SEPSIS, HEART}),
        ("pH is low, in keeping with ", set()),
        ("Heart rate is low, then temperature is high, in keeping with ", {PNEUMONIA, SEPSIS}),
        # Absences: what the source does not show.
        ("The note does not point to ", {SHOCK}),
        ("No measurement points to ", {HEART, PNEUMONIA}),
        ("Neither the note nor the measurements point to ", set()),
        # No evidence.
        ("The working diagnosis is ", {SHOCK, HEART, PNEUMONIA, SEPSIS}),
    ],
)
def test_the_evidence_of_a_sentence_decides_which_diseases_it_may_name(sentence: str, allowed: set[str]) -> None:
    assert KNOWN.allowed(sentence, ALL) == allowed
    assert KNOWN.allowed(sentence, frozenset()) == frozenset()
    # Without a knowledge base every diagnosis may be named.
    assert UNKNOWN.allowed(sentence, ALL) == ALL


@pytest.mark.parametrize("names", [KNOWN, UNKNOWN])
def test_only_what_is_listed_is_named_and_only_once(names: DiseaseNames) -> None:
    assert names.allowed('"Fever" supports ', frozenset({SEPSIS})) == {SEPSIS}
    assert SEPSIS not in names.allowed(f'"Fever" supports {SEPSIS} and ', ALL)
    # While nothing is listed yet, as where the rationale comes first, every disease may be.
    assert names.allowed("The working diagnosis is ", None) == frozenset(DISEASES)


@pytest.mark.parametrize(
    "text",
    [
        f'"orthopnea" supports {HEART}.',
        f'"Fever" supports {PNEUMONIA} and {SEPSIS}.',
        f'"Fever" and "productive cough" support {PNEUMONIA}.',
        f"Heart rate is high, in keeping with {SHOCK}, and {SEPSIS}.",
        f"The note itself does not point to {SHOCK}.",
        f"No measurement points to {HEART}.",
        # A name begins like a word, and a sentence like a name.
        "Shocking news.",
        "Other things are well.",
        "Septic or not, heart rate is high.",
    ],
)
def test_sentences_that_the_evidence_bears_out_are_possible(text: str) -> None:
    assert possible(text)
    assert possible(f"Heart rate is high. {text}")


@pytest.mark.parametrize(
    "text",
    [
        f'"orthopnea" supports {PNEUMONIA}.',
        f'"Fever" supports {HEART}.',
        f'"Fever" supports {PNEUMONIA} and {PNEUMONIA}.',
        f'"Fever" supports {PNEUMONIA} and {HEART}.',
        f"Heart rate is high, in keeping with {HEART}.",
        f"The note itself does not point to {HEART}.",
        f"No measurement points to {SHOCK}.",
        # Quotations that support no disease together.
        f'"Fever" and "orthopnea" support {HEART}.',
    ],
)
def test_sentences_that_it_does_not_bear_out_are_not(text: str) -> None:
    assert not possible(text)
    # A disease that is not listed is not named whatever the evidence.
    assert not possible(text, frozenset())


def test_without_a_knowledge_base_the_list_alone_restricts_the_names() -> None:
    for text in (f'"orthopnea" supports {PNEUMONIA}.', f"No measurement points to {SHOCK}."):
        assert possible(text, about=FREELY)
        assert not possible(text, frozenset({HEART}), FREELY)


@pytest.mark.parametrize(
    "words",
    ["supports", "points to", "fits", "in keeping with", "consistent with", "suggestive of", "indicative of"],
)
def test_words_behind_which_a_disease_has_to_follow_lead_nowhere_where_there_is_none(words: str) -> None:
    evidence = f"pH is low, {words}"
    assert KNOWN.leads_nowhere(evidence, ALL)
    assert KNOWN.leads_nowhere(f"{evidence} ", ALL)
    assert not KNOWN.leads_nowhere(f"Heart rate is high, {words} ", ALL)
    assert not UNKNOWN.leads_nowhere(evidence, ALL)
    # Inside a longer word there is no link.
    assert not KNOWN.leads_nowhere(f"pH is low, {words}x", ALL)


@pytest.mark.parametrize("link", [" and", ", or", " and "])
def test_a_list_goes_on_only_while_there_is_a_further_disease(link: str) -> None:
    assert KNOWN.leads_nowhere(f'"orthopnea" supports {HEART}{link}', ALL)
    assert not KNOWN.leads_nowhere(f'"Fever" supports {PNEUMONIA}{link}', ALL)
    # "And" behind something else than a disease is a word.
    assert not KNOWN.leads_nowhere(f"pH is low{link}", ALL)


@pytest.mark.parametrize(
    "text",
    [
        '"orthopnea" points to ',
        "pH is low, in keeping with ",
        # There is no second quotation, and no second disease.
        '"orthopnea" and "Leg edema" and ',
        '"productive cough" and "Fever" or',
        f'"orthopnea" supports {HEART},',
    ],
)
def test_no_text_is_possible_that_cannot_become_a_sentence(text: str) -> None:
    listed = frozenset((HEART, PNEUMONIA)) if "orthopnea" not in text or HEART in text else frozenset((PNEUMONIA,))
    assert ABOUT.after(State(listed=listed), text) is None
    for size in range(1, len(text)):
        # By characters it is the same.
        reached = ABOUT.after(State(listed=listed), text[:size])
        if reached is not None:
            assert ABOUT.after(reached, text[size:]) is None


def test_a_list_of_diseases_goes_on_with_a_comma_while_there_is_one() -> None:
    assert possible(f'"Fever" supports {PNEUMONIA}, {SEPSIS}.')
    assert not possible(f'"Fever" supports {PNEUMONIA}, as it seems.', frozenset((PNEUMONIA,)))
    assert possible(f'"Fever" supports {PNEUMONIA}, as it seems.', frozenset((PNEUMONIA,)), FREELY)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_reading_at_once_or_in_pieces_is_the_same(data: st.DataObject) -> None:
    words = [*DISEASES[:4], SHOCK, HEART, SEPSIS, *(f'"{phrase}"' for phrase in SUPPORT.phrases)]
    words += [
        "Heart rate",
        "pH",
        "is high",
        "is low",
        "in most readings",
        "from hour",
        "supports",
        "points to",
        "fits",
    ]
    words += [
        "in keeping with",
        "and",
        "or",
        ",",
        ".",
        "peaking near",
        "120",
        "8",
        "does not",
        "The note",
        "Shockingly",
    ]
    text = " ".join(data.draw(st.lists(st.sampled_from(words), max_size=9))).replace(" ,", ",").replace(" .", ".")
    listed = data.draw(st.sampled_from([ALL, None, frozenset((SEPSIS,))]))
    whole = ABOUT.after(State(listed=listed), text)
    reached: State | None = State(listed=listed)
    place = 0
    while place < len(text) and reached is not None:
        size = data.draw(st.integers(1, 12))
        reached = ABOUT.after(reached, text[place : place + size])
        place += size
    assert reached == whole


def test_a_phrase_fits_where_it_supports_a_disease_that_may_still_be_named() -> None:
    assert KNOWN.fits("Fever", "", ALL)
    assert KNOWN.fits("productive cough", '"Fever" and ', ALL)
    assert not KNOWN.fits("orthopnea", '"Fever" and ', ALL)
    assert not KNOWN.fits("orthopnea", "", frozenset({SHOCK}))
    assert not KNOWN.fits("on oxygen", "", ALL)
    assert UNKNOWN.fits("on oxygen", "", ALL)
    assert possible('"Fever" ', about=ABOUT)
    assert not possible('"Fever" ', frozenset({SHOCK}))


@given(
    evidence=st.lists(st.sampled_from(sorted(SUPPORT.phrases)), min_size=1, max_size=3, unique=True),
    named=st.lists(st.sampled_from(sorted(DISEASES)), min_size=1, max_size=3, unique=True),
    listed=st.frozensets(st.sampled_from(sorted(ALL))),
)
@settings(max_examples=200, deadline=None)
def test_exactly_what_every_quotation_supports_and_the_list_holds_can_be_named(
    evidence: list[str], named: list[str], listed: frozenset[str]
) -> None:
    quoted = " and ".join(f'"{phrase}"' for phrase in evidence)
    shown = listed.intersection(*(SUPPORT.phrases[phrase] for phrase in evidence))
    text = f"{quoted} support {' and '.join(named)}."
    assert possible(text, listed) == (set(named) <= shown)


def test_with_a_knowledge_base_only_whole_phrases_are_quoted() -> None:
    """A part of one may mean something else, as "hypertension" in "portal hypertension" does."""
    for phrase, diseases in SUPPORT.phrases.items():
        (name, *_) = sorted(diseases)
        assert possible(f'"{phrase}" supports {name}.')
        words = phrase.split()
        for part in (words[0], words[-1], phrase[:3], phrase[1:]):
            assert part == phrase or not possible(f'"{part}" supports {name}.'), part
            assert part == phrase or ABOUT.after(State(listed=ALL), f'"{part}"') is None, part
    assert possible('"edema" supports Shock.', about=FREELY)
