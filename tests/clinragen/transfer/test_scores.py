"""Whether a cohort fits a model, what it has, and differences between cohorts of other patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_cohort import checking_of, make_cohort

from clinragen.evaluation.predictions import Predictions, SystemPredictions
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.systems import MAIN
from clinragen.transfer.fit import coverage, misfit, other_ranges
from clinragen.transfer.report import report_text
from clinragen.transfer.scores import score_place
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.vocabulary_clinragen import Range, Vocabulary


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return make_cohort(vocabulary)


def answers(cohort: CohortSplits, wrong: int, rationale: str) -> Predictions:
    """Lists that are right but for the first `wrong` examples, which get none, and one rationale for all."""
    test = cohort["test"]
    lists = [() if row < wrong else tuple(names) for row, names in enumerate(test["diagnoses"])]
    verified = [Verified.unchecked(rationale)] * len(test)
    return Predictions(
        example_id=test["example_id"][:],
        diseases=[disease.key for disease in cohort.vocabulary.diseases],
        rows=range(len(test)),
        systems={
            MAIN: SystemPredictions(
                reads_note=True,
                reads_labs=True,
                rationales=(),
                texts=[""] * len(test),
                verified=verified,
                notes_cut=None,
            )
        },
        diagnoses={MAIN: lists},
        baselines={},
        probabilities={"test": {MAIN: np.clip(label_matrix(test), 0.1, 0.9)}, "validation": {}},
        thresholds={},
        validation_id=[],
        validation_labels=np.zeros((0, len(cohort.vocabulary.diseases))),
    )


def test_values_are_those_of_the_patients(cohort: CohortSplits, vocabulary: Vocabulary) -> None:
    rationale = '"Dyspnea" was reported. "Cough" was reported.'
    scores = score_place(cohort, answers(cohort, 2, rationale), checking_of(vocabulary))
    found, labels = scores.intervals(), label_matrix(cohort["test"])
    hits, misses = labels[2:].sum(), labels[:2].sum()
    assert found["micro_f1"]["value"] == pytest.approx(2 * hits / (2 * hits + misses), abs=1e-5)
    assert found["micro_auroc"]["value"] == 1
    assert found["calibration_error"]["value"] == pytest.approx(0.1, abs=1e-5)
    # No note of the cohort says "Cough".
    assert found["contradicted"]["value"] == 0.5
    assert "cited_note" not in found
    assert (scores.subjects, scores.examples, scores.explained) == (8, 8, 8)


def test_differences_are_unpaired(cohort: CohortSplits, vocabulary: Vocabulary) -> None:
    said, checking = '"Dyspnea" was reported.', checking_of(vocabulary)
    home, same, worse = (
        score_place(cohort, answers(cohort, wrong, said), checking, number=number)
        for number, wrong in enumerate((2, 2, 6))
    )
    difference = same.minus(home)["micro_f1"]
    assert difference["value"] == 0
    # Paired, the same answers would differ in no resample at all.
    own = [np.var(one.values["micro_f1"][1:]) for one in (home, same)]
    both = np.var(same.values["micro_f1"][1:] - home.values["micro_f1"][1:])
    assert both == pytest.approx(sum(own), rel=0.25)
    assert difference["low"] < 0 < difference["high"]
    assert worse.minus(home)["micro_f1"]["value"] < -0.3


def test_what_does_not_fit_is_named(vocabulary: Vocabulary, lactate_vocabulary: Vocabulary) -> None:
    assert misfit(vocabulary, vocabulary) is None
    assert misfit(lactate_vocabulary, vocabulary) == "its variables are not the model's: no lactate"
    assert misfit(vocabulary, lactate_vocabulary) == "its variables are not the model's: lactate besides"
    first = vocabulary.variables[0]
    units = replace(vocabulary, variables=(replace(first, unit="odd"), *vocabulary.variables[1:]))
    assert f"{first.key} as 'odd', not '{first.unit}'" in str(misfit(vocabulary, units))
    turned = replace(vocabulary, diseases=vocabulary.diseases[::-1])
    assert misfit(vocabulary, turned) == "its diseases are not the model's: they are in another order"


def test_other_ranges_are_named(vocabulary: Vocabulary) -> None:
    first = next(one for one in vocabulary.variables if any(r.range_set == "clinical" for r in one.ranges))
    moved = replace(first, ranges=(Range("clinical", -1.0, 1.0),))
    changed = replace(vocabulary, variables=tuple(moved if one is first else one for one in vocabulary.variables))
    assert other_ranges(vocabulary, vocabulary, "clinical") == []
    assert other_ranges(vocabulary, changed, "clinical") == [first.key]


def test_coverage_counts_the_test_split(cohort: CohortSplits, vocabulary: Vocabulary) -> None:
    def silent(row: dict[str, Any]) -> dict[str, Any]:
        row["lab_values"] = [[None, *step[1:]] for step in row["lab_values"]]
        row["lab_observed"] = [[False, *step[1:]] for step in row["lab_observed"]]
        return row | ({"note": ""} if row["stay_id"] % 2 else {})

    thin = CohortSplits({**cohort, "test": cohort["test"].map(silent)}, cohort.provenance, vocabulary)
    found = coverage(thin)
    assert found["never_measured"] == [vocabulary.variable_keys[0]]
    assert found["variables"][vocabulary.variable_keys[1]] | {"median": 0} == {
        "measured": 1.0,
        "often": 3.0,
        "median": 0,
    }
    assert found["notes"] == 0.5
    assert found["note_words"] == 6
    assert len(found["nobody_has"]) == len(vocabulary.diseases) - 4
    assert found["diseases"][vocabulary.diseases[5].key] == 0.5


def test_the_report_has_every_place(cohort: CohortSplits, vocabulary: Vocabulary) -> None:
    scores = score_place(cohort, answers(cohort, 2, '"Dyspnea" was reported.'), checking_of(vocabulary))
    facts = {
        "patients": 8,
        "examples": 8,
        "truth": False,
        "other_ranges": ["heart_rate"],
        "coverage": coverage(cohort),
    }
    place = facts | {"scores": scores.intervals(), "difference": scores.minus(scores)}
    text = report_text(
        {
            "compared_with": "home",
            "notices": ["Beware."],
            "places": [
                place | {"name": "home", "home": True},
                place | {"name": "north", "home": False},
                {"name": "south", "home": False, "refused": "its variables are not the model's: no lactate"},
            ],
        }
    )
    assert "> Beware." in text
    assert "| home (home) | 8 |" in text
    assert "| north | +0.000 (+0.000 to +0.000) |" in text
    assert "other normal ranges: heart rate" in text
    assert "- south: its variables are not the model's: no lactate" in text
