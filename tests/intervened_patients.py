"""Made-up patients to ask about again, and an oracle that reads one variable of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clinragen.interventions.asking import Answers
from clinragen.interventions.patient import Case, Group, Shown, note_sentences
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTES = (
    "Chief Complaint:\nshortness of breath\nHe was found down. Productive cough for a week. No chest pain.",
    "Admitted from home. Fever and chills since Monday. Melena was seen. Family is at the bedside.",
    "Past Medical History:\n- HTN\n- stroke in ___\nHe feels well. He came by car.",
)


def make_case(
    vocabulary: Vocabulary, number: int, *, steps: int = 12, subject: int | None = None, **settings: Any
) -> Case:
    """A case with readings of most variables; every other one has a high heart rate, and shock."""
    rng = np.random.default_rng(number)
    fills = np.array([variable.fill for variable in vocabulary.variables])
    values = (fills * rng.normal(1.0, 0.02, size=(steps, len(fills)))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, vocabulary.variable_keys.index("heart_rate")] = 130.0 if number % 2 else 75.0
    labels = np.zeros(len(vocabulary.diseases), dtype=bool)
    labels[shock_of(vocabulary)] = bool(number % 2)
    hours = np.sort(rng.uniform(0, 48, steps)).astype(np.float32)
    shown = Shown(NOTES[number % len(NOTES)], hours, values)
    who = number if subject is None else subject
    return Case(number, who, (number, number), shown, labels, note_sentences(shown.note), **settings)


def make_group(vocabulary: Vocabulary, size: int = 12, **settings: Any) -> Group:
    return Group(tuple(make_case(vocabulary, number, **settings) for number in range(size)))


def shock_of(vocabulary: Vocabulary) -> int:
    return [disease.key for disease in vocabulary.diseases].index("shock")


class HeartRateOracle:
    """Lists shock where the heart rate is above 100 in the mean, and nothing else, whatever else there is."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._column = vocabulary.variable_keys.index("heart_rate")
        self._shock, self._diseases = shock_of(vocabulary), len(vocabulary.diseases)

    def __call__(self, patients: Sequence[Shown]) -> Answers:
        probabilities = np.zeros((len(patients), self._diseases))
        for row, shown in enumerate(patients):
            readings = shown.values[:, self._column]
            readings = readings[~np.isnan(readings)]
            probabilities[row, self._shock] = 1.0 if len(readings) and readings.mean() > 100 else 0.0
        return Answers(probabilities > 0.5, probabilities)
