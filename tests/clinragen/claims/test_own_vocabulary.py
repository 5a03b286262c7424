"""A user's own variable: names, units, ranges and scale come from the vocabulary that a series brings along."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from claim_cases import VOCABULARY, by_variable, series_of

from clinragen.claims.check import SUPPORTED, UNVERIFIABLE, check_rationale
from clinragen.claims.lexicon import load_lexicon
from dataset_builder.contract.definitions import load_definitions
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Condition, Variable, VariableWords, Vocabulary

LACTATE = """
name: lactate
short: lactate
aliases: [blood lactate]
unit: mmol/L
decimals: 1
plausible: [0, 40]
fill: 1.5
units:
  - {spellings: [mmol/L]}
  - {spellings: [mg/dL], scale: 0.111}
ranges: {clinical: [0.5, 2.0], paper: [0.0, 9.0]}
scale: {step: 0.5, change: 1.0, swing: 0.8}
words:
  names: [serum lactate]
  units: {mmol per litre: mmol/L}
  conditions:
    - {words: [hyperlactatemia, hyperlactatemic], says: high}
  extremes: {lactate max: max}
"""


def own_vocabulary(folder: Path) -> Vocabulary:
    """Lactate and two shipped variables, in this order."""
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "lactate.yaml").write_text(LACTATE)
    (folder / "vocabulary.yaml").write_text(
        "format: 1\nvariables: [lactate, heart_rate, systolic_blood_pressure]\ndiseases: [shipped]\n"
    )
    return load_definitions(folder).vocabulary


@pytest.fixture
def own(tmp_path: Path) -> Vocabulary:
    return own_vocabulary(tmp_path / "vocabulary")


COLUMNS = {
    "hours": [0, 4, 8, 12, 16, 20, 24, 28],
    "lactate": [1.2, 2.4, 3.6, 4.8, 6.1, 5.2, 4.0, 3.1],
    "heart_rate": [130, 128, 126, 124, 122, 120, 118, 116],
}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Lactate is high.", "S"),
        ("Serum lactate is elevated in most readings from hour 4, peaking near 6.0 mmol/L.", "S"),
        ("Lactate is high, up to 55 mg/dL.", "S"),
        ("Lactate is high, up to 6.1 mmol per litre.", "S"),
        ("There is hyperlactatemia.", "S"),
        ("Lactate rises from 1.2 to 6.1.", "S"),
        ("Lactate max 6.1.", "S"),
        ("Blood lactate is low.", "C"),
        ("Lactate is normal.", "C"),
        ("No hyperlactatemia.", "C"),
        ("Lactate peaks near 9 mmol/L.", "C"),
        ("Lactate is stable.", "C"),
    ],
)
def test_a_variable_of_the_users_is_read_and_checked(own: Vocabulary, text: str, verdict: str) -> None:
    claims = check_rationale(text, series_of(COLUMNS, own))
    assert by_variable(claims) == {"lactate": verdict}, claims


def test_columns_are_those_of_the_series_vocabulary(own: Vocabulary) -> None:
    """With other variables in another order, heart rate is still the column of heart rate."""
    claims = check_rationale("Heart rate is high in every reading, peaking at 130 bpm.", series_of(COLUMNS, own))
    assert by_variable(claims) == {"heart_rate": "S"}
    # What the vocabulary does not have is not read; of a group, what it has.
    assert check_rationale("Temperature is high. No fever.", series_of(COLUMNS, own)) == []
    (group,) = check_rationale("The patient is hypotensive.", series_of(COLUMNS, own))
    assert (group.variable, group.verdict) == ("systolic_blood_pressure", UNVERIFIABLE)
    (half,) = check_rationale("BP 120/80.", series_of({**COLUMNS, "systolic_blood_pressure": [120.0] * 8}, own))
    assert (half.variable, half.verdict) == ("systolic_blood_pressure", SUPPORTED)


def test_two_vocabularies_are_used_side_by_side(own: Vocabulary) -> None:
    shipped = series_of({"hours": [0, 1, 2], "temperature": [39.0, 39.2, 39.1]})
    for _ in range(2):
        assert by_variable(check_rationale("Lactate is high. Fever.", series_of(COLUMNS, own))) == {"lactate": "S"}
        assert by_variable(check_rationale("Lactate is high. Fever.", shipped)) == {"temperature": "S"}


def test_without_a_range_it_is_never_judged_and_without_a_scale_its_trend_is_open(own: Vocabulary) -> None:
    lactate = own.variable("lactate")
    bare = replace(own, variables=(replace(lactate, ranges=(), scale=None), *own.variables[1:]))
    series = series_of(COLUMNS, bare)
    for text in ("Lactate is high.", "Lactate is normal.", "Lactate rises.", "Lactate improves."):
        assert by_variable(check_rationale(text, series)) == {"lactate": "U"}, text
    # Numbers need neither; without a scale, "about" is as exact as the number's own digits.
    assert by_variable(check_rationale("Lactate peaks at 6.1.", series)) == {"lactate": "S"}
    assert by_variable(check_rationale("Lactate peaks at about 5.9.", series)) == {"lactate": "C"}
    assert by_variable(check_rationale("Lactate peaks at about 5.9.", series_of(COLUMNS, own))) == {"lactate": "S"}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (VariableWords(conditions=(Condition(("acidic",), "hihg"),)), "'weight': a condition says 'hihg'"),
        (VariableWords(extremes=(("wmax", "maximal"),)), "'weight': unknown extreme 'maximal' of 'wmax'"),
    ],
)
def test_words_without_a_meaning_are_refused(words: VariableWords, named: str) -> None:
    variables = tuple(_with_words(one, words) for one in VOCABULARY.variables)
    with pytest.raises(InputDataError, match=named):
        load_lexicon(replace(VOCABULARY, variables=variables))


def _with_words(variable: Variable, words: VariableWords) -> Variable:
    return replace(variable, words=words) if variable.key == "weight" else variable


def test_the_steps_of_reading_can_be_shown(tmp_path: Path) -> None:
    labs, note = tmp_path / "labs.csv", tmp_path / "note.txt"
    labs.write_text("hours,lactate (mmol/L)\n0,1.2\n4,4.8\n8,6.1\n")
    note.write_text("Septic.")
    own_vocabulary(tmp_path / "vocabulary")
    text = 'Lactate is high from hour 4, peaking near 9 mmol/L. "Septic" supports Shock.'
    words = ["--labs", labs, "--note", note, "--vocabulary", tmp_path / "vocabulary"]
    shown = subprocess.run(
        [sys.executable, "-m", "clinragen.claims", text, *map(str, words)], capture_output=True, text=True, check=True
    ).stdout
    for part in (
        "tokens:",
        "name          'Lactate'  lactate",
        "statements:",
        "lactate level high from 4",
        "lactate extreme max about 9 mmol/l",
        "claims:",
        "supported     timing      lactate",
        "contradicted  extreme     lactate",
        "supported     note",
    ):
        assert part in shown, shown
    refused = subprocess.run(
        [sys.executable, "-m", "clinragen.claims", text, "--range-set", "none"], capture_output=True, text=True
    )
    assert (refused.returncode, "unknown range set 'none'" in refused.stderr) == (2, True)
