"""What an intervention changes of a patient, and that it leaves everything else bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intervened_patients import make_case, make_group

from clinragen.interventions.changes import INPUTS, PAIRS, remove_each_variable
from clinragen.interventions.changes.labs_shuffled import deal
from clinragen.interventions.changes.labs_swapped import opposite
from clinragen.interventions.matching import size_of, uncited_like
from clinragen.interventions.patient import SENTENCE, VARIABLE, Case, Group, Shown, Unit, note_sentences
from modeling_clinragen.vocabulary_clinragen import Vocabulary

BY_NAME = {intervention.name: intervention for intervention in INPUTS}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_a_removed_variable_leaves_the_rest_bit_for_bit(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary)
    case = group.cases[0]
    for column, intervention in enumerate(remove_each_variable(vocabulary)):
        changed = intervention.change(case, group)
        assert changed is not None
        assert np.isnan(changed.values[:, column]).all()
        others = np.arange(len(vocabulary.variables)) != column
        assert same(changed.values[:, others], case.shown.values[:, others])
        assert same(changed.hours, case.shown.hours)
        assert changed.note == case.shown.note
    unmeasured = replace(case, shown=case.shown.with_variables([0], kept=False))
    assert remove_each_variable(vocabulary)[0].change(unmeasured, group) is None


def test_removed_sentences_leave_every_other_character(vocabulary: Vocabulary) -> None:
    for number in range(3):
        case = make_case(vocabulary, number)
        note = case.shown.note
        assert len(case.sentences) >= 3
        # Together they are the note.
        assert all(first[1] <= second[0] for first, second in zip(case.sentences, case.sentences[1:], strict=False))
        left = set(range(len(note))) - {place for span in case.sentences for place in range(*span)}
        assert not any(note[place].isalnum() for place in left)
        for index, (start, end) in enumerate(case.sentences):
            changed = case.without([Unit(SENTENCE, index)])
            assert changed.note == note[:start] + note[end:]
            assert same(changed.values, case.shown.values)


@given(st.text(max_size=80), st.lists(st.integers(0, 30)))
def test_any_text_is_cut_into_sentences_that_can_be_removed(note: str, numbers: list[int]) -> None:
    spans = note_sentences(note)
    shown = Shown(note, np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
    chosen = [spans[number] for number in numbers if number < len(spans)]
    removed = {place for span in chosen for place in range(*span)}
    assert shown.without_spans(chosen).note == "".join(
        character for place, character in enumerate(note) if place not in removed
    )
    assert all(any(character.isalnum() for character in note[slice(*span)]) for span in spans)


def test_the_patient_is_reduced_to_what_is_kept(vocabulary: Vocabulary) -> None:
    case = make_case(vocabulary, 0)
    column = vocabulary.variable_keys.index("heart_rate")
    kept = case.only([Unit(VARIABLE, column), Unit(SENTENCE, 1)])
    assert kept.measured.tolist() == [number == column for number in range(len(vocabulary.variables))]
    assert same(kept.values[:, column], case.shown.values[:, column])
    assert kept.note == case.shown.note[slice(*case.sentences[1])].strip()
    assert case.only([]).empty
    assert case.only(case.units).measured.tolist() == case.shown.measured.tolist()


def test_without_labs_or_note(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary)
    case = group.cases[1]
    without = BY_NAME["labs_removed"].change(case, group)
    assert without is not None
    assert without.given == (case.shown.note, None)
    silent = BY_NAME["note_removed"].change(case, group)
    assert silent is not None
    assert silent.given[0] is None
    assert same(silent.values, case.shown.values)
    # Nothing would be left.
    only_note = replace(case, shown=without)
    assert BY_NAME["labs_removed"].change(only_note, group) is None
    assert BY_NAME["note_removed"].change(only_note, group) is None


def test_reversed_time_keeps_readings_distances_and_ends(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary)
    case = group.cases[2]
    changed = BY_NAME["time_reversed"].change(case, group)
    assert changed is not None
    assert same(changed.values, case.shown.values[::-1])
    assert (changed.hours[0], changed.hours[-1]) == (case.shown.hours[0], case.shown.hours[-1])
    assert np.diff(changed.hours) == pytest.approx(np.diff(case.shown.hours)[::-1], abs=1e-4)
    assert changed.note == case.shown.note


def test_shuffled_labs_are_all_used_once_and_never_a_persons_own(vocabulary: Vocabulary) -> None:
    for seed in range(20):
        cases = tuple(make_case(vocabulary, number, subject=number // 3) for number in range(10))
        group = Group(cases, seed)
        dealt = deal(group)
        assert dealt is not None
        assert sorted(dealt) == list(range(10))
        assert all(cases[one].subject != cases[other].subject for one, other in enumerate(dealt))
        changed = BY_NAME["labs_shuffled"].change(cases[0], group)
        assert changed is not None
        assert same(changed.values, cases[dealt[0]].shown.values)
        assert changed.note == cases[0].shown.note
    one_person = Group(tuple(make_case(vocabulary, number, subject=7) for number in range(4)))
    assert deal(one_person) is None
    assert BY_NAME["labs_shuffled"].change(one_person.cases[0], one_person) is None
    assert BY_NAME["labs_swapped"].change(one_person.cases[0], one_person) is None


def test_the_labs_swapped_in_are_of_the_most_unlike_patient(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary)
    for case in group.cases:
        donor = opposite(case, group)
        assert donor is not None
        assert donor.subject != case.subject
        assert (donor.labels != case.labels).any()


def cited_case(vocabulary: Vocabulary, cited: list[Unit]) -> Case:
    return replace(make_case(vocabulary, 1), cited=tuple((unit, 0) for unit in cited))


def test_cited_evidence_is_set_against_as_much_uncited(vocabulary: Vocabulary) -> None:
    columns = [Unit(VARIABLE, 0), Unit(VARIABLE, 3)]
    case = cited_case(vocabulary, [Unit(SENTENCE, 1), *columns])
    group = Group((case,))
    sentences, variables = PAIRS
    for pair, cited in ((sentences, [Unit(SENTENCE, 1)]), (variables, columns)):
        with_cited, with_uncited = (one.change(case, group) for one in (pair.cited, pair.uncited))
        assert with_cited is not None
        assert with_uncited is not None
        assert with_cited.note != with_uncited.note or not same(with_cited.values, with_uncited.values)
        chosen = uncited_like(case, group, cited)
        assert chosen is not None
        assert len(chosen) == len(set(chosen)) == len(cited)
        assert not set(chosen) & set(case.cited_units())
    # Nothing is nearer in size than what was chosen.
    (chosen,) = uncited_like(case, group, [Unit(SENTENCE, 1)]) or []
    wanted = size_of(case, Unit(SENTENCE, 1))
    free = [unit for unit in case.units if unit.kind == SENTENCE and unit not in case.cited_units()]
    assert abs(size_of(case, chosen) - wanted) == min(abs(size_of(case, unit) - wanted) for unit in free)


def test_a_pair_applies_to_both_or_to_neither(vocabulary: Vocabulary) -> None:
    every = [Unit(SENTENCE, number) for number in range(4)]
    for cited in ([], every[:1], every):
        case = cited_case(vocabulary, cited)
        for pair in PAIRS:
            group = Group((case,))
            assert (pair.cited.change(case, group) is None) == (pair.uncited.change(case, group) is None)
    without_rationale = make_case(vocabulary, 1)
    assert PAIRS[0].cited.change(without_rationale, Group((without_rationale,))) is None
