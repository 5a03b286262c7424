"""The last two stages: score what was trained, and lay out the model folder with its card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.pipeline.stage import STAMP, Stage
from clinragen.pipeline.stages import Report, in_vocabulary, silent
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import InputDataError, SettingsError

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEMS = {
    "full": ("multimodal", {"note": True, "labs": True}, ("rationale_note", "rationale_lab")),
    "note_only": ("note", {"note": True, "labs": False}, ("rationale_note",)),
    "labs_only": ("lab", {"note": False, "labs": True}, ("rationale_lab",)),
}
"""System: the phase whose checkpoint it is, what it reads, and the teacher's rationales that it is compared with."""

CONSTRAINED_NOTICE = (
    "The models' lists of diseases were generated under a constraint: nothing but the configured names, each once, "
    "was possible."
)


def evaluate(
    folder: Path,
    cohort: Stage,
    trained: Mapping[str, Stage],
    settings: dict[str, Any],
    notices: Sequence[str],
    report: Report = silent,
) -> Stage:
    """Score models by phase, and the baselines, on the test split.

    Args:
        folder: Output: metrics.json, report.md with figures, predictions.json, patient.json.
        cohort: Cohort with rationales.
        trained: Model stages by phase; at least "multimodal".
        settings: `batch_size` and `num_beams` of generation, and whether its lists of diseases are `constrained` to
            the configured names (see `DiseaseListConstraint`; by default they are not).
        notices: Sentences that every output must carry.
    """
    chosen = {
        "batch_size": int(settings.get("batch_size", 32)),
        "num_beams": int(settings.get("num_beams", 1)),
        "constrained": settings.get("constrained", False),
    }
    unknown = sorted(set(settings) - set(chosen))
    if unknown:
        raise SettingsError(f"the evaluation has no setting '{unknown[0]}'; it has {', '.join(chosen)}")
    if not isinstance(chosen["constrained"], bool):
        raise SettingsError(f"the evaluation's setting constrained is '{chosen['constrained']}'; give true or false")
    if "multimodal" not in trained:
        raise SettingsError("the evaluation needs a model of the multimodal phase; train it first")

    def work(target: Path) -> None:
        from dataset_builder.storage.governance import carry_provenance, read_provenance, write_provenance

        # The report shows a patient.
        write_provenance(target, carry_provenance([read_provenance(cohort.folder)], "evaluate", {}))
        _evaluate(target, cohort.folder, trained, chosen, list(notices), report)

    return Stage(
        "evaluate",
        folder,
        in_vocabulary(cohort, work),
        {**chosen, "notices": list(notices), "phases": sorted(trained)},
        inputs=(cohort, *trained.values()),
        code=("evaluation", "modeling_clinragen"),
    )


def _evaluate(
    target: Path,
    cohort: Path,
    trained: Mapping[str, Stage],
    settings: dict[str, Any],
    notices: list[str],
    report: Report,
) -> None:
    from dataset_builder.contract.vocabulary import FOLDER, load_diseases

    from clinragen.evaluation.baselines import LogisticBaseline, PrevalenceGuess
    from clinragen.evaluation.comparison import compare_systems
    from clinragen.evaluation.diagnosis import match_diagnoses
    from clinragen.evaluation.generate import generate_texts
    from clinragen.evaluation.rationale_scores import claim_scores, rationale_scores
    from clinragen.evaluation.report import write_report
    from dataset_builder.contract.arrays import label_matrix
    from dataset_builder.contract.schema import load_examples
    from modeling_clinragen.generation_clinragen import DiseaseListConstraint
    from trainers.run_phase import CURVE, load_parent

    splits = load_examples(cohort)
    test = splits["test"]
    if len(test) == 0:
        raise InputDataError(f"{cohort}: the test split is empty; build a larger cohort")
    notices = [*notices, *_cohort_notices(cohort), *([CONSTRAINED_NOTICE] if settings["constrained"] else [])]
    systems = {name: system for name, system in SYSTEMS.items() if system[0] in trained}
    predictions, rationale, names, texts = {}, {}, {}, {}
    parsed: list[Any] = []
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(done, len(test) * len(systems), "patients read")

    for name, (phase, modalities, columns) in systems.items():
        model, processor = load_parent(trained[phase].folder)
        texts[name] = generate_texts(
            model,
            processor,
            test,
            **modalities,
            batch_size=settings["batch_size"],
            num_beams=settings["num_beams"],
            logits_processor=[DiseaseListConstraint(processor, model.config)] if settings["constrained"] else [],
            on_progress=advance,
        )
        answers = [processor.parse(text) for text in texts[name]]
        matched = match_diagnoses([answer.diagnoses for answer in answers], load_diseases())
        predictions[name], names[name] = matched.predictions, matched.counts()
        references = [
            " ".join(filter(None, parts)) for parts in zip(*(test[column] for column in columns), strict=True)
        ]
        written = [answer.rationale if answer.problem is None else None for answer in answers]
        # The checker's words are about the shipped variables.
        claims = None if (cohort / FOLDER).is_dir() else claim_scores(written, test)
        rationale[name] = {**rationale_scores(written, references), "claims": claims}
        parsed = parsed or answers
    report(0, None, "baselines")
    regression = LogisticBaseline().fit(splits["train"], splits["validation"])
    predictions["logistic_regression"] = regression.predict(test)
    predictions["prevalence"] = PrevalenceGuess().fit(label_matrix(splits["train"])).predict(len(test))
    metrics = compare_systems(label_matrix(test), predictions, test["subject_id"], load_diseases())
    metrics |= {
        "rationale": rationale,
        "names": names,
        "logistic_regression": regression.choices,
        "training": {"examples": len(splits["train"]), "validation_examples": len(splits["validation"])},
        "notices": notices,
    }
    shown = _patient_to_show(test)
    patient = {**test[shown], "predicted": list(parsed[shown].diagnoses)}
    patient["generated_rationale"] = parsed[shown].rationale if parsed[shown].problem is None else None
    curves = {
        phase: read_json(stage.folder / CURVE) for phase, stage in trained.items() if (stage.folder / CURVE).is_file()
    }
    write_report(target, metrics=metrics, curves=curves, patient=patient, notes=notices)
    write_json(target / "patient.json", patient)
    write_json(target / "predictions.json", {"example_id": test["example_id"][:], **texts})


def _cohort_notices(cohort: Path) -> list[str]:
    provenance = cohort / "provenance.json"
    return [str(read_json(provenance)["about_the_notes"])] if provenance.is_file() else []


def _patient_to_show(test: Dataset) -> int:
    # Chosen before anything is predicted: the first, in the split's own order, with several diagnoses and a series.
    for row, (diagnoses, hours) in enumerate(zip(test["diagnoses"], test["lab_hours"], strict=True)):
        if len(diagnoses) >= 3 and len(hours) >= 8:
            return row
    return 0


def publish(folder: Path, trained: Mapping[str, Stage], scored: Stage, cohort: Stage) -> Stage:
    """The finished model folder: the last phase's model, its processor, the code that loads it, and a card."""
    phase, last = list(trained.items())[-1]

    def work(target: Path) -> None:
        from trainers.model_card import write_model_card
        from trainers.run_phase import CURVE

        for path in sorted(last.folder.iterdir()):
            if path.is_file() and path.name not in (STAMP, CURVE):
                shutil.copy2(path, target / path.name)
        provenance = cohort.folder / "provenance.json"
        write_model_card(
            target,
            metrics=read_json(scored.folder / "metrics.json"),
            provenance=read_json(provenance) if provenance.is_file() else {},
            phases=list(trained),
        )

    return Stage(
        "publish",
        folder,
        in_vocabulary(cohort, work),
        {"phase": phase},
        inputs=(last, scored, cohort),
        code=("trainers",),
    )
