"""The whole evaluation: every system generates, everything is scored, and the report is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.answers import Answers, answer_systems
from clinragen.evaluation.baselines.fit import BOOSTED, BaselineAnswers, fit_baselines
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.metrics import compare_systems, rationale_scores, teacher_scores
from clinragen.evaluation.report import write_report
from clinragen.evaluation.score_types import Verified, WrittenRationales
from clinragen.evaluation.systems import MAIN, TEACHER, System
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth
from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import carry_provenance, provenance_notices, write_provenance
from dataset_builder.storage.progress import Progress, Report, no_report
from trainers.phases import PHASES
from trainers.run_phase import CURVE

if TYPE_CHECKING:
    from datasets import Dataset

VERIFIED_NOTICE = (
    "The models generated under constraints: lists of diseases hold the configured names only, each once; quotations "
    "stand in the note and numbers in the series. Sentences that the checker did not support were written again or "
    "left out. As written, without any of this, is scored beside it."
)


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
        folder: Where metrics.json, report.md with figures, predictions.json, patient.json and provenance.json go.
            With credentialed data it becomes private before anything is written: the report shows a patient.
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
    """The last part of `evaluate_systems`: score what the models and the baselines have answered.

    Args:
        folder, cohort, config, checking, truth, curves: As for `evaluate_systems`.
        results: The answers of the models and the baselines for the same cohort.
        report: Called before each step.

    Returns:
        The content of metrics.json.
    """
    test, answers, baselines = cohort["test"], results.models, results.baselines
    systems = {name: answer.system for name, answer in answers.items()}
    write_provenance(folder, carry_provenance([cohort.provenance], "evaluate", {}))
    report(Progress(0, None, "scores"))
    probabilities = {name: answer.probabilities for name, answer in answers.items()}
    probabilities |= {name: answer.probabilities for name, answer in baselines.items()}
    predictions = {name: answer.matched.predictions for name, answer in answers.items()}
    if (other := answers[MAIN].other_list) is not None:
        predictions[other[0]] = other[1].predictions
    metrics = compare_systems(
        label_matrix(test),
        predictions | {name: answer.predictions for name, answer in baselines.items()},
        test["subject_id"],
        cohort.vocabulary.diseases,
        probabilities={name: matrix for name, matrix in probabilities.items() if matrix is not None},
    )
    metrics |= {
        **_score_rationales(cohort, systems, answers, checking, truth),
        "notes_cut": {name: answer.notes_cut and asdict(answer.notes_cut) for name, answer in answers.items()},
        "names": {name: answer.matched.counts() for name, answer in answers.items()},
        "logistic_regression": baselines["logistic_regression"].choices,
        "gradient_boosting": {inputs: baselines[name].choices for name, inputs in BOOSTED.items()},
        **({"gru": baselines["gru"].choices} if "gru" in baselines else {}),
        "training": {"examples": len(cohort["train"]), "validation_examples": len(cohort["validation"])},
        "notices": [
            *config.notices,
            *provenance_notices(cohort.provenance),
            *([] if config.raw else [VERIFIED_NOTICE]),
        ],
    }
    patient = _patient_to_show(test, answers[MAIN])
    report(Progress(0, None, "report"))
    write_report(
        folder,
        metrics=metrics,
        curves=_read_curves(curves if curves is not None else _phases_of(systems)),
        patient=patient,
        notices=metrics["notices"],
        vocabulary=cohort.vocabulary,
        range_set=checking.range_set,
    )
    write_json(folder / "patient.json", patient)
    texts = {name: _of_all(answer, answer.texts) for name, answer in answers.items()}
    shown = {name: _of_all(answer, [one.shown for one in answer.verified]) for name, answer in answers.items()}
    scored = {name: [list(names) for names in answer.diagnoses] for name, answer in answers.items()}
    diseases = np.array(cohort.vocabulary.disease_names)
    scored |= {name: [diseases[row > 0].tolist() for row in answer.predictions] for name, answer in baselines.items()}
    write_json(
        folder / "predictions.json",
        {"example_id": test["example_id"][:], **texts, "shown": shown, "diagnoses": scored},
    )
    return metrics


def _score_rationales(
    cohort: CohortSplits,
    systems: Mapping[str, System],
    answers: Mapping[str, Answers],
    checking: Checking,
    truth: HospitalTruth | None,
) -> dict[str, Any]:
    """`rationale`, the scores of every system, and `teacher`, those of the rationales that the full model learned."""
    rows = answers[MAIN].rows
    test = cohort["test"] if len(rows) == len(cohort["test"]) else cohort["test"].select(rows)
    bootstrap = Bootstrap(test["subject_id"])
    keys = [disease.key for disease in cohort.vocabulary.diseases]

    def written(
        system: System, rationales: Sequence[Verified], matrix: np.ndarray, wanted: list[str]
    ) -> WrittenRationales:
        return WrittenRationales(
            answers=rationales,
            listed=[frozenset(key for key, given in zip(keys, row, strict=True) if given) for row in matrix],
            references=wanted,
            examples=test,
            checking=checking,
            bootstrap=bootstrap,
            reads_note=system.reads_note,
            reads_labs=system.reads_labs,
            truth=truth,
        )

    references = {name: _references(test, system.rationales) for name, system in systems.items()}
    taught = [Verified.unchecked(text or None) for text in references[MAIN]]
    scores = {
        name: rationale_scores(
            written(systems[name], answer.verified, answer.matched.predictions[list(rows)], references[name])
        )
        for name, answer in answers.items()
    }
    if not any(references[MAIN]):
        return {"rationale": scores}
    teacher = teacher_scores(written(systems[MAIN], taught, label_matrix(test), references[MAIN]))
    return {"rationale": scores, TEACHER: teacher}


def _of_all(answer: Answers, texts: Sequence[str | None]) -> list[str | None]:
    """The texts by example of the test split; None for an example of which no rationale was wanted."""
    found: list[str | None] = [None] * len(answer.diagnoses)
    for row, text in zip(answer.rows, texts, strict=True):
        found[row] = text
    return found


def _references(test: Dataset, columns: Sequence[str]) -> list[str]:
    return [" ".join(filter(None, parts)) for parts in zip(*(test[column] for column in columns), strict=True)]


def _patient_to_show(test: Dataset, answers: Answers) -> dict[str, Any]:
    place = _place_to_show(test, answers.rows)
    row = answers.rows[place]
    return {
        **test[row],
        "predicted": list(answers.diagnoses[row]),
        "generated_rationale": answers.verified[place].shown,
    }


def _place_to_show(test: Dataset, rows: Sequence[int]) -> int:
    # Independent of what is predicted: the first, in the split's own order, with several diagnoses and a series.
    diagnoses, hours = test["diagnoses"][:], test["lab_hours"][:]
    for place, row in enumerate(rows):
        if len(diagnoses[row]) >= 3 and len(hours[row]) >= 8:
            return place
    return 0


def _phases_of(systems: Mapping[str, System]) -> dict[str, Path]:
    folders = {system.phase: system.folder for system in systems.values()}
    return {phase.name: folders[phase.name] for phase in PHASES if phase.name in folders}


def _read_curves(folders: Mapping[str, Path]) -> dict[str, Any]:
    return {phase: read_json(folder / CURVE) for phase, folder in folders.items() if (folder / CURVE).is_file()}
