"""A model on several cohorts: one evaluation for each place, which is kept, and one table of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.pipeline.rationales import KNOWLEDGE_FILE
from clinragen.pipeline.stage import GivenFolder, Input, Stage
from clinragen.pipeline.transfer_place import TRANSFER, asked_of, read_place
from clinragen.pipeline.transfer_places import Place, Trained
from clinragen.transfer.config import TransferConfig
from dataset_builder.storage.files import require_apart, write_json
from dataset_builder.storage.governance import (
    carry_provenance,
    is_credentialed,
    provenance_notices,
    read_provenance,
    write_provenance,
)
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError

if TYPE_CHECKING:
    from dataset_builder.contract.cohort_splits import CohortSplits
    from modeling_clinragen.vocabulary_clinragen import Vocabulary

RESULT, REPORT = "transfer.json", "transfer.md"
Announce = Callable[[str, int, int], None]


def run_transfer(
    trained: Trained,
    places: Sequence[Place],
    output: Path,
    config: TransferConfig,
    *,
    knowledge: Path | None = None,
    report: Report = no_report,
    announce: Announce = lambda name, number, of: None,
) -> dict[str, Any]:
    """Ask the model about every place that is not up to date, and write transfer.json and transfer.md into `output`.

    Args:
        trained: The model and its home cohort. Without a home the first place is what the others are compared with.
        places: The other cohorts. One whose variables or diseases are not the model's, or whose labels are not
            known, is refused with the reason, and the others are compared.
        output: The folder of the table; each place's evaluation is in a folder of its name.
        config: How the model is asked.
        knowledge: Folder of the knowledge base that claims are checked with; by default the one in the model's
            folder, else the terms of each cohort's own definitions.
        report: Called with the progress of a place.
        announce: Called before each place with its name, its number and how many there are.

    Returns:
        The content of transfer.json.

    Raises:
        InputDataError: No place can be compared, the home cohort cannot, or the output overlaps an input.
    """
    home, others = (trained.home, list(places)) if trained.home is not None else (places[0], list(places[1:]))
    everywhere = [home, *others]
    require_apart(output, [trained.model, *(place.cohort for place in everywhere)])
    parents = [read_provenance(folder) for folder in (trained.model, *(place.cohort for place in everywhere))]
    provenance = carry_provenance(parents, "transfer", {})
    vocabulary = _vocabulary_of(trained.model)
    refused = {place.name: _refusal(place, vocabulary, config.split) for place in everywhere}
    if (reason := refused[home.name]) is not None:
        raise InputDataError(f"{home.cohort}: cannot be compared with: {reason}")
    if others and all(refused[place.name] for place in others):
        first = others[0]
        raise InputDataError(f"{first.cohort}: cannot be compared: {refused[first.name]}")
    knowledge = knowledge or (trained.model if (trained.model / KNOWLEDGE_FILE).is_file() else None)
    write_provenance(output, provenance)
    entries: list[dict[str, Any]] = []
    base = None
    for number, place in enumerate(everywhere):
        announce(place.name, number + 1, len(everywhere))
        if (reason := refused[place.name]) is not None:
            entries.append({"name": place.name, "home": False, "refused": reason})
            continue
        own = replace(config, split="test") if place is trained.home else config
        inputs = _inputs(trained.model, place, knowledge)
        Stage(TRANSFER, own, inputs, output / place.name, report, label=f"transfer to {place.name}").run()
        entry, scores = _entry(inputs, output / place.name, own.split, vocabulary, number)
        base = scores if base is None else base
        difference = {} if place is home else scores.minus(base)
        entries.append({"name": place.name, "home": place is trained.home, **entry, "difference": difference})
    content = _content(entries, config, everywhere[0].name, provenance)
    _write(output, content, private=is_credentialed(provenance))
    return content


def _inputs(model: Path, place: Place, knowledge: Path | None) -> dict[str, Input]:
    given = {
        "full": (model, "model folder"),
        "cohort": (place.cohort, "cohort folder"),
        "knowledge": (knowledge, "folder with the knowledge base"),
        "truth": (place.truth, "folder of the synthetic hospital"),
    }
    return {role: GivenFolder(folder, what) for role, (folder, what) in given.items() if folder is not None}


def _vocabulary_of(model: Path) -> Vocabulary:
    from modeling_clinragen.loading_clinragen import load_part
    from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
    from modeling_clinragen.registration import register_auto_classes

    register_auto_classes()
    return load_part(ClinRaGenProcessor, model).require_vocabulary(where=str(model))


def _refusal(place: Place, vocabulary: Vocabulary, split: str) -> str | None:
    """Why a place is not compared, in a line; None where it is."""
    from clinragen.transfer.fit import misfit
    from dataset_builder.contract.arrays import require_labels
    from dataset_builder.contract.schema import load_examples

    cohort = load_examples(place.cohort)
    if (fault := misfit(vocabulary, cohort.vocabulary)) is not None:
        return fault
    asked: CohortSplits = asked_of(cohort, split)
    if not len(asked["test"]):
        return "its test split is empty; ask about all its patients, or build a larger cohort"
    try:
        for name in ("test", "validation"):
            require_labels(asked[name])
    except InputDataError as error:
        return str(error)
    return None


def _entry(
    inputs: Mapping[str, Input], evaluation: Path, split: str, vocabulary: Vocabulary, number: int
) -> tuple[dict[str, Any], Any]:
    """One place, and its scores on the resamples."""
    from clinragen.evaluation.predictions import read_predictions
    from clinragen.transfer.fit import coverage, other_ranges
    from clinragen.transfer.scores import score_place

    read = read_place({role: one.location for role, one in inputs.items()}, split)
    predictions = read_predictions(evaluation)
    predictions.require_cohort(read.cohort, str(evaluation))
    scores = score_place(read.cohort, predictions, read.checking, truth=read.truth, number=number)
    cohort = read.cohort
    return {
        "source": cohort.provenance.get("title"),
        "split": split,
        "patients": scores.subjects,
        "examples": scores.examples,
        "explained": scores.explained,
        "truth": read.truth is not None,
        "other_ranges": other_ranges(vocabulary, cohort.vocabulary, cohort.range_set),
        "coverage": coverage(cohort),
        "scores": scores.intervals(),
    }, scores


def _content(
    entries: list[dict[str, Any]], config: TransferConfig, home: str, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    from clinragen.evaluation.bootstrap import LEVEL, RESAMPLES

    return {
        "compared_with": home,
        "split": config.split,
        "texts": config.texts,
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "unit": "subject", "paired": False},
        "places": entries,
        "notices": provenance_notices(provenance),
    }


def _write(output: Path, content: Mapping[str, Any], *, private: bool) -> None:
    from clinragen.transfer.report import report_text
    from dataset_builder.storage.files import atomic_file, make_private

    write_json(output / RESULT, content)
    with atomic_file(output / REPORT) as beside:
        beside.write_text(report_text(content), encoding="utf-8")
    if private:
        make_private(output)
