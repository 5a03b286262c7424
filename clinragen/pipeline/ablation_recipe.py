"""The recipe of an ablation, written out as an ordinary recipe that `clinragen run` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from clinragen.pipeline.ablation_file import REFERENCE, Ablation
from clinragen.pipeline.recipe import Recipe, load_recipe, located
from dataset_builder.storage.files import atomic_file, read_json, read_yaml
from modeling_clinragen.errors import SettingsError
from trainers.model_config import load_model_config, read_settings

RECIPE, MODEL, SHAPE = "recipe.yaml", "model.yaml", "shape.json"
FILE = "file"
"""Of a phase in a change: the YAML file that the phase is added, or replaced, with."""
SECTIONS = ("synthesize", "build", "knowledge", "rationales", "evaluate")


@dataclass(frozen=True)
class WrittenRecipe:
    """The files of a recipe by name, JSON-able: recipe.yaml, model.yaml, one YAML per phase and, where the language
    model is built from scratch, shape.json. Paths to anything else are absolute.
    """

    files: Mapping[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the files that differ from what is there, and remove others of their kinds; returns the recipe's."""
        for path in (*folder.glob("*.yaml"), *folder.glob("*.json")):
            if path.name not in self.files:
                path.unlink()
        for name, content in self.files.items():
            text = json.dumps(content, indent=2) + "\n" if name.endswith(".json") else _yaml(content)
            path = folder / name
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                with atomic_file(path) as beside:
                    beside.write_text(text, encoding="utf-8")
        return folder / RECIPE


def written_recipes(ablations: list[Ablation], texts: int | None) -> dict[str, WrittenRecipe]:
    """The recipes of all lines by name, each of them checked; nothing is left on the disk.

    Args:
        ablations: The reference first, see `read_ablations`.
        texts: `evaluate.texts` of every line; None is each recipe's own.

    Raises:
        SettingsError: A recipe could not be run, or is the reference's; the message begins with the ablation's file.
    """
    load_recipe(ablations[0].path)  # a fault of the recipe itself is not the ablation's
    found: dict[str, WrittenRecipe] = {}
    effective: dict[str, Any] = {}
    for ablation in ablations:
        if ablation.base != ablation.recipe:
            load_recipe(ablation.base)
        written = _changed(ablation, texts)
        settings = _checked(written, ablation)
        if ablation.name != REFERENCE and settings == effective[REFERENCE]:
            raise SettingsError(
                f"{ablation.path}: change: changes nothing, every setting has this value in {ablation.recipe}; give "
                "another value, or leave the file out"
            )
        found[ablation.name], effective[ablation.name] = written, settings
    return found


def _changed(ablation: Ablation, texts: int | None) -> WrittenRecipe:
    folder, base = ablation.path.resolve().parent, ablation.base.resolve().parent
    content = read_yaml(ablation.base)
    model = base / content["model"]
    phases = {name: read_yaml(base / file) or {} for name, file in content["train"].items()}
    recipe = located(Recipe, {name: value for name, value in content.items() if value is not None}, base)
    for name in SECTIONS:
        if change := getattr(ablation.change, name):
            recipe[name] = _merged(recipe.get(name, {}), located(Recipe, {name: change}, folder)[name])
    if texts is not None:
        recipe["evaluate"] = {**recipe.get("evaluate", {}), "texts": texts}
    files = _model_files(read_yaml(model) or {}, model.parent, ablation.change.model, folder)
    phases = _changed_phases(phases, ablation)
    files |= {f"{name}.yaml": settings for name, settings in phases.items()}
    recipe |= {"model": MODEL, "train": {name: f"{name}.yaml" for name in phases}}
    return WrittenRecipe({RECIPE: recipe, **files})


def _model_files(model: Mapping[str, Any], base: Path, change: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """model.yaml and what it names: the shape of a language model is copied, the folder of one is named."""
    merged = _merged(model, change)
    files: dict[str, Any] = {MODEL: merged}
    for name in ("scratch", "backbone"):
        value, beside = merged.get(name), folder if name in change else base
        if not isinstance(value, str):
            continue
        if name == "scratch" and (beside / value).is_file():
            files[SHAPE], merged[name] = read_json(beside / value), SHAPE
        elif name == "scratch" or (beside / value).exists():
            merged[name] = str(beside / value)
    return files


def _changed_phases(phases: Mapping[str, Any], ablation: Ablation) -> dict[str, Any]:
    found = dict(phases)
    for name, change in ablation.change.train.items():
        where = f"{ablation.path}: change: train: {name}"
        if change is None:
            if name not in found:
                raise SettingsError(f"{where}: {ablation.base} has no such phase to leave out; remove the line")
            del found[name]
            continue
        if not isinstance(change, Mapping):
            raise SettingsError(f"{where}: expected settings (key: value), or nothing to leave the phase out")
        if FILE in change:
            found[name] = _file_of(change[FILE], ablation.path, where)
        elif name not in found:
            raise SettingsError(f"{where}: {ablation.base} has no such phase; add it with 'file: PHASE.yaml'")
        found[name] = _merged(found[name], {key: value for key, value in change.items() if key != FILE})
    return found


def _file_of(named: Any, path: Path, where: str) -> Any:
    if not isinstance(named, str) or not (path.parent / named).is_file():
        raise SettingsError(f"{where}: {FILE}: {named} is missing; check the path")
    return read_settings(path.parent / named) or {}


def _merged(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the changed ones in their place; one that is changed to nothing is taken out."""
    found = dict(settings)
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            before = found.get(name)
            found[name] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            found[name] = value
    return found


def _checked(written: WrittenRecipe, ablation: Ablation) -> Any:
    """All settings of a recipe with their defaults, to be compared with another's, after it has been checked."""
    with TemporaryDirectory() as folder:
        path = written.write(Path(folder).resolve())
        try:
            recipe = load_recipe(path)
        except SettingsError as error:
            raise SettingsError(_blamed(str(error), ablation, path)) from error
        model = load_model_config(recipe.model)
        # Its shape counts by its content, below, and not by where it was checked.
        model = model if model.scratch is None else replace(model, scratch=Path(SHAPE))
        return (
            *(getattr(recipe, name) for name in SECTIONS),
            recipe.notices,
            model,
            written.files.get(SHAPE),
            {name: _unlike_defaults(written.files[file.name]) for name, file in recipe.train.items()},
        )


def _unlike_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A phase's settings that have another value than by default, by name."""
    from trainers.phase_config import PhaseConfig

    defaults = {one.name: one.default for one in fields(PhaseConfig) if one.default is not MISSING}
    plain = {name: _number(value) for name, value in settings.items()}
    return {name: value for name, value in plain.items() if name not in defaults or value != defaults[name]}


def _number(value: Any) -> Any:
    """A number that YAML reads as a text, such as 1e-3, as a number."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _blamed(message: str, ablation: Ablation, path: Path) -> str:
    """A message about a written file, as one about the ablation that it was written from."""
    for file in sorted(path.parent.iterdir()):
        part = {RECIPE: "", MODEL: ": model", SHAPE: ": model: scratch"}.get(file.name, f": train: {file.stem}")
        message = message.replace(str(file), f"{ablation.path}{part}")
    return message


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
