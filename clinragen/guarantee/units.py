"""The units of the guarantee: sentences as a model wrote them, and patients, with how doubtful and how wrong they are.

What is wrong is decided by the synthetic hospital's own truth, which neither the model nor the score reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinragen.claims.check import Checking
from clinragen.claims.types import CONTRADICTED, UNVERIFIABLE
from clinragen.evaluation.checked import CheckedRationale, Given, JudgedSentence, check_text
from clinragen.evaluation.predictions import Predictions
from clinragen.evaluation.systems import MAIN
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth, TrueEvidence
from modeling_clinragen.errors import InputDataError


@dataclass(frozen=True, eq=False)
class Units:
    """Sentences and patients that a guarantee is made of; all lists are by patient.

    Args:
        doubts: How doubtful each sentence is that a model wrote, from 0 (see `doubt`).
        false: Which of these sentences are false.
        missing_doubts: How probable it is that a disease is missing in the shown rationale, `(patients,)`.
        missing: Whether one is, `(patients,)`.
        without_truth: Explained patients of whom the hospital says nothing; they are left out.
    """

    doubts: Sequence[np.ndarray]
    false: Sequence[np.ndarray]
    missing_doubts: np.ndarray
    missing: np.ndarray
    without_truth: int = 0

    def __len__(self) -> int:
        return len(self.doubts)

    def sentence_losses(self, thresholds: np.ndarray) -> np.ndarray:
        """The share of a patient's sentences that are false and shown: those whose doubt is at most the threshold.

        `(patients, thresholds)`; 0 for a patient without a sentence.
        """
        return np.stack(
            [
                ((doubts[:, None] <= thresholds) & false[:, None]).sum(axis=0) / max(1, len(doubts))
                for doubts, false in zip(self.doubts, self.false, strict=True)
            ]
        )

    def shown_shares(self, thresholds: np.ndarray) -> np.ndarray:
        """The share of all sentences that are shown, `(thresholds,)`."""
        doubts = np.concatenate([np.zeros(0), *self.doubts])
        return (doubts[:, None] <= thresholds).mean(axis=0) if len(doubts) else np.zeros(len(thresholds))

    def patient_losses(self, thresholds: np.ndarray) -> np.ndarray:
        """Whether a patient lacks a disease and is not flagged, `(patients, thresholds)`."""
        return ((self.missing_doubts[:, None] <= thresholds) & self.missing[:, None]).astype(float)

    def select(self, rows: np.ndarray) -> Units:
        """Those of some patients."""
        return Units(
            [self.doubts[row] for row in rows],
            [self.false[row] for row in rows],
            self.missing_doubts[rows],
            self.missing[rows],
        )


def read_units(cohort: CohortSplits, checking: Checking, truth: HospitalTruth, predictions: Predictions) -> Units:
    """The explained patients of an evaluation.

    Args:
        cohort, checking: What was evaluated, and what its claims are checked with.
        truth: Of the synthetic hospital that the cohort comes from.
        predictions: The saved answers, with the probabilities of the full model's head.

    Raises:
        InputDataError: The model gives no probabilities, or the hospital knows none of the patients.
    """
    if MAIN not in predictions.probabilities["test"]:
        raise InputDataError(
            "a guarantee needs the probabilities of a disease head, and the full model gives none; evaluate a model "
            "with disease_head: true"
        )
    test, keys = cohort["test"], list(predictions.diseases)
    column = {key: number for number, key in enumerate(keys)}
    main, probabilities = predictions.systems[MAIN], predictions.probabilities["test"][MAIN]
    doubts, false, missing_doubts, missing = [], [], [], []
    without = 0
    for row, verified in zip(predictions.rows, main.verified, strict=True):
        example = test[int(row)]
        present = truth.of(int(example["hadm_id"]), int(example["stay_id"]))
        if present is None:
            without += 1
            continue
        given = Given(example, checking, note=main.reads_note, labs=main.reads_labs)
        written, shown = check_text(verified.raw, given), check_text(verified.shown, given)
        own = dict(zip(keys, probabilities[int(row)], strict=True))
        said = [one for one in written.sentences if one.claims or one.named]
        doubts.append(np.array([doubt(one, own) for one in said]))
        false.append(np.array([is_false(one, present) for one in said], dtype=bool))
        named = _named(shown) & column.keys()
        missing.append(bool((present.keys() & column.keys()) - named))
        missing_doubts.append(max((own[key] for key in keys if key not in named), default=0.0))
    if not doubts:
        raise InputDataError(
            "the hospital's truth has none of the explained patients; give the hospital that the cohort comes from"
        )
    return Units(doubts, false, np.array(missing_doubts), np.array(missing), without)


def doubt(sentence: JudgedSentence, probabilities: Mapping[str, float]) -> float:
    """How doubtful a sentence is, from 0 to 3: first by what the checker says of its claims, then by the head.

    The whole part is 2 where a claim is contradicted, 1 where one cannot be verified, else 0; the rest is how
    improbable the least probable disease is that it names.
    """
    verdicts = {claim.verdict for claim in sentence.claims}
    rank = 2 if CONTRADICTED in verdicts else 1 if UNVERIFIABLE in verdicts else 0
    least = min((probabilities.get(key, 0.0) for key in sentence.named), default=1.0)
    return rank + 1.0 - float(least)


def is_false(sentence: JudgedSentence, truth: Mapping[str, TrueEvidence]) -> bool:
    """Whether a sentence names a disease that the patient does not have, or says of the data what is not so.

    What the data are is decided by the checker's reading of note and series; which diseases are present is not.
    """
    stated = any(claim.verdict == CONTRADICTED for claim in sentence.claims if claim.disease is None)
    return stated or bool(sentence.named - truth.keys())


def _named(rationale: CheckedRationale) -> set[str]:
    return {key for sentence in rationale.sentences for key in sentence.named}
