"""A recipe: one YAML file with the settings of every stage of a run, checked before the first stage starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from clinragen.evaluation.config import EvaluateConfig
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.knowledge import WEB, KnowledgeConfig
from clinragen.pipeline.local_models import IN_PROCESS
from clinragen.pipeline.rationales import RationalesConfig
from clinragen.pipeline.synthesize import SynthesizeConfig
from dataset_builder.storage.config_fields import make_config, setting, setting_types
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError, SettingsError
from trainers.phases import PHASES

RECIPE_FORMAT = 1
SEEDED = ("synthesize", "build", "rationales")
RENEW = "run `clinragen recipe check FILE`, which names each setting that must change"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of every stage; relative paths in the file are taken from where the file lies.

    `train` maps phases, in the order of `trainers.phases`, to their YAML files.
    """

    build: BuildConfig = setting(help="How the cohort is built.")
    model: Path = setting(help="YAML file that says what model to build.")
    train: Mapping[str, Path] = setting(help="YAML file of each phase that is trained.")
    format: int = setting(RECIPE_FORMAT, help="Format of the recipe.")
    synthesize: SynthesizeConfig | None = setting(None, help="The synthetic hospital; leave it out for real tables.")
    knowledge: KnowledgeConfig = setting(KnowledgeConfig(), help="What the domain knowledge is made of.")
    rationales: RationalesConfig = setting(RationalesConfig(), help="Which teacher writes the rationales.")
    evaluate: EvaluateConfig = setting(EvaluateConfig(), help="How the models are scored.")
    notices: tuple[str, ...] = setting((), help="Sentences that every output must carry.")

    def with_seed(self, seed: int) -> Recipe:
        """The recipe with the seed of the run in every stage that draws anything."""
        configs = {name: getattr(self, name) for name in SEEDED if getattr(self, name) is not None}
        return replace(self, **{name: replace(config, seed=seed) for name, config in configs.items()})


def shipped_recipe(name: str) -> Path:
    """Path of a recipe that comes with the project, e.g. "quickstart"."""
    return Path(str(files("clinragen") / "recipes" / f"{name}.yaml"))


def load_recipe(path: Path) -> Recipe:
    """Read a recipe and check all of it, the files of its phases and its model included.

    Raises:
        SettingsError: The recipe is of an older format, a key is unknown, missing or of the wrong type, however
            deep, or settings do not fit together; the message names the file, the key and what was expected.
    """
    from clinragen.pipeline.recipe_check import check_model_size, check_phases, check_shape, check_stages
    from trainers.model_config import check_model_config, load_model_config, read_shape
    from trainers.phase_config import check_phase_config

    content = _read(path)
    for phase, file in content["train"].items():
        if phase not in [known.name for known in PHASES]:
            names = ", ".join(known.name for known in PHASES)
            raise SettingsError(f"{path}: train: unknown phase '{phase}'; use {names}")
        if not isinstance(file, str) or not file:
            raise SettingsError(f"{path}: train: {phase}: expected a path, got {file!r}")
    for section in SEEDED:
        if isinstance(content.get(section), Mapping) and "seed" in content[section]:
            raise SettingsError(f"{path}: {section}: seed: not expected in a recipe; give the run's seed as --seed")
    folder = path.resolve().parent
    try:
        recipe = make_config(Recipe, located(Recipe, content, folder), str(path))
    except InputDataError as error:  # a vocabulary or a split of the user's that is missing or faulty
        raise SettingsError(f"{path}: {error}") from error
    paths = {name: folder / file for name, file in recipe.train.items()}
    ordered = {phase.name: paths[phase.name] for phase in PHASES if phase.name in paths}
    for name, file in ordered.items():
        check_phase_config(name, file)
    check_model_config(recipe.model)
    shape = load_model_config(recipe.model).scratch
    if shape is not None:
        check_shape(shape, read_shape(shape))
    check_phases(ordered, path)
    check_stages(recipe.synthesize, recipe.build, recipe.rationales, path)
    check_model_size(recipe.model, recipe.build)
    return replace(recipe, train=ordered)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
    except InputDataError as error:
        raise SettingsError(str(error)) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected stages and their settings; see recipes/quickstart.yaml")
    if content.get("format") != RECIPE_FORMAT:
        raise SettingsError(
            f"{path}: is a recipe of format {content.get('format', 0)!r}, this version reads {RECIPE_FORMAT}; write "
            f"'format: {RECIPE_FORMAT}' into it and {RENEW}"
        )
    # A section that is there and empty says nothing.
    kept = {name: entry for name, entry in content.items() if entry is not None or name not in setting_types(Recipe)}
    missing = [name for name in ("build", "model", "train") if name not in kept]
    if missing:
        raise SettingsError(f"{path}: missing section '{missing[0]}'; see recipes/quickstart.yaml")
    if not isinstance(kept["train"], dict) or not kept["train"]:
        raise SettingsError(f"{path}: train: expected the YAML file of each phase (phase: file)")
    return kept


def located(kind: type, content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings of a config as written in a file in `folder`, with relative paths taken from there.

    A text that may be a name or a path is taken as the path of a folder (a local corpus) or file (a source) that lies
    beside the recipe.
    """
    types = setting_types(kind)
    found = dict(content)
    for name, value in content.items():
        options = get_args(types.get(name)) or (types.get(name),)
        nested = next((option for option in options if is_dataclass(option)), None)
        if isinstance(nested, type) and isinstance(value, Mapping):
            found[name] = located(nested, value, folder)
        elif Path in options and isinstance(value, str) and value:
            found[name] = str(folder / value)
        elif name in getattr(kind, "MAY_BE_FOLDERS", ()) or (kind is LLMConfig and _runs_here(name, content)):
            found[name] = _path_beside(value, folder, Path.is_dir)
        elif name in getattr(kind, "MAY_BE_FILES", ()):
            found[name] = _path_beside(value, folder, Path.is_file)
    return found


def _runs_here(name: str, content: Mapping[str, Any]) -> bool:
    """Whether a setting of a language model is the folder of one that runs in this process; a server's is a name."""
    return name == "model_name" and content.get("provider") == IN_PROCESS


def _path_beside(value: Any, folder: Path, is_there: Callable[[Path], bool]) -> Any:
    if isinstance(value, list):
        return [_path_beside(entry, folder, is_there) for entry in value]
    is_name = not isinstance(value, str) or not value or value in WEB
    return value if is_name or not is_there(folder / value) else str(folder / value)
