"""Reads whose rationales a study rates: systems of evaluations, and the teacher of the cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinragen.evaluation.predictions import Predictions, read_predictions
from clinragen.study.config import SHOWN, TEACHER, WRITTEN
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.target_layout_clinragen import LAYOUTS, parse_target

if TYPE_CHECKING:
    from datasets import Dataset

    from dataset_builder.contract.cohort_splits import CohortSplits


@dataclass(frozen=True)
class SourceText:
    """One rationale and the diseases that are listed with it, by their names."""

    text: str
    listed: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Whose rationales: their name, and the rationale of each example that has one, by `example_id`."""

    name: str
    texts: Mapping[str, SourceText]


def read_sources(names: Sequence[str], evaluations: Sequence[Path], cohort: CohortSplits) -> list[Source]:
    """The rationales of every source.

    Args:
        names: As `StudyConfig.sources`.
        evaluations: Folders of `clinragen evaluate`.
        cohort: The cohort that was evaluated.

    Raises:
        InputDataError: A folder has no predictions of this cohort, they are damaged or empty, or a source has no
            rationale.
        SettingsError: A source names no system of the evaluations, or two of these have one name.
    """
    read = _by_name(evaluations, cohort)
    found = []
    for name in names:
        texts = _of_teacher(cohort["test"]) if name == TEACHER else _of_system(name, read)
        if not texts:
            raise InputDataError(f"{name}: there is no rationale of this source; leave it out, or evaluate again")
        found.append(Source(name, texts))
    return found


def _by_name(folders: Sequence[Path], cohort: CohortSplits) -> dict[str, Predictions]:
    read = {}
    for folder in folders:
        name = Path(folder).resolve().name if len(folders) > 1 else ""
        if name in read:
            raise SettingsError(f"two evaluations are called '{name}'; rename one of the folders")
        read[name] = read_predictions(folder)
        read[name].require_cohort(cohort, str(folder))
    return read


def _of_system(name: str, read: Mapping[str, Predictions]) -> dict[str, SourceText]:
    folder, _, rest = name.rpartition("/")
    system, colon, form = rest.partition(":")
    form = form if colon else SHOWN
    if form not in (SHOWN, WRITTEN):
        raise SettingsError(f"sources: {name} ends with neither :{SHOWN} nor :{WRITTEN}")
    if folder not in read:
        wanted = ", ".join(f"{one}/{system}:{form}" for one in read if one) or f"{system}:{form} with --evaluation DIR"
        raise SettingsError(f"sources: {name} is of no evaluation that is given; expected {wanted}")
    predictions = read[folder]
    if system not in predictions.systems:
        known = ", ".join(predictions.systems)
        raise SettingsError(f"sources: {name}: there are no rationales of '{system}'; expected one of {known}")
    answers, lists = predictions.systems[system], predictions.diagnoses[system]
    found = {}
    for row, text, verified in zip(predictions.rows, answers.texts, answers.verified, strict=True):
        rationale = verified.shown if form == SHOWN else verified.raw
        # None: it could not be parsed. "" is one of which nothing may be shown.
        if rationale is not None:
            listed = tuple(lists[row]) if form == SHOWN else _listed_in(text)
            found[predictions.example_id[row]] = SourceText(rationale, listed)
    return found


def _listed_in(text: str) -> tuple[str, ...]:
    """The diseases that a freely written text lists."""
    parsed = [parse_target(layout, text) for layout in LAYOUTS]
    return next((one.diagnoses for one in parsed if one.problem is None), ())


def _of_teacher(test: Dataset) -> dict[str, SourceText]:
    columns = (test[name][:] for name in ("example_id", "rationale_note", "rationale_lab", "diagnoses"))
    return {
        example: SourceText(" ".join(filter(None, (note, lab))), tuple(diagnoses))
        for example, note, lab, diagnoses in zip(*columns, strict=True)
        if note or lab
    }
