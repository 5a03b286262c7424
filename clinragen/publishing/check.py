"""The memorisation check of what is to be published: read from saved files, reported without a patient's words."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from clinragen.evaluation.cost import COST, weights_digest
from clinragen.evaluation.predictions import Predictions, read_predictions
from clinragen.knowledge.reader import KNOWLEDGE, load_knowledge
from clinragen.publishing.config import MemorisationConfig
from clinragen.publishing.memorisation import GeneratedText, Memorised, find_memorised
from clinragen.publishing.tokenizer_words import rare_tokens
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.files import atomic_file, read_json
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.errors import GovernanceError, InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import TEXTS

NOTE = "note"
RATIONALES = ("rationale_note", "rationale_lab")
LEARNED_FROM = ("train", "validation")
"""The splits that a model has seen: trained on, or chosen by."""


def check_model(
    folder: Path,
    evaluation: Path,
    cohorts: Sequence[CohortSplits],
    config: MemorisationConfig | None = None,
    *,
    names: Iterable[str] = (),
) -> Memorised:
    """Check what a model writes, and the words of its tokenizer.

    Args:
        folder: The model folder.
        evaluation: The output of `clinragen evaluate` for this model: its saved texts are what is checked.
        cohorts: The cohorts that the model was trained on; the first one is that of the evaluation.
        config, names: As for `find_memorised`.

    Raises:
        InputDataError: The evaluation is another model's, or a cohort is missing; or a file is damaged.
    """
    config = config if config is not None else MemorisationConfig()
    _require_training_cohorts(folder, cohorts)
    _require_model_of(evaluation, folder)
    predictions = read_predictions(evaluation)
    predictions.require_cohort(cohorts[0], str(evaluation))
    found = find_memorised(
        _texts(predictions, cohorts[0]),
        (pair for cohort in cohorts for pair in _column(cohort, LEARNED_FROM, NOTE)),
        _column(cohorts[0], ("test",), NOTE),
        config,
        names=names,
        known=_known(cohorts[0].vocabulary, folder),
    )
    trained_on = (pair for cohort in cohorts for name in TEXTS for pair in _column(cohort, ("train",), name))
    return replace(found, tokens=rare_tokens(folder, trained_on, config.fewest_patients))


def check_dataset(
    cohort: CohortSplits, config: MemorisationConfig | None = None, *, names: Iterable[str] = ()
) -> Memorised:
    """Check the rationales of a cohort: a teacher that was shown one patient must not quote another.

    The notes themselves are the data set. Whether they may be published is for their licence to say.

    Args:
        cohort: The cohort.
        config, names: As for `find_memorised`.
    """
    texts = [
        GeneratedText(f"{example}, {column}", patient, text)
        for split in cohort.values()
        for column in RATIONALES
        for example, patient, text in zip(split["example_id"], split["subject_id"], split[column], strict=True)
        if text
    ]
    notes = _column(cohort, tuple(cohort), NOTE)
    return find_memorised(texts, notes, (), config, names=names, known=_known(cohort.vocabulary, None))


def require_nothing_memorised(found: Memorised, what: str, report: Path | None) -> None:
    """Write the private report where one is wanted; raise `GovernanceError` where anything was found.

    Args:
        found: The outcome of the check.
        what: What was checked, for the message, which has counts only.
        report: File for the details, which quote patients: it is for its owner alone (0600).
    """
    if report is not None:
        _write_report(report, found)
    if found.any:
        where = f"; {report} says which" if report is not None else "; --report FILE writes which, for you alone"
        raise GovernanceError(f"{what}: is not sent, since the memorisation check found {found.sentence}{where}")


def _write_report(path: Path, found: Memorised) -> None:
    import json

    content = {
        "about": "Quotes patients' notes: keep it where the notes are.",
        "texts": found.texts,
        "patients": found.patients,
        "overlaps": [asdict(one) for one in found.overlaps],
        "names": [asdict(one) for one in found.names],
        "tokens": dict(found.tokens),
    }
    with atomic_file(path, private=True) as beside:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_names(path: Path | None) -> tuple[str, ...]:
    """The names in a text file, one a line; none without a file. Raises `InputDataError` where it cannot be read."""
    from dataset_builder.storage.files import read_text

    if path is None:
        return ()
    return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())


def _texts(predictions: Predictions, cohort: CohortSplits) -> Sequence[GeneratedText]:
    """Every text that a model wrote: freely, and as shown where that is another one."""
    test = cohort["test"]
    names, patients = test["example_id"][:], test["subject_id"][:]
    return [
        GeneratedText(f"{names[row]}, {system}", patients[row], text)
        for system, one in predictions.systems.items()
        for row, freely, verified in zip(predictions.rows, one.texts, one.verified, strict=True)
        for text in dict.fromkeys((freely, verified.raw, verified.shown))
        if text
    ]


def _column(cohort: CohortSplits, splits: Sequence[str], name: str) -> Iterable[tuple[Hashable, str]]:
    for split in splits:
        examples = cohort[split]
        for patient, text in zip(examples["subject_id"], examples[name], strict=True):
            if text:
                yield patient, text


def _known(vocabulary: Vocabulary, folder: Path | None) -> Iterable[str]:
    """Texts of medicine: what the vocabulary and the model's own knowledge call things, which are not names."""
    yield from vocabulary.disease_names
    for variable in vocabulary.variables:
        yield from (variable.name, variable.short, *variable.aliases)
    if folder is not None and (folder / KNOWLEDGE).is_file():
        base = load_knowledge(folder / KNOWLEDGE, vocabulary)
        # Not the extracted ones, which no person has judged.
        yield from (surface for topic in base.topics for term in topic.terms for surface in term.surfaces)


def _require_training_cohorts(folder: Path, cohorts: Sequence[CohortSplits]) -> None:
    record = read_provenance(folder)
    builds = [step.get("fingerprint") for step in record.get("steps", ()) if step.get("step") == "build"]
    trained = set(builds or [record.get("fingerprint")])
    missing = trained - {cohort.provenance.get("fingerprint") for cohort in cohorts}
    if missing or None in trained:
        raise InputDataError(
            f"{folder}: was trained on {len(trained)} cohorts, of which {len(missing)} are not among those given, as "
            "far as its provenance.json says; give each one with --cohort, that of the evaluation first"
        )


def _require_model_of(evaluation: Path, folder: Path) -> None:
    if not (evaluation / COST).is_file():
        raise InputDataError(
            f"{evaluation}: does not say which model it is of; give the folder of an evaluation of {folder}, or run "
            "`clinragen evaluate` again"
        )
    if read_json(evaluation / COST).get("weights") != weights_digest(folder):
        raise InputDataError(
            f"{evaluation}: is the evaluation of other weights than those of {folder}; give its own with --evaluation"
        )
