"""The places of a transfer: the folders that a user gives, and what lies in or beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clinragen.pipeline.tables_folder import tables_of
from dataset_builder.contract.truth import TRUTH
from modeling_clinragen.errors import InputDataError, SettingsError

COHORTS = ("rationales", "build")
"""Where a run keeps its cohort; of a place's name these folders say nothing."""
MODELS = ("model", "train/backbone")
"""Where a run keeps its model: the published one first, which has its knowledge."""
HOSPITAL = "hospital"


@dataclass(frozen=True)
class Place:
    """A cohort that the model is asked about.

    Args:
        name: How the table calls it, and the folder of its evaluation.
        cohort: The cohort's folder.
        truth: The folder of the synthetic hospital that it was built from, where there is one with a truth.
    """

    name: str
    cohort: Path
    truth: Path | None


@dataclass(frozen=True)
class Trained:
    """The model, and the cohort that it learned from where that is known."""

    model: Path
    home: Place | None


def find_trained(folder: Path, home: Path | None) -> Trained:
    """The model of a run's folder with the run's cohort, or a model folder with the cohort that is given for it.

    Raises:
        InputDataError: There is no model.
    """
    if _is_model(folder):
        return Trained(folder, None if home is None else _place(home, "home"))
    model = next((folder / name for name in MODELS if _is_model(folder / name)), None)
    if model is None:
        raise InputDataError(f"{folder}: has no model; give a model folder, or the folder of a finished run")
    own = home or next((folder / name for name in COHORTS if _is_cohort(folder / name)), None)
    return Trained(model, None if own is None else _place(own, "home"))


def find_places(given: Sequence[str]) -> list[Place]:
    """Places by NAME=FOLDER or by folder: a cohort's, or one with `rationales/` or `build/` in it.

    Raises:
        InputDataError: There is no cohort.
        SettingsError: Two places have one name.
    """
    places = []
    for one in given:
        name, equals, folder = one.partition("=")
        named = bool(equals) and not Path(one).exists()
        path = Path(folder) if named else Path(one)
        if not named:
            real = path.resolve()
            name = real.parent.name if real.name in COHORTS else real.name
        places.append(_place(path, re.sub(r"[^\w.-]+", "-", name).lstrip(".") or "place"))
    for name in {place.name for place in places}:
        if name == "home" or sum(place.name == name for place in places) > 1:
            raise SettingsError(f"--test: two places are called '{name}'; give names, such as icu={places[0].cohort}")
    return places


def _place(folder: Path, name: str) -> Place:
    cohort = (
        folder if _is_cohort(folder) else next((folder / one for one in COHORTS if _is_cohort(folder / one)), None)
    )
    if cohort is None:
        raise InputDataError(f"{folder}: is not a cohort; give a folder that `clinragen build` or `rationales` wrote")
    hospital = cohort.resolve().parent / HOSPITAL
    return Place(name, cohort, hospital if (tables_of(hospital) / TRUTH).is_file() else None)


def _is_cohort(folder: Path) -> bool:
    return (folder / "data").is_dir()


def _is_model(folder: Path) -> bool:
    return (folder / "processor_config.json").is_file()
