"""Insertions between a cue and its object, statements in a list of negations, and people whose state is named."""

from __future__ import annotations

import pytest

from clinragen.claims.check import CONTRADICTED, SUPPORTED
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.note_checker import NoteChecker
from clinragen.text.context import load_context_rules, read_context
from clinragen.text.context_lists import object_place, statement_start
from dataset_builder.contract.definitions import shipped_definitions

RULES = load_context_rules()


def effects(note: str, words: str) -> set[str]:
    """The effects on the first place of some words."""
    start = note.index(words)
    return read_context(note, RULES).effects(start, start + len(words))


@pytest.mark.parametrize("word", ["gout", "sepsis", "lymphoma"])
@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("There is no sign of, or complaint of, {}.", {"negated"}),
        ("Compatible with, but not diagnostic of, {}.", {"uncertain"}),
        ("Suggestive of, but does not prove, {}.", {"uncertain"}),
        ("Suspicious for, though not diagnostic of, {}.", {"uncertain"}),
    ],
)
def test_an_insertion_does_not_part_a_cue_from_its_object(word: str, sentence: str, right: set[str]) -> None:
    assert effects(sentence.format(word), word) == right


def test_a_comma_without_an_insertion_ends_nothing_and_begins_nothing() -> None:
    assert not effects("Cough, but no fever, chills present.", "Cough")
    text = "no sign of, or complaint of, gout"
    assert text[object_place(text, 0, (0, 10), len(text)) :] == " gout"
    text = "denies, gout"
    assert object_place(text, 0, (0, 6), len(text)) == 6


@pytest.mark.parametrize("negation", ["No", "Denies", "Without"])
@pytest.mark.parametrize("verb", ["persists", "has worsened", "is productive", "developed overnight"])
def test_an_item_with_a_verb_is_not_part_of_a_negated_list(negation: str, verb: str) -> None:
    note = f"{negation} rigors, cough {verb}."
    assert effects(note, "rigors") == {"negated"}
    assert not effects(note, "cough")
    assert effects(f"{negation} rigors, cough.", "cough") == {"negated"}


@pytest.mark.parametrize("verb", ["are seen", "have been noted", "or cough developed"])
def test_the_verb_of_a_finding_keeps_the_list_together(verb: str) -> None:
    assert "negated" in effects(f"Denies rigors, nodules, tremor {verb}.", "nodules")


def test_a_list_ends_behind_what_was_seen_unless_the_cue_crosses_commas() -> None:
    text = "fracture seen, laceration sutured"
    parts = [text.index(","), len(text)]
    assert statement_start(text, 0, parts, len(text), crosses=False) == parts[0]
    assert statement_start(text, 0, parts, len(text), crosses=True) == len(text)


@pytest.mark.parametrize(
    "person", ["Never smoker", "Never-drinker", "Never intubated asthmatic", "Former IV drug user"]
)
def test_what_a_person_is_not_or_was_says_nothing_of_what_the_person_has(person: str) -> None:
    assert not effects(f"{person} with ascites.", "ascites")
    assert effects(f"{person} without ascites.", "ascites") == {"negated"}


@pytest.mark.parametrize("relative", ["(mother)", "- his father, an aunt", ": maternal uncle", "(two sisters)"])
def test_a_relative_behind_a_finding_has_it(relative: str) -> None:
    note = f"Lupus {relative}. Rash since May."
    assert effects(note, "Lupus") == {"family"}
    assert not effects(note, "Rash")
    assert not effects("Lupus (mother called the ambulance).", "Lupus")


@pytest.mark.parametrize("date", ["2012", "(2012)", "(3/2012)", "in 3/2012", "in March 2012", "in the 1990s"])
def test_a_date_says_when_a_condition_was_and_not_that_it_ended(date: str) -> None:
    lexicon = load_lexicon(shipped_definitions().vocabulary)
    for name, right in (("Gout", SUPPORTED), ("Mumps", CONTRADICTED)):
        (claim,) = NoteChecker(f"{name} {date}.", lexicon, {}).check(f'"{name}" stands in the note.')
        assert claim.verdict == right


def test_what_a_past_illness_left_behind_is_there() -> None:
    note = "Stroke in 2009, history of polio with residual weakness."
    assert effects(note, "polio") == {"historical"}
    assert not effects(note, "weakness")
    assert effects("No history of polio with residual weakness.", "weakness") == {"negated"}


def test_the_story_behind_a_list_of_allergies_is_no_part_of_it() -> None:
    note = "Allergies: penicillin (hives). Sulfa (rash). Presents with cough."
    assert effects(note, "hives") == effects(note, "rash") == {"hypothetical"}
    assert not effects(note, "cough")
