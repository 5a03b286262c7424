"""The second reader: on one made-up patient it finds a planted false sentence of each kind, and clears a true one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.truth import HospitalTruth, TrueEvidence

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import second_reading as benchmark
from second_reading_grammar import KINDS, Grammar, split_sentences
from second_reading_note import Note
from second_reading_rationale import PatientData, Reader, ReadSentence

SHOCK, FAILURE, COPD = "Shock", "Congestive heart failure; nonhypertensive", "Chronic obstructive pulmonary disease"
COPD += " and bronchiectasis"
NOTE = """Chief Complaint: septic shock

History of Present Illness: This is a woman with h/o gout, on oxygen at home, who presents with cold extremities.
She denies chest pain or melena. First thought to be cardiogenic, but pulmonary embolism was thought unlikely.

Past Medical History:
COPD
HFpEF in ___
stroke in ___, osteoporosis
uveitis, CABG in ___

Family History:
Father had cirrhosis
"""
LISTED = [SHOCK, FAILURE, COPD]
COLUMNS = {
    "heart_rate": [80, 84, 112, 118, 124, 131, 120, 90, 82, 80],
    "systolic_blood_pressure": [128, 120, 110, 84, 78, 82, 88, 86, 84, 85],
    "mean_blood_pressure": [80, 78, 82, 79, 77, 81, 80, 79, 78, 77],
    "glucose": [100, 170, 90, 175, 95, 168, 92, 172, 99, 171],
    "temperature": [37.0, 37.1, 36.9, 37.2, 38.6, 37.0, 37.1, 37.0, 36.8, 37.0],
}


def patient(truth: bool = True) -> PatientData:
    """One stay with readings at the hours 0, 2, ... 18, and a pH never measured."""
    vocabulary = shipped_definitions().vocabulary
    values = np.full((10, len(vocabulary.variables)), np.nan)
    for key, column in COLUMNS.items():
        values[:, vocabulary.variable_keys.index(key)] = column
    known = {"shock": TrueEvidence(("septic shock", "cold extremities"), ())} if truth else None
    series = LabSeries.from_values(vocabulary, np.arange(0, 20, 2), values)
    return PatientData(Note(NOTE), series, "clinical", frozenset({SHOCK, COPD}), known)


def reader() -> Reader:
    definitions = shipped_definitions()
    names = definitions.vocabulary.name_of_disease
    lasting = [names[key] for key, entry in definitions.diseases.items() if entry["history_counts"]]
    return Reader(Grammar(definitions.vocabulary), lasting)


def read(text: str, listed: list[str] = LISTED, truth: bool = True) -> list[ReadSentence]:
    return reader().read(text, listed, patient(truth))


def false_kinds(text: str, listed: list[str] = LISTED) -> set[str]:
    """The kinds of the false claims in a text that has no unread sentence."""
    sentences = read(text, listed)
    assert all(sentence.statement is not None for sentence in sentences)
    return {claim.kind for sentence in sentences for claim in sentence.claims if claim.true is False}


PLANTED = [
    ("disease listed", '"COPD" fits {copd}.', '"COPD" fits Pneumonia (except that caused by tuberculosis or sexually '
     "transmitted disease)."),
    ("quotation in the note", '"septic shock" supports Shock.', '"mottled skin" supports Shock.'),
    ("quotation in the note", '"cold extremities" supports Shock.', '"cold ext" supports Shock.'),
    ("quotation affirmed", '"COPD" fits {copd}.', '"melena" supports Shock.'),
    ("quotation affirmed", '"HFpEF" fits {failure}.', '"stroke" supports Shock.'),
    ("quotation affirmed", '"osteoporosis" supports Shock.', '"cirrhosis" supports Shock.'),
    ("quotation affirmed", '"uveitis" supports Shock.', '"CABG" supports Shock.'),
    ("quotation affirmed", '"cold extremities" supports Shock.', '"pulmonary embolism" supports Shock.'),
    ("quotation affirmed", '"cold extremities" supports Shock.', '"gout" supports Shock.'),
    ("direction", "Heart rate is high in some readings, peaking near 130 bpm, which fits Shock.",
     "Heart rate is low in some readings, which fits Shock."),
    ("implied direction", "Systolic blood pressure is lowest near 80 mmHg.", "Heart rate is lowest near 80 bpm."),
    ("share", "Systolic blood pressure is low in most readings.", "Systolic blood pressure is low in every reading."),
    ("share", "Heart rate is high in five readings.", "Heart rate is high in six readings."),
    ("share in time", "Systolic blood pressure is low in every reading from hour 6.",
     "Systolic blood pressure is low in some readings from hour 6."),
    ("onset", "Systolic blood pressure is low in most readings from hour 6.",
     "Systolic blood pressure is low in most readings from hour 12."),
    ("end", "Heart rate is high in most readings until hour 12.",
     "Heart rate is high in some readings until hour 17."),
    ("count", "Temperature is high once at hour 8.", "Temperature is high twice at hour 8."),
    ("hour", "Temperature is high once at hour 8.", "Temperature is high once at hour 12."),
    ("extreme", "Heart rate is high in some readings, peaking near 130 bpm.",
     "Heart rate is high in some readings, peaking near 150 bpm."),
    ("extreme", "Systolic blood pressure is low in most readings, down to about 80 mmHg.",
     "Systolic blood pressure is low in most readings, down to about 60 mmHg."),
    ("direction of the extreme", "Systolic blood pressure is low in most readings, lowest near 80 mmHg.",
     "Systolic blood pressure is low in most readings, peaking near 130 mmHg."),
    ("unit", "Heart rate is high in some readings, peaking near 130 bpm.",
     "Heart rate is high in some readings, peaking near 130 mmHg."),
    ("value", "Systolic blood pressure falls from about 130 mmHg to about 80 mmHg.",
     "Systolic blood pressure falls from about 130 mmHg to about 100 mmHg."),
    ("value", "Glucose swings between about 100 mg/dL and 180 mg/dL.",
     "Glucose swings between about 100 mg/dL and 240 mg/dL."),
    ("course", "Systolic blood pressure falls from about 130 to about 80.",
     "Systolic blood pressure rises from about 130 to about 80."),
    ("course", "Glucose swings between about 100 and 180.", "Heart rate swings between about 80 and 130."),
    ("normality", "Mean blood pressure and glucose stay normal.", "Mean blood pressure and temperature stay normal."),
    ("measurement", "pH is not measured.", "Glucose is not measured."),
    ("absence in the note", "Nothing in the note points to Gastrointestinal hemorrhage.",
     "The note does not point to Shock."),
    ("absence in the series", "No measurement points to {copd}.", "The measurements do not point to Shock."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "true", "false"), PLANTED)
def test_a_planted_error_is_found_and_the_true_sentence_is_not_blamed(kind: str, true: str, false: str) -> None:
    listed = [*LISTED, "Gastrointestinal hemorrhage"]
    names = {"copd": COPD, "failure": FAILURE}
    assert false_kinds(true.format(**names), listed) == set()
    assert kind in false_kinds(false.format(**names), listed)


def test_every_kind_is_planted_once() -> None:
    assert {kind for kind, _, _ in PLANTED} | {"none listed"} == set(KINDS)
    alone = "Heart rate is high in some readings, peaking near 130 bpm, without one of the diseases."
    assert false_kinds(alone, []) == set()
    assert false_kinds(alone, [SHOCK]) == {"none listed"}


def test_a_level_ends_where_the_next_reading_is_normal_within_the_hour() -> None:
    vocabulary = shipped_definitions().vocabulary
    values = np.full((5, len(vocabulary.variables)), np.nan)
    values[:, vocabulary.variable_keys.index("heart_rate")] = [120, 118, 121, 119, 80]
    series = LabSeries.from_values(vocabulary, np.array([40, 42, 44, 46.9, 48]), values)
    one = PatientData(Note(""), series, "clinical", frozenset(), None)
    (sentence,) = reader().read("Heart rate is high in every reading until hour 47.", [], one)
    assert [claim.kind for claim in sentence.claims if claim.true] == ["direction", "share in time", "end"]


def test_other_sentences_are_unread() -> None:
    text = 'The patient "looks unwell. Septic". He is pale. Heart rate is high in some readings. "gout'
    assert split_sentences(text)[1:] == ["He is pale.", "Heart rate is high in some readings.", '"gout']
    found = benchmark.figures({"one": (LISTED, read(text))}, listing=False)
    assert (found["sentences"], found["unread"]) == (4, 3)
    assert found["claims"]["false"] == 0


def test_malformed_sentences_are_counted_by_kind() -> None:
    faults = {
        '"septic shock" support Shock.': ["number of the verb"],
        '"septic shock" and "COPD" supports Shock.': ["number of the verb"],
        '"septic shock""COPD" support Shock.': ["quotations run together"],
        '"septic shock".': ["no verb, no disease"],
        f"Heart rate is high in some readings, in keeping with Shock, {FAILURE}.": ["list of diseases without and"],
        "Systolic blood pressure is lowest near 80 mmHg.": ['"is lowest near" without level'],
        "Systolic blood pressure is low in most readings from hour 6%.": ['"hour N%"'],
        '"septic shock" and "COPD" support Shock.': [],
        f"Heart rate is high in some readings, in keeping with Shock and {FAILURE}.": [],
    }
    for text, expected in faults.items():
        (sentence,) = read(text)
        assert list(sentence.faults) == expected, text


def test_figures_of_a_whole_rationale() -> None:
    text = (
        '"septic shock" supports Shock. "septic shock" fits Shock. '
        "Systolic blood pressure is low in most readings, which fits Shock. "
        "Systolic blood pressure is low in most readings, peaking near 200 bpm, which fits Shock. "
        f"The note does not point to {COPD}."
    )
    found = benchmark.figures({"one": (LISTED, read(text)), "two": ([SHOCK], [])}, listing=True)
    assert (found["rationales"], found["empty"], found["empty_with_listed_diseases"]) == (2, 1, 1)
    assert found["listed_diseases"] == {
        "all": 4,
        "never_named": 2,  # heart failure, and shock in the empty one
        "rationales_with_never_named": 2,
        "named_only_as_absent": 1,
        "argued_and_denied": 0,
    }
    assert {kind: one["count"] for kind, one in found["repeated"].items() if one["count"]} == {
        "quoted twice": 1,
        "quoted twice for the same disease": 1,
        "variable and level stated twice": 1,
        "nothing new": 2,
    }
    assert found["ties"] == {
        "quotations": 2,
        "series": 2,
        "disease_not_coded": 0,
        "quotations_known_to_the_truth": 2,
        "quotations_unknown_to_the_truth": 0,
    }
    assert found["false_in"] == [
        {"example_id": "one", "sentence": 4, "kind": kind} for kind in ("extreme", "direction of the extreme", "unit")
    ]
    extreme = found["claims_by_kind"]["extreme"]
    assert (extreme["claims"], extreme["false"], extreme["false_rate"]) == (1, 1, 1.0)
    assert "septic" not in json.dumps(found)


def test_a_cohort_is_read_by_system() -> None:
    data = patient()
    row = {
        "example_id": "mimic-7",
        "hadm_id": 3,
        "stay_id": 7,
        "note": NOTE,
        "lab_hours": data.series.hours,
        "lab_values": [[None if np.isnan(value) else value for value in step] for step in data.series.values],
        "lab_observed": data.series.observed,
        "diagnoses": [SHOCK],
    }
    other = {**row, "example_id": "mimic-8", "stay_id": 8, "note": "Chief Complaint: fall"}
    truth = HospitalTruth({(3, 7): {"shock": TrueEvidence(("septic shock",), ())}})
    predictions = {
        "example_id": ["mimic-8", "mimic-7"],
        "shown": {"full": ['"septic shock" supports Shock.'] * 2, "note_only": [None, '"COPD" fits Shock.']},
        "diagnoses": {"full": [[SHOCK], [SHOCK]], "note_only": [[], []]},
    }
    found = {}
    for synthetic in (True, False):
        splits = CohortSplits(
            {"train": Dataset.from_list([row]), "test": Dataset.from_list([other])},
            {"synthetic": synthetic},
            data.series.vocabulary,
        )
        found[synthetic] = benchmark.read_systems(predictions, splits, truth, reader())
    full, alone = found[True]["full"], found[True]["note_only"]
    # The words are in one of the two notes; a system that shows nothing of a stay has no rationale of it.
    assert full["false_in"] == [{"example_id": "mimic-8", "sentence": 1, "kind": "quotation in the note"}]
    assert full["ties"]["quotations_known_to_the_truth"] == 1
    assert (alone["rationales"], alone["claims_by_kind"]["disease listed"]["false"]) == (1, 1)
    assert "mimic" not in json.dumps(found[False])


def test_without_a_truth_absences_in_the_note_are_left_open() -> None:
    (sentence,) = read("The note does not point to Shock.", truth=False)
    assert [claim.true for claim in sentence.claims] == [True, None]
    found = benchmark.figures({"one": (LISTED, [sentence])}, listing=False)["claims_by_kind"]["absence in the note"]
    assert (found["undecided"], found["false_rate"], found["interval_95"]) == (1, None, None)


@pytest.mark.parametrize(
    ("hits", "trials", "expected"), [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0))]
)
def test_intervals(hits: int, trials: int, expected: tuple[float, float]) -> None:
    # From Wilson's formula as tabulated by Newcombe (1998) and others.
    assert benchmark.wilson(hits, trials) == pytest.approx(expected, abs=1e-4)


def test_the_reader_is_independent_of_the_checker() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(benchmark.__file__).parent)!r}); import second_reading; "
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'clinragen'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
