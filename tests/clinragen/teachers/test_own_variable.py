"""A user's own variable in the rule-based teacher: its sentences, and that filter and checker bear them out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from claim_cases import VOCABULARY, by_variable, series_of

from clinragen.claims.check import Checking, check_rationale
from clinragen.claims.filter import filter_rationale
from clinragen.knowledge import KnowledgeBase, Sign, load_knowledge
from clinragen.teachers.rules import RuleTeacher
from modeling_clinragen.vocabulary_clinragen import Range, Scale, Unit, Variable, Vocabulary

LACTATE = Variable(
    key="lactate",
    name="lactate",
    short="lactate",
    unit="mmol/L",
    text_unit="mmol/L",
    plausible=(0.0, 40.0),
    fill=1.5,
    decimals=1,
    units=(Unit(("mmol/L",)),),
    ranges=(Range("clinical", 0.5, 2.0),),
    scale=Scale(step=0.5, change=1.0, swing=0.8),
)


def with_lactate(lactate: Variable = LACTATE) -> Vocabulary:
    """Lactate stands before the shipped variables, so that every column moves."""
    return replace(VOCABULARY, variables=(lactate, *VOCABULARY.variables))


def knowledge() -> KnowledgeBase:
    """The shipped knowledge, and that lactate is a sign of shock."""
    base = load_knowledge(None, VOCABULARY)
    diseases = tuple(
        replace(entry, signs=(Sign("lactate", "high", "poor perfusion"), *entry.signs))
        if entry.key == "shock"
        else entry
        for entry in base.diseases
    )
    return replace(base, diseases=diseases)


def example(vocabulary: Vocabulary, diagnoses: list[str]) -> dict[str, Any]:
    series = series_of(
        {
            "hours": [0, 4, 8, 12, 16, 20, 24, 28],
            "lactate": [1.2, 1.4, 3.6, 4.8, 6.1, 5.2, 4.0, 3.1],
            "heart_rate": [80, 82, 84, 80, 78, 82, 84, 80],
        },
        vocabulary,
    )
    return {
        "example_id": "made-0",
        "note": "He has chills.",
        "diagnoses": diagnoses,
        "lab_hours": series.hours.tolist(),
        "lab_values": [[None if np.isnan(value) else float(value) for value in row] for row in series.values],
        "lab_observed": series.observed.tolist(),
    }


@pytest.mark.parametrize("diagnoses", [["Shock"], []])
def test_the_teacher_writes_about_it_and_the_filter_keeps_it(diagnoses: list[str]) -> None:
    vocabulary = with_lactate()
    ranges = vocabulary.range_set("clinical")
    row = example(vocabulary, diagnoses)
    for seed in range(6):
        rationale = RuleTeacher(knowledge(), vocabulary, ranges, seed).write(row)
        assert re.search(r"Lactate is high in every reading from hour 8, [a-z ]+ 6\.0 mmol/L", rationale.lab), (
            rationale
        )
        assert ("Shock" in rationale.lab) == bool(diagnoses)
        verdict = filter_rationale((rationale.note, rationale.lab), row, Checking(vocabulary, ranges, None))
        assert verdict.kept, verdict.complaints
        found = [claim for claim in verdict.claims if claim.variable == "lactate"]
        assert {claim.kind for claim in found} >= {"count", "timing", "extreme"}
        wrong = rationale.lab.replace("Lactate is high", "Lactate is low")
        series = series_of(
            {"hours": row["lab_hours"], "lactate": [values[0] for values in row["lab_values"]]}, vocabulary
        )
        assert by_variable(check_rationale(wrong, series))["lactate"] == "C"


def test_without_a_scale_or_range_the_teacher_says_nothing_about_it() -> None:
    for lactate in (replace(LACTATE, scale=None), replace(LACTATE, ranges=(), scale=None)):
        vocabulary = with_lactate(lactate)
        teacher = RuleTeacher(knowledge(), vocabulary, vocabulary.range_set("clinical"))
        for diagnoses in (["Shock"], []):
            assert "actate" not in teacher.write(example(vocabulary, diagnoses)).lab
    # With a scale and no range it is never high or low, but it may rise and fall.
    rising = with_lactate(replace(LACTATE, ranges=()))
    text = RuleTeacher(knowledge(), rising, rising.range_set("clinical")).write(example(rising, [])).lab
    assert "Lactate rises from about 1.0 to about 3.0 mmol/L" in text or "Lactate swings between" in text


def test_the_unit_in_a_sentence_is_the_text_unit() -> None:
    vocabulary = with_lactate(replace(LACTATE, text_unit=""))
    teacher = RuleTeacher(knowledge(), vocabulary, vocabulary.range_set("clinical"))
    text = teacher.write(example(vocabulary, ["Shock"])).lab
    assert "6.0" in text
    assert "mmol" not in text
