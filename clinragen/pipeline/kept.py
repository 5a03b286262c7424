"""Folders beside a stage's output that outlive it, whatever becomes of the stage: journals and caches."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.storage.files import PARTIAL


def kept_beside(output: Path, suffix: str) -> Path:
    """The folder with this suffix beside a stage's output; `output` may be the folder that is being filled."""
    return output.with_name(output.name.removesuffix(PARTIAL) + suffix)


def journal_folder(output: Path) -> Path:
    """The folder with a language model's answers for what is in `output`."""
    return kept_beside(output, ".journal")
