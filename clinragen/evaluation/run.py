"""The whole evaluation: every system generates, everything is scored, and the report is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.claims.check import Checking
from clinragen.evaluation.baselines import LogisticBaseline, PrevalenceGuess
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.diagnosis import MatchedDiagnoses, match_diagnoses
from clinragen.evaluation.generate import generate_texts, require_vocabulary
from clinragen.evaluation.metrics import compare_systems, rationale_scores
from clinragen.evaluation.report import write_report
from clinragen.evaluation.score_types import WrittenRationales
from clinragen.evaluation.systems import MAIN, System, system_name
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import carry_provenance, provenance_notices, write_provenance
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor, ParsedOutput
from modeling_clinragen.registration import register_auto_classes
from trainers.phases import PHASES
from trainers.run_phase import CURVE, load_parent

if TYPE_CHECKING:
    from datasets import Dataset

CONSTRAINED_NOTICE = (
    "The models' lists of diseases were generated under a constraint: nothing but the configured names, each once, "
    "was possible."
)


@dataclass(frozen=True)
class _Answers:
    """The outputs of one system on the test split: as generated, parsed, and matched with the diseases."""

    texts: list[str]
    parsed: list[ParsedOutput]
    matched: MatchedDiagnoses

    @property
    def rationales(self) -> list[str | None]:
        """One rationale per example; None where the output could not be parsed."""
        return [answer.rationale if answer.problem is None else None for answer in self.parsed]


def evaluate_systems(
    folder: Path,
    cohort: CohortSplits,
    systems: Mapping[str, System],
    config: EvaluateConfig,
    *,
    checking: Checking,
    curves: Mapping[str, Path] | None = None,
    report: Report = no_report,
) -> dict[str, Any]:
    """Score models and the baselines on the test split, and fill `folder`.

    Args:
        folder: Where metrics.json, report.md with figures, predictions.json, patient.json and provenance.json go.
            With credentialed data it becomes private before anything is written: the report shows a patient.
        cohort: Splits with rationales, as `load_examples` reads them.
        systems: Models by system, "full" among them (see `systems_of`).
        config: How they generate, and sentences that every output must carry.
        checking: What claims are checked with; its range set is also the one of the baselines and of the figures.
        curves: Model folders by phase, in order, whose training curves are shown; by default those of the systems.
        report: Called with the number of examples generated, and before each later step.

    Returns:
        The content of metrics.json.

    Raises:
        SettingsError: There is no system "full", or a model's vocabulary is not the cohort's.
        InputDataError: The test split is empty.
    """
    test = cohort["test"]
    if MAIN not in systems:
        raise SettingsError(f"there is no system '{MAIN}' to compare with; give a model of the multimodal phase")
    if len(test) == 0:
        raise InputDataError("the cohort's test split is empty; build a larger cohort")
    _require_vocabularies(systems, cohort, checking)
    write_provenance(folder, carry_provenance([cohort.provenance], "evaluate", {}))
    answers = {
        name: _answer(system, cohort, config, _share(report, number, len(systems), system_name(name)))
        for number, (name, system) in enumerate(systems.items())
    }
    report(Progress(0, None, "baselines"))
    regression = LogisticBaseline(checking.vocabulary, checking.range_set).fit(cohort["train"], cohort["validation"])
    predictions = {name: answer.matched.predictions for name, answer in answers.items()}
    predictions["logistic_regression"] = regression.predict(test)
    predictions["prevalence"] = PrevalenceGuess().fit(label_matrix(cohort["train"])).predict(len(test))
    report(Progress(0, None, "scores"))
    metrics = compare_systems(label_matrix(test), predictions, test["subject_id"], cohort.vocabulary.diseases)
    metrics |= {
        "rationale": {
            name: rationale_scores(
                WrittenRationales(answer.rationales, _references(test, systems[name].rationales), test, checking)
            )
            for name, answer in answers.items()
        },
        "names": {name: answer.matched.counts() for name, answer in answers.items()},
        "logistic_regression": regression.choices,
        "training": {"examples": len(cohort["train"]), "validation_examples": len(cohort["validation"])},
        "notices": [
            *config.notices,
            *provenance_notices(cohort.provenance),
            *([CONSTRAINED_NOTICE] if config.constrained else []),
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
    texts = {name: answer.texts for name, answer in answers.items()}
    write_json(folder / "predictions.json", {"example_id": test["example_id"][:], **texts})
    return metrics


def _require_vocabularies(systems: Mapping[str, System], cohort: CohortSplits, checking: Checking) -> None:
    # Before the first model generates: the last one may be the one that does not fit.
    checking.vocabulary.require_same(cohort.vocabulary, "the checking of claims", "the cohort")
    register_auto_classes()
    for system in systems.values():
        if (system.folder / "processor_config.json").is_file():
            processor = ClinRaGenProcessor.from_pretrained(system.folder)
            require_vocabulary(processor, cohort.vocabulary, str(system.folder))


def _answer(system: System, cohort: CohortSplits, config: EvaluateConfig, report: Report) -> _Answers:
    model, processor = load_parent(system.folder)
    texts = generate_texts(
        model,
        processor,
        cohort["test"],
        cohort.vocabulary,
        note=system.reads_note,
        labs=system.reads_labs,
        config=config,
        report=report,
    )
    parsed = [processor.parse(text) for text in texts]
    matched = match_diagnoses([answer.diagnoses for answer in parsed], cohort.vocabulary.diseases)
    return _Answers(texts, parsed, matched)


def _share(report: Report, number: int, systems: int, name: str) -> Report:
    """A report of one of several systems, as a part of the whole."""

    def scaled(progress: Progress) -> None:
        total = progress.total or 0
        report(Progress(number * total + progress.done, systems * total, progress.unit, name.lower()))

    return scaled


def _references(test: Dataset, columns: Sequence[str]) -> list[str]:
    return [" ".join(filter(None, parts)) for parts in zip(*(test[column] for column in columns), strict=True)]


def _patient_to_show(test: Dataset, answers: _Answers) -> dict[str, Any]:
    row = _row_to_show(test)
    return {
        **test[row],
        "predicted": list(answers.parsed[row].diagnoses),
        "generated_rationale": answers.rationales[row],
    }


def _row_to_show(test: Dataset) -> int:
    # Independent of what is predicted: the first, in the split's own order, with several diagnoses and a series.
    for row, (diagnoses, hours) in enumerate(zip(test["diagnoses"], test["lab_hours"], strict=True)):
        if len(diagnoses) >= 3 and len(hours) >= 8:
            return row
    return 0


def _phases_of(systems: Mapping[str, System]) -> dict[str, Path]:
    folders = {system.phase: system.folder for system in systems.values()}
    return {phase.name: folders[phase.name] for phase in PHASES if phase.name in folders}


def _read_curves(folders: Mapping[str, Path]) -> dict[str, Any]:
    return {phase: read_json(folder / CURVE) for phase, folder in folders.items() if (folder / CURVE).is_file()}
