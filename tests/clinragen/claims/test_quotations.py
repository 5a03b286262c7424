"""One meaning of a quotation for filter, lexer and note checker; and who says whether a past mention still counts."""

from __future__ import annotations

import dataclasses
import re

import pytest
from claim_cases import CASES, CHECKING, KNOWLEDGE, SERIES, VOCABULARY, example_of

from clinragen.claims.check import CONTRADICTED, SUPPORTED, UNVERIFIABLE, check_rationale
from clinragen.claims.filter import filter_rationale, named_diseases
from clinragen.claims.judge import RationaleJudge
from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.quotations import MAX_LENGTH, QUOTATION, has_stray_mark
from clinragen.claims.rationale import Rationale
from clinragen.knowledge import KnowledgeBase

LEXICON = load_lexicon(VOCABULARY)
# Texts with the quotations in them. Shock is a disease, tachycardia a statement, wherever it is read.
ODD = [
    ('The note says "Shock and tachycardia".', ['"Shock and tachycardia"']),
    ("The note says “Shock and tachycardia”.", ["“Shock and tachycardia”"]),
    ("The note says „Shock and tachycardia“.", ["„Shock and tachycardia“"]),
    ("The note says „Shock and tachycardia”.", ["„Shock and tachycardia”"]),
    ("The note says ”Shock and tachycardia”.", ["”Shock and tachycardia”"]),
    ("The note says «Shock and tachycardia».", ["«Shock and tachycardia»"]),
    ("The note says »Shock and tachycardia«.", ["»Shock and tachycardia«"]),
    ('The note says “Shock and tachycardia".', ['“Shock and tachycardia"']),
    ('The note says "Shock and tachycardia”.', ['"Shock and tachycardia”']),
    ("The note says “Shock and tachycardia“.", ["“Shock and tachycardia“"]),
    ('The note says "" and "Shock".', ['""', '"Shock"']),
    ('The note says " " and “Shock”.', ['" "', "“Shock”"]),
    ("„Shock“, «Shock» and “Shock”.", ["„Shock“", "«Shock»", "“Shock”"]),
    (f'"Shock {"x" * (MAX_LENGTH - 6)}".', [f'"Shock {"x" * (MAX_LENGTH - 6)}"']),
    ("The patient's 'Shock' is not quoted.", []),
    ('The note says "Shock and\ntachycardia".', []),
    (f'"Shock {"x" * (MAX_LENGTH - 5)}".', []),
    ('The note says "Shock and tachycardia.', []),
    ("The note says Shock and tachycardia„.", []),
]


@pytest.mark.parametrize(("text", "quotations"), ODD, ids=lambda value: str(value)[:40])
def test_the_three_readers_agree_on_what_a_quotation_is(text: str, quotations: list[str]) -> None:
    spans = [found.span() for found in QUOTATION.finditer(text)]
    assert [text[slice(*span)] for span in spans] == quotations
    # The note checker makes one claim for each.
    claims = check_rationale(text, SERIES["quiet"], "No such words.")
    assert [claim.span for claim in claims if claim.kind == "note"] == spans
    # The lexer reads nothing inside, and all that is outside.
    for token in tokenize(text, LEXICON):
        assert all(token.kind == "blank" or token.end <= start or end <= token.start for start, end in spans)
    outside = "".join(part for part in re.split("|".join(map(re.escape, quotations)), text)) if quotations else text
    assert any(claim.variable == "heart_rate" for claim in claims) == ("tachycardia" in outside)
    # The filter finds no disease inside, and those outside.
    assert named_diseases(text, VOCABULARY) == ({"shock"} if "Shock" in outside else set())
    # What is malformed is a mark that belongs to none of them.
    assert has_stray_mark(text) == bool(re.search(r'["“”„«»]', outside))
    verdict = filter_rationale(text, example_of("quiet", []), CHECKING)
    assert ("malformed" in verdict.reasons) == has_stray_mark(text)


def test_an_empty_quotation_is_unverifiable() -> None:
    (claim,) = check_rationale('The note says "".', SERIES["quiet"], "A note.")
    assert (claim.verdict, claim.text) == (UNVERIFIABLE, '""')


# Whether a past mention still supports a disease is for the run's own knowledge to say.

NOTE = "Past Medical History: pneumonia and COPD."
PAST = [
    (
        '"pneumonia" supports Pneumonia (except that caused by tuberculosis or sexually transmitted disease).',
        "pneumonia",
    ),
    ('"COPD" supports Chronic obstructive pulmonary disease and bronchiectasis.', "copd"),
]


def with_history(key: str, counts: bool) -> KnowledgeBase:
    """The shipped knowledge with one disease's say on past mentions."""
    diseases = tuple(
        dataclasses.replace(one, history_counts=counts) if one.key == key else one for one in KNOWLEDGE.diseases
    )
    return dataclasses.replace(KNOWLEDGE, diseases=diseases)


@pytest.mark.parametrize(("text", "key"), PAST, ids=["acute", "chronic"])
def test_the_knowledge_of_the_run_says_whether_history_counts(text: str, key: str) -> None:
    shipped = KNOWLEDGE.disease(key).history_counts
    for counts in (True, False):
        claims = check_rationale(text, SERIES["quiet"], NOTE, knowledge=with_history(key, counts))
        (claim,) = (claim for claim in claims if claim.kind == "note")
        assert claim.verdict == (SUPPORTED if counts else CONTRADICTED)
    (default,) = check_rationale(text, SERIES["quiet"], NOTE)
    assert (default.verdict == SUPPORTED) == shipped == (key == "copd")


def test_filter_and_judge_use_the_history_they_are_given() -> None:
    text, key = PAST[0]
    name = VOCABULARY.name_of_disease[key]
    example = {**example_of("quiet", [name]), "note": NOTE}
    own = dataclasses.replace(CHECKING, knowledge=with_history(key, True))
    assert filter_rationale(text, example, CHECKING).reasons == ("contradicted_note",)
    assert filter_rationale(text, example, own).kept
    rationale = Rationale(text, "The measurements do not help.")
    assert not RationaleJudge("somebody", CHECKING).judge(example, rationale).kept
    assert RationaleJudge("somebody", own).judge(example, rationale).kept


def test_a_name_of_a_disease_may_break_a_line_for_every_reader() -> None:
    text = 'The "cough" fits chronic obstructive\npulmonary disease and bronchiectasis.'
    assert named_diseases(text, VOCABULARY) == {"copd"}
    assert LEXICON.diseases_in(text) == {"copd"}
    blanks = [token for token in tokenize(text, LEXICON) if token.kind == "blank"]
    assert [text[token.start : token.end] for token in blanks][-1].endswith("bronchiectasis")


def test_the_cases_have_quotations_of_their_own() -> None:
    assert sum('"' in case["say"] for case in CASES["sentences"]) >= 5


@pytest.mark.parametrize(
    "sentence",
    [
        'The note mentions "AV block" only as history.',
        'The note has "AV block" as past history.',
        '"AV block" is history.',
        'It mentions "AV block" in the past.',
        'The patient had "AV block" years ago.',
        'The note mentions a history of "AV block".',
    ],
)
def test_what_is_told_as_history_may_be_history(sentence: str) -> None:
    note = "Past Medical History:\n- h/o transient AV block in ___, no recurrence"
    (claim,) = check_rationale(sentence, SERIES["quiet"], note)
    assert claim.verdict == SUPPORTED
    # It must be in the note all the same, and told as now it is not true.
    assert check_rationale(sentence, SERIES["quiet"], "No such words.")[0].verdict == CONTRADICTED
    assert check_rationale('The note mentions "AV block".', SERIES["quiet"], note)[0].verdict == CONTRADICTED
