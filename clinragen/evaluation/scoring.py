"""From saved answers to metrics.json and the report: the one way in which an evaluation is scored. Needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.baselines.boosting_settings import BOOSTED
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.calibration import calibration_scores
from clinragen.evaluation.config import ScoreConfig
from clinragen.evaluation.diagnosis import MatchedDiagnoses
from clinragen.evaluation.metrics import compare_systems, rationale_scores, teacher_scores
from clinragen.evaluation.predictions import Predictions
from clinragen.evaluation.readers import disagreement, read_diagnoses
from clinragen.evaluation.report import write_report
from clinragen.evaluation.score_types import Verified, WrittenRationales
from clinragen.evaluation.selective import risk_coverage
from clinragen.evaluation.systems import MAIN, TEACHER
from clinragen.evaluation.token_encoder import TokenEncoder
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth
from dataset_builder.storage.files import write_json
from dataset_builder.storage.governance import provenance_notices
from dataset_builder.storage.progress import Progress, Report, no_report

if TYPE_CHECKING:
    from datasets import Dataset

VERIFIED_NOTICE = (
    "The models generated under constraints: lists of diseases hold the configured names only, each once; quotations "
    "stand in the note and numbers in the series. Sentences that the checker did not support were written again or "
    "left out. As written, without any of this, is scored beside it."
)


def score_predictions(
    folder: Path,
    cohort: CohortSplits,
    predictions: Predictions,
    config: ScoreConfig,
    *,
    checking: Checking,
    truth: HospitalTruth | None = None,
    diagnosis_only: bool = False,
    report: Report = no_report,
) -> dict[str, Any]:
    """Fill `folder` with metrics.json, report.md and its figures, and patient.json.

    Args:
        folder: Where they go; it is private already where the data are credentialed.
        cohort: Splits with labels, notes, series and the teacher's rationales.
        predictions: The answers of all systems about the cohort's test split.
        config: How names are read, and what else is scored.
        checking: What claims are checked with; its range set is also that of the figures.
        truth: Of the synthetic hospital that the patients come from, where they do.
        diagnosis_only: Leave the rationales and the patient out.
        report: Called before each step.

    Returns:
        The content of metrics.json.

    Raises:
        InputDataError: The predictions are about other examples or diseases than the cohort's, a baseline gives a
            disease that the vocabulary has not, or the truth is another hospital's.
        SettingsError: A model that scores cannot be loaded.
    """
    predictions.require_cohort(cohort)
    test = cohort["test"]
    report(Progress(0, None, "scores"))
    diseases = cohort.vocabulary.diseases
    matched = read_diagnoses(predictions, diseases, config)
    labels, subjects = label_matrix(test), test["subject_id"][:]
    bootstrap = Bootstrap(subjects)
    metrics = compare_systems(
        labels,
        {name: one.predictions for name, one in matched.items()},
        subjects,
        diseases,
        probabilities=predictions.probabilities["test"],
        bootstrap=bootstrap,
    )
    readers = disagreement(labels, predictions, matched, diseases, bootstrap) if config.encoder is not None else {}
    metrics |= {
        "reader": config.reader,
        **({"readers": readers} if readers else {}),
        **_confidence(labels, matched, predictions, bootstrap),
        **(
            {"rationale": {}}
            if diagnosis_only
            else _score_rationales(cohort, predictions, matched, config, checking, truth)
        ),
        "notes_cut": {name: one.notes_cut for name, one in predictions.systems.items()},
        "names": {name: matched[name].counts() for name in predictions.systems},
        **_choices(predictions.baselines),
        "training": {"examples": len(cohort["train"]), "validation_examples": len(cohort["validation"])},
        "notices": [
            *predictions.notices,
            *provenance_notices(cohort.provenance),
            *([] if predictions.raw else [VERIFIED_NOTICE]),
        ],
    }
    patient = None if diagnosis_only else _patient_to_show(test, predictions)
    report(Progress(0, None, "report"))
    write_report(
        folder,
        metrics=metrics,
        curves=predictions.curves,
        patient=patient,
        notices=metrics["notices"],
        vocabulary=cohort.vocabulary,
        range_set=checking.range_set,
    )
    if patient is not None:
        write_json(folder / "patient.json", patient)
    return metrics


def _confidence(
    labels: np.ndarray, matched: Mapping[str, MatchedDiagnoses], predictions: Predictions, bootstrap: Bootstrap
) -> dict[str, Any]:
    """`calibration` and `risk_coverage` of the systems that give probabilities."""
    given, held_out = predictions.probabilities["test"], predictions.probabilities["validation"]
    validation = {name: (predictions.validation_labels, matrix) for name, matrix in held_out.items()}
    return {
        "calibration": {
            name: calibration_scores(labels, matrix, bootstrap, validation.get(name)) for name, matrix in given.items()
        },
        "risk_coverage": {
            name: risk_coverage(labels, matched[name].predictions, matrix, bootstrap) for name, matrix in given.items()
        },
    }


def _choices(baselines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    boosted = {inputs: baselines[name] for name, inputs in BOOSTED.items() if name in baselines}
    others = {name: chosen for name, chosen in baselines.items() if name not in (*BOOSTED, "prevalence")}
    return {**others, "gradient_boosting": boosted}


def _score_rationales(
    cohort: CohortSplits,
    predictions: Predictions,
    matched: Mapping[str, MatchedDiagnoses],
    config: ScoreConfig,
    checking: Checking,
    truth: HospitalTruth | None,
) -> dict[str, Any]:
    """`rationale`, the scores of every system, and `teacher`, those of the rationales that the full model learned."""
    rows, systems = list(predictions.rows), predictions.systems
    test = cohort["test"] if len(rows) == len(cohort["test"]) else cohort["test"].select(rows)
    bootstrap = Bootstrap(test["subject_id"])
    keys = [disease.key for disease in cohort.vocabulary.diseases]

    def written(name: str, rationales: Sequence[Verified], matrix: np.ndarray, wanted: list[str]) -> WrittenRationales:
        return WrittenRationales(
            answers=rationales,
            listed=[frozenset(key for key, given in zip(keys, row, strict=True) if given) for row in matrix],
            references=wanted,
            examples=test,
            checking=checking,
            bootstrap=bootstrap,
            reads_note=systems[name].reads_note,
            reads_labs=systems[name].reads_labs,
            truth=truth,
            token_encoder=encoder,
        )

    encoder = TokenEncoder(config.bert_score) if config.bert_score is not None else None
    references = {name: _references(test, one.rationales) for name, one in systems.items()}
    scores = {
        name: rationale_scores(written(name, one.verified, matched[name].predictions[rows], references[name]))
        for name, one in systems.items()
    }
    if not any(references[MAIN]):
        return {"rationale": scores}
    taught = [Verified.unchecked(text or None) for text in references[MAIN]]
    teacher = teacher_scores(written(MAIN, taught, label_matrix(test), references[MAIN]))
    return {"rationale": scores, TEACHER: teacher}


def _references(test: Dataset, columns: Sequence[str]) -> list[str]:
    return [" ".join(filter(None, parts)) for parts in zip(*(test[column] for column in columns), strict=True)]


def _patient_to_show(test: Dataset, predictions: Predictions) -> dict[str, Any]:
    place = _place_to_show(test, predictions.rows)
    row = predictions.rows[place]
    return {
        **test[row],
        "predicted": list(predictions.diagnoses[MAIN][row]),
        "generated_rationale": predictions.systems[MAIN].verified[place].shown,
    }


def _place_to_show(test: Dataset, rows: Sequence[int]) -> int:
    # Independent of what is predicted: the first, in the split's own order, with several diagnoses and a series.
    diagnoses, hours = test["diagnoses"][:], test["lab_hours"][:]
    for place, row in enumerate(rows):
        if len(diagnoses[row]) >= 3 and len(hours[row]) >= 8:
            return place
    return 0
