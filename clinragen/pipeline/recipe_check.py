"""Checks of a recipe that need more than one of its settings, or files beside it: nothing is run before they hold."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.evaluation.systems import MAIN, main_phase
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.rationales import RationalesConfig
from clinragen.pipeline.synthesize import SynthesizeConfig
from dataset_builder.contract.definitions import load_definitions
from dataset_builder.sources.spec import source_names
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import ClinRaGenError, SettingsError
from trainers.model_config import load_model_config
from trainers.phases import PHASES, phase_named

NEWEST_NAMES = {"torch_dtype", "dtype", "transformers_version"}
"""Keys that every config of a language model may have, whatever transformers calls them at present."""


def check_stages(
    synthesize: SynthesizeConfig | None, build: BuildConfig, rationales: RationalesConfig, path: Path
) -> None:
    """Check that the source, the world and the range set of a recipe exist.

    Args:
        synthesize, build, rationales: Settings of these stages.
        path: The recipe's file, for messages.

    Raises:
        SettingsError: One of them does not exist.
    """
    if build.source not in source_names() and not Path(build.source).is_file():
        wanted = f"one of {', '.join(source_names())}, or a source's YAML file"
        raise SettingsError(f"{path}: build: source: expected {wanted}, got '{build.source}'")
    if synthesize is not None and synthesize.world is not None and not synthesize.world.is_dir():
        raise SettingsError(f"{path}: synthesize: world: {synthesize.world} is not a folder; check the path")
    if rationales.range_set is not None:
        try:
            load_definitions(build.vocabulary).vocabulary.range_set(rationales.range_set)
        except ClinRaGenError as error:
            raise SettingsError(f"{path}: rationales: range_set: {error}") from error


def check_phases(files: Mapping[str, Path], path: Path) -> None:
    """Check that the phases of a recipe follow from each other.

    Args:
        files: The YAML file of each phase, in order.
        path: The recipe's file, for messages.

    Raises:
        SettingsError: A phase does not start from the one before it, or none of them gives the full model.
    """
    before: str | None = None
    for name, file in files.items():
        parents = phase_named(name).parents
        if before not in parents and not _skips(file):
            wanted = " or ".join(f"'{parent}'" if parent else "an untrained model" for parent in parents)
            given = f"'{before}'" if before else "an untrained model"
            raise SettingsError(
                f"{path}: train: the phase '{name}' starts from {wanted}, but here from {given}; add what is "
                f"missing, or set allow_skipped_phases in {file}"
            )
        before = name
    if main_phase(list(files)) is None:
        main = next(phase.name for phase in PHASES if phase.system == MAIN)
        raise SettingsError(
            f"{path}: train: lacks the phase '{main}', whose model is scored as the full one; add it, or end with "
            "another phase that reads note and labs"
        )


def check_shape(path: Path, content: Mapping[str, Any]) -> None:
    """Check the config of a language model that is built from scratch.

    Args:
        path: Its file, for messages.
        content: What the file says, with its model_type.

    Raises:
        SettingsError: transformers knows no such model type, or this type has no such key.
    """
    from transformers import CONFIG_MAPPING, PretrainedConfig

    name = content["model_type"]
    if name not in CONFIG_MAPPING:
        raise SettingsError(f"{path}: model_type: transformers knows no '{name}'; use for example t5")
    kind = CONFIG_MAPPING[name]
    known = {*kind().to_dict(), *kind.attribute_map, *NEWEST_NAMES}
    known |= {*inspect.signature(kind.__init__).parameters, *inspect.signature(PretrainedConfig.__init__).parameters}
    for key in content:
        if key not in known and not key.startswith("_"):
            raise SettingsError(f"{path}: unknown key '{key}' for a model of type '{name}'; leave it out")


def check_model_size(path: Path, build: BuildConfig) -> None:
    """Check that the model of a recipe could be built for its cohort, and on this machine.

    Args:
        path: The model's YAML file.
        build: Settings of the cohort, whose vocabulary decides the model's inputs and outputs.

    Raises:
        SettingsError: Settings of the model do not fit each other, or are absurd (see `possible_layout`).
    """
    from trainers.build_model import check_size

    try:
        check_size(load_model_config(path), load_definitions(build.vocabulary).vocabulary)
    except SettingsError as error:
        # A fault of the language model's own config already begins with its file.
        message = str(error)
        raise SettingsError(message if message.startswith(str(path.parent)) else f"{path}: {message}") from error


def _skips(file: Path) -> bool:
    content = read_yaml(file)
    return isinstance(content, Mapping) and content.get("allow_skipped_phases") is True
