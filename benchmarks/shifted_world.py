"""Another hospital: the shipped synthetic world with what differs between hospitals changed, by one fixed rule.

    python benchmarks/shifted_world.py FOLDER [--shift units]
    clinragen synthesize --world FOLDER --patients 2000 --output runs/shifted/hospital

Prevalences are multiplied by factors between 1/2 and 2 (drawn once, seed 0; at most 0.6, or 0.45 where two diseases
exclude each other); vital signs and laboratory values are taken half as often, and a variable is missing five times as
often; there are more mentions of diseases that are absent, more misleading readings and more second phrases;
temperatures are mostly in degrees Celsius. What a disease does to a patient, and the words, are the same. The rule was
written before any model was tried on such a hospital.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.storage.files import read_yaml

WORLD, PHRASES = "world.yaml", "phrases.yaml"
SEED = 0
MOST, MOST_OF_A_PAIR = 0.6, 0.45


def prevalence(world: dict[str, Any]) -> None:
    """Other diseases are common."""
    rng = random.Random(SEED)
    paired = {key for pair in world["exclusive"] for key in pair}
    for key, disease in world["diseases"].items():
        most = MOST_OF_A_PAIR if key in paired else MOST
        disease["prevalence"] = round(min(most, disease["prevalence"] * 2 ** rng.uniform(-1, 1)), 3)


def missingness(world: dict[str, Any]) -> None:
    """Everything is measured half as often, and more often not at all."""
    for name, times in world["schedule"].items():
        if name != "early_hours":
            times |= {part: [2 * hours for hours in times[part]] for part in ("early", "late")}
    world["rates"] |= {"not_charted": 0.15, "gas_taken": 0.15}


def courses(world: dict[str, Any]) -> None:
    """More readings mislead; more courses are mild, or begin late."""
    for confounder in world["confounders"]:
        confounder["share"] = min(1.0, 2 * confounder["share"])
    world["rates"] |= {"mild": 0.25, "late_onset": 0.15}


def units(world: dict[str, Any]) -> None:
    """Temperatures are mostly in degrees Celsius."""
    world["rates"] |= {"celsius": 0.9}


def notes(world: dict[str, Any]) -> None:
    """More mentions of absent diseases, more second phrases, and past illnesses in their list."""
    world["notes"] |= {"mentions": [5, 9], "second_phrase": 0.5, "history_in_opening": 0.1}


SHIFTS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    one.__name__: one for one in (prevalence, missingness, courses, units, notes)
}
"""The changes by name; each alone, or all together, makes another hospital."""


def shifted(world: dict[str, Any], shifts: Iterable[str] = tuple(SHIFTS)) -> dict[str, Any]:
    """The world's content with the changes of these names."""
    for name in shifts:
        SHIFTS[name](world)
    return world


def main() -> None:
    """Write the world's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shift", choices=SHIFTS, action="append", help="Only this change; all by default.")
    given = parser.parse_args()
    folder: Path = given.folder
    shipped = Path(str(files("dataset_builder.synthetic")))
    folder.mkdir(parents=True, exist_ok=True)
    content = shifted(read_yaml(shipped / WORLD), given.shift or SHIFTS)
    (folder / WORLD).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    shutil.copyfile(shipped / PHRASES, folder / PHRASES)


if __name__ == "__main__":
    main()
