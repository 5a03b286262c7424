"""Writes the folder of a Space: the page, the project's own packages and one model."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from clinragen.publishing.shipment import Shipment
from dataset_builder.storage.governance import PROVENANCE, is_synthetic, read_provenance
from modeling_clinragen.errors import GovernanceError

SPACE = "spaces_demo"
SPACE_FILES = ("app.py", "README.md", "requirements.txt")
PACKAGES = ("clinragen", "dataset_builder", "modeling_clinragen", "trainers")
"""A Space installs its requirements before it has the files, so the project's own packages travel beside app.py."""
MODEL = "model"
# Of the packages, what a page does not need: a model that is shipped with them would be a second one.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.safetensors", "*.partial")


def require_shown_to_everybody(folder: Path) -> None:
    """Raise `GovernanceError` unless a model is recorded as made from synthetic patients: anybody can question it."""
    if not is_synthetic(read_provenance(folder)):
        raise GovernanceError(f"{folder}: is not recorded as made from synthetic patients, and a Space shows no other")


def write_space(folder: Path, model: Shipment) -> None:
    """Fill a folder with a Space.

    Args:
        folder: An empty folder.
        model: The files of its model.
    """
    with as_file(files(SPACE)) as source:
        for name in SPACE_FILES:
            shutil.copyfile(source / name, folder / name)
    for package in PACKAGES:
        with as_file(files(package)) as source:
            # Links are followed: an editable installation has one to the recipes.
            shutil.copytree(source, folder / package, ignore=_LEFT_OUT, copy_function=shutil.copyfile)
    (folder / MODEL).mkdir()
    for name, content in model.files.items():
        if isinstance(content, bytes):
            (folder / MODEL / name).write_bytes(content)
        else:
            shutil.copyfile(content, folder / MODEL / name)
    # What the folder is made of; it is also how a folder of this program is known.
    shutil.copyfile(folder / MODEL / PROVENANCE, folder / PROVENANCE)
