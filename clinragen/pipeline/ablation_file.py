"""An ablation: a YAML file that says what differs from a recipe, and the line of the table that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dataset_builder.storage.config_fields import make_config, setting
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError, SettingsError

ABLATION_FORMAT = 1
REFERENCE = "reference"
"""Folder of the recipe's own runs, with which all others are compared."""
SHARED = "shared"
"""Folder of the stages that the runs of a seed share."""
Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Change:
    """Settings that differ from the recipe's, by section; a setting that is null is taken out.

    `model` has settings of the model's YAML; `train` has, by phase, settings of the phase's YAML, or null where the
    phase is left out.
    """

    model: Settings = setting({}, help="Settings of the model.")
    train: Settings = setting({}, help="Settings by phase; null leaves a phase out, `file` adds one.")
    synthesize: Settings = setting({}, help="Settings of the synthetic hospital.")
    build: Settings = setting({}, help="Settings of the cohort.")
    knowledge: Settings = setting({}, help="Settings of the knowledge base.")
    rationales: Settings = setting({}, help="Settings of the rationales.")
    evaluate: Settings = setting({}, help="Settings of the evaluation.")

    def given(self) -> dict[str, Any]:
        """The sections that change something, JSON-able."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}


@dataclass(frozen=True, kw_only=True)
class AblationFile:
    """The content of an ablation's YAML file; relative paths are taken from where the file lies."""

    title: str = setting(help="How the table calls the line.")
    recipe: Path = setting(help="The recipe that the line is compared with.")
    format: int = setting(ABLATION_FORMAT, help="Format of the file.")
    instead: Path | None = setting(None, help="Another recipe that is run in place of it.")
    change: Change = setting(Change(), help="Settings that differ.")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One line of the table.

    Args:
        name: Name of its folders: that of the file without its ending.
        title: How the table calls it.
        path: The file that says what differs; of the reference the recipe.
        recipe: The recipe that it is compared with.
        base: The recipe that is changed: `recipe`, or the whole other one that the file names.
        change: What differs from `base`.
    """

    name: str
    title: str
    path: Path
    recipe: Path
    base: Path
    change: Change


def read_ablations(paths: Iterable[Path]) -> list[Ablation]:
    """The lines of a table: the recipe as it is, then each file's.

    Raises:
        SettingsError: There is no file, one cannot be read or has a setting that is unknown, missing or of the wrong
            type, two have the same name, or they are about different recipes.
    """
    found = [_read(path) for path in paths]
    if not found:
        raise SettingsError("give the ablations' YAML files, such as recipes/ablations/*.yaml")
    first = found[0]
    for number, one in enumerate(found):
        if one.recipe.resolve() != first.recipe.resolve():
            raise SettingsError(
                f"{one.path}: recipe: changes {one.recipe}, but {first.path} changes {first.recipe}; give the files "
                "of one recipe at a time"
            )
        for other in found[:number]:
            if one.name == other.name or one.title == other.title:
                same = "name" if one.name == other.name else "title"
                raise SettingsError(f"{one.path}: has the same {same} as {other.path}; rename one of them")
    reference = Ablation(
        name=REFERENCE,
        title=f"The recipe ({first.recipe.stem})",
        path=first.recipe,
        recipe=first.recipe,
        base=first.recipe,
        change=Change(),
    )
    return [reference, *found]


def _read(path: Path) -> Ablation:
    if path.stem in (REFERENCE, SHARED):
        raise SettingsError(f"{path}: the name {path.stem} is taken by a folder of every table; rename the file")
    try:
        content = read_yaml(path)
    except InputDataError as error:
        raise SettingsError(str(error)) from error
    read = make_config(AblationFile, content, str(path))
    if read.format != ABLATION_FORMAT:
        raise SettingsError(
            f"{path}: format: is {read.format}, this version reads {ABLATION_FORMAT}; write 'format: "
            f"{ABLATION_FORMAT}' and see docs/ablations.md"
        )
    recipe = _beside(path, read.recipe, "recipe")
    base = recipe if read.instead is None else _beside(path, read.instead, "instead")
    return Ablation(name=path.stem, title=read.title, path=path, recipe=recipe, base=base, change=read.change)


def _beside(path: Path, named: Path, setting_name: str) -> Path:
    found = path.parent / named
    if not found.is_file():
        raise SettingsError(f"{path}: {setting_name}: {found} is missing; check the path")
    return found
