"""Which patients are asked about, as the model reads them, and which evidence their rationales cite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from intervened_patients import make_case
from made_up_cohort import SIZES, checking_of, make_cohort

from clinragen.claims.check import Checking
from clinragen.claims.sentences import check_sentences
from clinragen.interventions.citations import argued_diseases, cited_evidence, patient_of
from clinragen.interventions.config import InterventionsConfig
from clinragen.interventions.patient import SENTENCE, VARIABLE, Unit
from clinragen.interventions.run import Asked, draw_cases
from clinragen.knowledge import load_knowledge
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import example_features
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def cohort_with(vocabulary: Vocabulary, changes: dict[int, dict[str, Any]]) -> CohortSplits:
    cohort = make_cohort(vocabulary)
    rows = [{**row, **changes.get(number, {})} for number, row in enumerate(cohort["test"])]
    splits = {**cohort, "test": Dataset.from_list(rows, features=example_features(vocabulary))}
    return CohortSplits(splits, cohort.provenance, vocabulary)


def asked_by(make_model: Any, processor: Any, vocabulary: Vocabulary, **settings: Any) -> Asked:
    model = make_model("t5", disease_head=True)
    return Asked(model, processor, checking_of(vocabulary), InterventionsConfig(**settings))


def test_a_case_is_what_the_model_reads(make_model: Any, make_processor: Any, vocabulary: Vocabulary) -> None:
    processor = make_processor(max_source_tokens=120)
    long = "Dyspnea and fever since Monday. " * 60 + "No chest pain."
    empty = {"note": " \n", "lab_hours": [], "lab_values": [], "lab_observed": []}
    cohort = cohort_with(vocabulary, {0: {"note": long}, 1: empty})
    group = draw_cases(cohort, asked_by(make_model, processor, vocabulary, patients=None))
    # Nobody is asked about of whom nothing is known.
    assert len(group.cases) == SIZES["test"] - 1
    assert [case.number for case in group.cases] == list(range(len(group.cases)))
    case, row = group.cases[0], cohort["test"][0]
    note, series = case.shown.given
    reading = processor.reading(long, series)
    assert len(reading.ids) < reading.total
    assert note == reading.text
    assert processor.reading(note, series).ids == reading.ids
    assert np.array_equal(case.shown.values, np.array(row["lab_values"], dtype=np.float32))
    assert case.labels.tolist() == [bool(label) for label in row["labels"]]
    assert (case.subject, case.stay) == (row["subject_id"], (row["hadm_id"], row["stay_id"]))


def test_a_seed_draws_the_patients(make_model: Any, make_processor: Any, vocabulary: Vocabulary) -> None:
    cohort, asked = make_cohort(vocabulary), asked_by(make_model, make_processor(), vocabulary)
    drawn = [
        [
            case.subject
            for case in draw_cases(cohort, replace(asked, config=InterventionsConfig(patients=4, seed=seed))).cases
        ]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    assert len(set(drawn[0])) == 4


@pytest.fixture(scope="module")
def checking(vocabulary: Vocabulary) -> Checking:
    return Checking(vocabulary, vocabulary.range_set("clinical"), load_knowledge(None, vocabulary))


def test_cited_is_what_holds_and_where_it_stands(vocabulary: Vocabulary, checking: Checking) -> None:
    case = make_case(vocabulary, 1)
    keys = [disease.key for disease in vocabulary.diseases]
    shock, bleeding, renal = (
        keys.index(key) for key in ("shock", "gastrointestinal_hemorrhage", "acute_renal_failure")
    )
    text = (
        '"Melena" supports Gastrointestinal hemorrhage. Heart rate is high in every reading, which fits Shock and '
        'Gastrointestinal hemorrhage. "oliguria" supports Acute and unspecified renal failure. '
        "Weight is high in every reading, which fits Shock."
    )
    sentences = check_sentences(text, patient_of(case.shown, vocabulary), checking)
    cited = cited_evidence(case, sentences, vocabulary)
    (melena,) = [
        Unit(SENTENCE, number)
        for number, span in enumerate(case.sentences)
        if "Melena" in case.shown.note[slice(*span)]
    ]
    rate = Unit(VARIABLE, vocabulary.variable_keys.index("heart_rate"))
    assert (melena, bleeding) in cited
    assert (rate, shock) in cited
    assert not [unit for unit, disease in cited if disease == renal], "no such words in the note"
    assert Unit(VARIABLE, vocabulary.variable_keys.index("weight")) not in dict(cited)
    assert len(set(cited)) == len(cited)
    shown = [sentence for sentence in sentences if sentence.verdict == "supported"]
    assert argued_diseases(shown) == {"shock", "gastrointestinal_hemorrhage"}
    assert replace(case, cited=cited).cited_units(SENTENCE) == [melena]
    assert cited_evidence(case, [], vocabulary) == ()


def test_a_patient_without_a_part_is_explained_from_the_other(vocabulary: Vocabulary) -> None:
    case = make_case(vocabulary, 1)
    whole = patient_of(case.shown, vocabulary)
    assert whole.note == case.shown.note
    assert np.array_equal(whole.series.values, case.shown.values, equal_nan=True)
    silent = patient_of(replace(case.shown, note=""), vocabulary)
    assert silent.note is None
    unmeasured = patient_of(case.only([Unit(SENTENCE, 0)]), vocabulary)
    assert not unmeasured.series.observed.any()
