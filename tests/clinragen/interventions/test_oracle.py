"""An oracle that reads one variable only: what it rests on must come out of every question."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from intervened_patients import HeartRateOracle, make_group, shock_of

from clinragen.interventions.changes import INPUTS, PAIRS, remove_each_variable
from clinragen.interventions.effects import run_intervention
from clinragen.interventions.known_cause import NOTE, SERIES, find_causes, run_known_cause
from clinragen.interventions.patient import SENTENCE, VARIABLE, Group, Unit
from clinragen.interventions.sufficiency import (
    ALL_CITED,
    AS_MANY,
    ATTENTION,
    CITED,
    CITED_NOTE,
    CITED_SERIES,
    RANDOM,
    cited_first,
    drawn,
    run_sufficiency,
)
from dataset_builder.contract.truth import HospitalTruth, TrueCourse, TrueEvidence
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture(scope="module")
def group(vocabulary: Vocabulary) -> Group:
    """Patients whose rationales cite the heart rate, and nothing else, for shock."""
    made = make_group(vocabulary, 16)
    unit = Unit(VARIABLE, vocabulary.variable_keys.index("heart_rate"))
    cited = ((unit, shock_of(vocabulary)),)
    return Group(tuple(replace(case, cited=cited if case.labels.any() else ()) for case in made.cases))


def test_only_the_variable_that_is_read_is_necessary(vocabulary: Vocabulary, group: Group) -> None:
    ask = HeartRateOracle(vocabulary)
    before = ask([case.shown for case in group.cases])
    assert (before.listed == group.labels).all()
    for intervention in remove_each_variable(vocabulary):
        effect, rows, _ = run_intervention(intervention, group, before, ask)
        assert effect is not None
        assert len(rows) == effect["cases"] > 0
        own = intervention.name == "heart_rate"
        assert effect["lost"]["value"] == (1.0 if own else 0.0)
        assert effect["after"]["value"] == (0.0 if own else 1.0)
        assert effect["gained"]["value"] == 0.0
        assert (effect["moved"]["value"] > 0) == own


def test_the_input_interventions_find_what_it_reads(vocabulary: Vocabulary, group: Group) -> None:
    ask = HeartRateOracle(vocabulary)
    before = ask([case.shown for case in group.cases])
    after = {one.name: run_intervention(one, group, before, ask)[0] for one in INPUTS}
    assert {name: found["kept"]["value"] for name, found in after.items() if found} == {
        "labs_removed": 0.0,
        "labs_shuffled": pytest.approx(after["labs_shuffled"]["after"]["value"]),  # type: ignore[index]
        # The most unlike patient has the opposite diagnosis.
        "labs_swapped": 0.0,
        "time_reversed": 1.0,
        "note_removed": 1.0,
    }
    assert after["labs_shuffled"]["kept"]["value"] < 1.0  # type: ignore[index]


def test_the_cited_variable_alone_is_enough_and_all_others_are_not(vocabulary: Vocabulary, group: Group) -> None:
    ask = HeartRateOracle(vocabulary)
    before = ask([case.shown for case in group.cases])
    column = vocabulary.variable_keys.index("heart_rate")
    # An attention that never looks at the heart rate.
    weights = {
        ATTENTION: [{unit: float(unit != Unit(VARIABLE, column)) for unit in case.units} for case in group.cases]
    }
    found = run_sufficiency(group, before, ask, weights, count=3)
    enough, needed = found["sufficiency"], found["necessity"]
    assert enough[CITED]["kept"]["value"] == enough[ALL_CITED]["kept"]["value"] == 1.0
    assert needed[CITED]["lost"]["value"] == 1.0
    assert enough[ATTENTION]["kept"]["value"] == 0.0
    assert needed[ATTENTION]["lost"]["value"] == 0.0
    # How much more the cited evidence keeps, and costs.
    assert enough[ATTENTION]["cited_minus_this"]["f1"]["value"] == 1.0
    assert needed[ATTENTION]["cited_minus_this"]["f1"]["value"] == 1.0
    assert needed[ATTENTION]["cited_minus_this"]["lost"]["value"] == 1.0
    # The series is what is read, whatever of the note is left.
    assert enough[CITED_NOTE]["kept"]["value"] == enough[CITED_SERIES]["kept"]["value"] == 1.0
    assert CITED_NOTE not in needed
    assert enough[CITED]["units"] == enough[RANDOM + AS_MANY]["units"] == 0.5
    assert enough[RANDOM]["units"] == 3
    # Each random choice is enough exactly where it has the variable.
    hit = [Unit(VARIABLE, column) in drawn(case, group, 3) for case in group.cases if case.labels.any()]
    recall = np.mean(hit)
    assert enough[RANDOM]["after"]["value"] == pytest.approx(2 * recall / (1 + recall))


def test_cited_against_uncited_variables(vocabulary: Vocabulary, group: Group) -> None:
    ask = HeartRateOracle(vocabulary)
    before = ask([case.shown for case in group.cases])
    pair = PAIRS[1]
    cited, rows, _ = run_intervention(pair.cited, group, before, ask)
    uncited, same_rows, _ = run_intervention(pair.uncited, group, before, ask)
    assert rows == same_rows == [case.number for case in group.cases if case.labels.any()]
    assert cited is not None
    assert uncited is not None
    assert (cited["lost"]["value"], uncited["lost"]["value"]) == (1.0, 0.0)


def test_evidence_that_covers_more_diseases_comes_first(vocabulary: Vocabulary, group: Group) -> None:
    one, two, three = Unit(SENTENCE, 0), Unit(VARIABLE, 2), Unit(SENTENCE, 1)
    case = replace(group.cases[0], cited=((one, 4), (three, 4), (two, 4), (two, 9), (one, 4), (three, 1)))
    assert cited_first(case, 1) == [three]
    assert cited_first(case, 2) == [three, two]
    assert cited_first(case, 5) == [three, two, one]
    assert case.cited_units() == [one, three, two]
    assert case.cited_units(SENTENCE) == [one, three]


def test_a_known_cause_in_the_series_is_replaced_by_the_patients_normal_readings(
    vocabulary: Vocabulary, group: Group
) -> None:
    ask = HeartRateOracle(vocabulary)
    column = vocabulary.variable_keys.index("heart_rate")
    cases = []
    for case in group.cases:
        values = case.shown.values.copy()
        values[:4, column] = 75.0
        cases.append(replace(case, shown=replace(case.shown, values=values)))
    group = Group(tuple(cases))
    before = ask([case.shown for case in cases])
    sick = [case for case in cases if before.listed[case.number].any()]
    assert len(sick) == 8
    evidence = {
        case.stay: {
            "shock": TrueEvidence(("not in the note",), (TrueCourse("heart_rate", float(case.shown.hours[4]), 99.0),))
        }
        for case in sick
    }
    ranges = vocabulary.range_set("clinical")
    causes = find_causes(group, before.listed, HospitalTruth(evidence), vocabulary, ranges)
    assert [cause.case for cause in causes] == [case.number for case in sick]
    for cause in causes:
        own = group.cases[cause.case].shown
        assert (cause.source, cause.replaced) == (SERIES, True)
        assert (cause.shown.values[:, column] == 75.0).all()
        others = np.arange(own.values.shape[1]) != column
        assert cause.shown.values[:, others].tobytes() == own.values[:, others].tobytes()
    found = run_known_cause(causes, group, before, ask, None, vocabulary)
    assert found is not None
    assert set(found) == {"all", SERIES}
    assert found["all"]["gone"]["value"] == found["all"]["others_stay"]["value"] == 1.0
    assert (found["all"]["causes"], found["all"]["replaced"]) == (8, 8)
    assert "both_gone" not in found["all"]
    # Without normal readings of one's own the variable is removed.
    whole = {stay: {"shock": TrueEvidence((), (TrueCourse("heart_rate", 0.0, 99.0),))} for stay in evidence}
    removed = find_causes(group, before.listed, HospitalTruth(whole), vocabulary, ranges)
    assert [cause.replaced for cause in removed] == [False] * 8
    assert all(np.isnan(cause.shown.values[:, column]).all() for cause in removed)


def test_only_single_signs_that_show_nothing_else_are_causes(vocabulary: Vocabulary) -> None:
    group = make_group(vocabulary, 2)
    case = group.cases[1]  # "Admitted from home. Fever and chills since Monday. Melena was seen. ..."
    keys = [disease.key for disease in vocabulary.diseases]
    listed = np.ones((2, len(keys)), dtype=bool)
    ranges = vocabulary.range_set("clinical")
    course = TrueCourse("heart_rate", 0.0, 99.0)
    pressures = tuple(TrueCourse(f"{name}_blood_pressure", 0.0, 99.0) for name in ("systolic", "diastolic", "mean"))

    def causes(diseases: dict[str, TrueEvidence], listed: np.ndarray = listed) -> list[tuple[str, str]]:
        truth = HospitalTruth({case.stay: diseases})
        found = find_causes(group, listed, truth, vocabulary, ranges)
        return [(keys[cause.disease], cause.source) for cause in found]

    melena, fever = TrueEvidence(("melena",), ()), TrueEvidence(("Fever and chills",), ())
    assert causes({"gastrointestinal_hemorrhage": melena, "septicemia": fever}) == [
        ("gastrointestinal_hemorrhage", NOTE),
        ("septicemia", NOTE),
    ]
    assert causes({"gastrointestinal_hemorrhage": melena}, listed & False) == []
    # Two phrases, a phrase and a course, two variables, a shared sentence, a shared variable, nothing in the input.
    assert causes({"septicemia": TrueEvidence(("Fever", "Melena"), ())}) == []
    assert causes({"septicemia": TrueEvidence(("Fever",), (course,))}) == []
    assert causes({"shock": TrueEvidence((), (course, TrueCourse("weight", 0.0, 99.0)))}) == []
    assert causes({"septicemia": fever, "pneumonia": TrueEvidence(("chills",), ())}) == []
    assert causes({"shock": TrueEvidence((), (course,)), "septicemia": TrueEvidence((), (course,))}) == []
    assert causes({"shock": TrueEvidence((), (TrueCourse("heart_rate", 90.0, 99.0),))}) == []
    # The three numbers of one pressure are one sign.
    assert causes({"shock": TrueEvidence((), pressures)}) == [("shock", SERIES)]
    (removed,) = find_causes(group, listed, HospitalTruth({case.stay: {"septicemia": fever}}), vocabulary, ranges)
    assert removed.shown.note == case.shown.note.replace(" Fever and chills since Monday.", "")
