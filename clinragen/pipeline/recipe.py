"""A recipe: one YAML file that says what every stage of a run does."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from modeling_clinragen.errors import SettingsError

PHASES = ("backbone", "note", "lab", "multimodal")


@dataclass(frozen=True)
class Recipe:
    """Settings by stage, as they stand in the file; `path` is what relative file names refer to.

    `synthesize` is None where the tables are the user's own; `train` maps phases, in order, to their YAML files.
    """

    path: Path
    build: dict[str, Any]
    model: Path
    train: dict[str, Path]
    synthesize: dict[str, Any] | None = None
    knowledge: dict[str, Any] = field(default_factory=dict)
    rationales: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def shipped_recipe(name: str) -> Path:
    """Path of a recipe that comes with the project, e.g. "quickstart"."""
    return Path(str(files("clinragen") / "recipes" / f"{name}.yaml"))


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises `SettingsError` that names the file and the field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check the path of the recipe") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not a readable YAML file; check its syntax") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: is not a recipe; it must map stages to their settings")
    allowed = {"synthesize", "build", "knowledge", "rationales", "model", "train", "evaluate", "notices"}
    unknown = sorted(set(content) - allowed)
    if unknown:
        raise SettingsError(f"{path}: '{unknown[0]}' is no part of a recipe; it may have {', '.join(sorted(allowed))}")
    missing = sorted({"build", "model", "train"} - set(content))
    if missing:
        raise SettingsError(f"{path}: '{missing[0]}' is missing; add it (see recipes/quickstart.yaml)")
    phases = [phase for phase in PHASES if phase in content["train"]]
    strange = sorted(set(content["train"]) - set(PHASES))
    if strange:
        raise SettingsError(f"{path}: '{strange[0]}' is no phase; use {', '.join(PHASES)}")
    folder = path.resolve().parent
    return Recipe(
        path=path,
        synthesize=content.get("synthesize"),
        build=content["build"],
        knowledge=content.get("knowledge") or {},
        rationales=content.get("rationales") or {},
        model=folder / content["model"],
        train={phase: folder / content["train"][phase] for phase in phases},
        evaluate=content.get("evaluate") or {},
        notices=tuple(content.get("notices") or ()),
    )
