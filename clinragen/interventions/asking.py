"""Asks a model about patients, in batches, and decides which diseases it lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from clinragen.interventions.patient import Shown
from modeling_clinragen.diagnosing_clinragen import diagnose_patients, write_lists

BY_HEAD = "the disease head"
BY_DECODER = "the decoder's list"

Patient = tuple[str | None, Any]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a model about some patients.

    Args:
        listed: Which diseases it lists, bool `(patients, diseases)`.
        probabilities: Of the diseases, `(patients, diseases)`; None where it gives none.
    """

    listed: np.ndarray
    probabilities: np.ndarray | None = None

    def of(self, rows: Sequence[int]) -> Answers:
        """The answers about some of the patients."""
        chosen = list(rows)
        return Answers(self.listed[chosen], None if self.probabilities is None else self.probabilities[chosen])


class Ask(Protocol):
    """Whatever answers about patients."""

    def __call__(self, patients: Sequence[Shown]) -> Answers:
        """One answer per patient, in order."""


class Asker:
    """Asks a ClinRaGen model: its disease head with the thresholds chosen in training, or without one its decoder.

    A patient of whom nothing is left is not asked about: nothing is listed.

    Args:
        model, processor: The model, on its device, and its processor.
        batch_size: Patients asked about at once.
        done: Called with the number of patients answered about since the last call.
    """

    def __init__(
        self, model: Any, processor: Any, batch_size: int, done: Callable[[int], None] = lambda count: None
    ) -> None:
        self._model = model.eval()
        self._processor = processor
        self._batch_size = batch_size
        self._done = done

    @property
    def decided_by(self) -> str:
        """The part of the model that lists the diseases, in words."""
        return BY_DECODER if self._model.disease_head is None else BY_HEAD

    def __call__(self, patients: Sequence[Shown]) -> Answers:
        """One answer per patient, in order; it does not depend on the others."""
        count, diseases = len(patients), len(self._model.config.diseases)
        listed = np.zeros((count, diseases), dtype=bool)
        probabilities = None if self._model.disease_head is None else np.zeros((count, diseases))
        rows = sorted(
            (row for row in range(count) if not patients[row].empty),
            key=lambda row: (len(patients[row].note), len(patients[row].hours)),
        )
        self._done(count - len(rows))
        for start in range(0, len(rows), self._batch_size):
            chosen = rows[start : start + self._batch_size]
            names, found = self._batch([patients[row].given for row in chosen])
            listed[chosen] = names
            if probabilities is not None:
                probabilities[chosen] = found
            self._done(len(chosen))
        return Answers(listed, probabilities)

    def _batch(self, given: Sequence[Patient]) -> tuple[np.ndarray, np.ndarray | None]:
        diseases = list(self._model.config.diseases)
        found: np.ndarray | None = None
        if self._model.disease_head is None:
            lists = write_lists(self._model, self._processor, given)
        else:
            values = diagnose_patients(self._model, self._processor, given)
            lists = self._model.listed(values, [self._processor.modality(*one) for one in given])
            found = values.double().numpy()
        return np.array([[name in names for name in diseases] for names in lists], dtype=bool), found
