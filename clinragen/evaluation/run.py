"""The whole evaluation: every system answers, the answers are saved, and what was saved is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.answers import Answers, answer_systems
from clinragen.evaluation.baselines.fit import BaselineAnswers, fit_baselines
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.cost import COST
from clinragen.evaluation.predictions import Predictions, SystemPredictions, read_predictions, write_predictions
from clinragen.evaluation.scoring import score_predictions
from clinragen.evaluation.systems import MAIN, System
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth
from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import carry_provenance, write_provenance
from dataset_builder.storage.progress import Report, no_report
from trainers.phases import PHASES
from trainers.run_phase import CURVE


@dataclass(frozen=True)
class Results:
    """The answers of all systems about the test split.

    Args:
        models: Those of the trained models, from `answer_systems`, "full" among them.
        baselines: Those of the baselines, from `fit_baselines`.
    """

    models: Mapping[str, Answers]
    baselines: Mapping[str, BaselineAnswers]


def evaluate_systems(
    folder: Path,
    cohort: CohortSplits,
    systems: Mapping[str, System],
    config: EvaluateConfig,
    *,
    checking: Checking,
    truth: HospitalTruth | None = None,
    curves: Mapping[str, Path] | None = None,
    report: Report = no_report,
) -> dict[str, Any]:
    """Score models and the baselines on the test split, and fill `folder`.

    Args:
        folder: Where metrics.json, report.md with figures, predictions.json, predictions.safetensors, patient.json,
            cost.json and provenance.json go. With credentialed data it becomes private before anything is written: the
            report shows a patient.
        cohort: Splits with rationales, as `load_examples` reads them.
        systems: Models by system, "full" among them (see `systems_of`).
        config: How they generate, how much work the baselines do, and sentences that every output must carry.
        checking: What claims are checked with; its range set is also the one of the baselines and of the figures.
        truth: Of the synthetic hospital that the patients come from, where they do. Only scores read it.
        curves: Model folders by phase, in order, whose training curves are shown; by default those of the systems.
        report: Called with the number of examples generated, and before each later step.

    Returns:
        The content of metrics.json.

    Raises:
        SettingsError: There is no system "full", or a model's vocabulary is not the cohort's.
        InputDataError: The test split is empty, or the truth is another hospital's.
    """
    answers = answer_systems(cohort, systems, config, checking=checking, truth=truth, report=report)
    baselines = fit_baselines(cohort, checking.range_set, config.baselines, gru=config.gru, report=report)
    results = Results(answers, baselines)
    return score_answers(folder, cohort, results, config, checking=checking, truth=truth, curves=curves, report=report)


def score_answers(
    folder: Path,
    cohort: CohortSplits,
    results: Results,
    config: EvaluateConfig,
    *,
    checking: Checking,
    truth: HospitalTruth | None = None,
    curves: Mapping[str, Path] | None = None,
    report: Report = no_report,
) -> dict[str, Any]:
    """The last part of `evaluate_systems`: save what the models and the baselines have answered, and score it.

    What is scored is what was read back from the saved files, so that `clinragen rescore` gives the same.

    Args:
        folder, cohort, config, checking, truth, curves: As for `evaluate_systems`.
        results: The answers of the models and the baselines for the same cohort.
        report: Called before each step.

    Returns:
        The content of metrics.json.
    """
    write_provenance(folder, carry_provenance([cohort.provenance], "evaluate", {}))
    folders = curves if curves is not None else _phases_of([one.system for one in results.models.values()])
    if results.models[MAIN].cost is not None:
        write_json(folder / COST, results.models[MAIN].cost)
    write_predictions(folder, _predictions(cohort, results, config, folders, truth=truth is not None))
    return score_predictions(
        folder, cohort, read_predictions(folder), config, checking=checking, truth=truth, report=report
    )


def _predictions(
    cohort: CohortSplits, results: Results, config: EvaluateConfig, curves: Mapping[str, Path], *, truth: bool
) -> Predictions:
    models, baselines = results.models, results.baselines
    diseases = np.array(cohort.vocabulary.disease_names)
    diagnoses = {name: answer.diagnoses for name, answer in models.items()}
    if (other := models[MAIN].other_list) is not None:
        diagnoses[other[0]] = other[1]
    diagnoses |= {
        name: [tuple(diseases[row > 0].tolist()) for row in answer.predictions] for name, answer in baselines.items()
    }
    heads = {name: answer.head for name, answer in models.items() if answer.head is not None}
    thresholds = {name: head.thresholds for name, head in heads.items()}
    thresholds |= {name: one.thresholds[None] for name, one in baselines.items() if one.thresholds is not None}
    test = {name: one.probabilities for name, one in baselines.items() if one.probabilities is not None}
    validation = {name: one.validation for name, one in baselines.items() if one.validation is not None}
    return Predictions(
        example_id=cohort["test"]["example_id"][:],
        diseases=[disease.key for disease in cohort.vocabulary.diseases],
        rows=models[MAIN].rows,
        systems={
            name: SystemPredictions(
                reads_note=answer.system.reads_note,
                reads_labs=answer.system.reads_labs,
                rationales=answer.system.rationales,
                texts=answer.texts,
                verified=answer.verified,
                notes_cut=None if answer.notes_cut is None else asdict(answer.notes_cut),
            )
            for name, answer in models.items()
        },
        diagnoses=diagnoses,
        baselines={name: answer.choices for name, answer in baselines.items()},
        probabilities={
            "test": {name: head.test for name, head in heads.items()} | test,
            "validation": {name: head.validation for name, head in heads.items()} | validation,
        },
        thresholds=thresholds,
        validation_id=cohort["validation"]["example_id"][:],
        validation_labels=label_matrix(cohort["validation"]),
        curves=_read_curves(curves),
        raw=config.raw,
        notices=config.notices,
        truth=truth,
    )


def _phases_of(systems: list[System]) -> dict[str, Path]:
    folders = {system.phase: system.folder for system in systems}
    return {phase.name: folders[phase.name] for phase in PHASES if phase.name in folders}


def _read_curves(folders: Mapping[str, Path]) -> dict[str, Any]:
    return {phase: read_json(folder / CURVE) for phase, folder in folders.items() if (folder / CURVE).is_file()}
