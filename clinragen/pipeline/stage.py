"""Stages with fingerprints: a finished stage whose inputs and settings have not changed is not run again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import (
    PARTIAL,
    atomic_folder,
    fingerprint,
    folder_lock,
    make_private,
    output_folder,
    read_json,
    write_json,
)
from dataset_builder.storage.governance import PROVENANCE, is_credentialed, read_provenance
from modeling_clinragen.errors import StageError

logger = logging.getLogger(__name__)

STAMP = "stage.json"
CODE_SUFFIXES = {".py", ".yaml", ".json", ".csv", ".md"}


@lru_cache(maxsize=16)
def code_fingerprint(package: str) -> str:
    """Digest of a package's code and data files: a stage made by other code is not up to date."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StageError(f"the package '{package}' is not installed; install the project again")
    root = Path(next(iter(spec.submodule_search_locations)))
    files = (path for path in root.rglob("*") if path.suffix in CODE_SUFFIXES and "__pycache__" not in path.parts)
    return fingerprint(package, files=files)


@dataclass
class Stage:
    """One step of a run.

    Args:
        name: What the stage is called on the command line.
        folder: Where its output appears, whole or not at all.
        work: Called with the folder to fill.
        settings: Everything, JSON-able, that decides the output besides the inputs.
        inputs: Stages whose output this one reads.
        code: Packages whose code decides the output.
        files: Files of the user's that it reads.
        resumes: Whether `work` can go on from what an interrupted run left behind.
    """

    name: str
    folder: Path
    work: Callable[[Path], Any]
    settings: dict[str, Any]
    inputs: tuple[Stage, ...] = ()
    code: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    resumes: bool = False
    _digest: str | None = field(default=None, repr=False)

    def digest(self) -> str:
        """Fingerprint of settings, code, files and, through theirs, of all inputs."""
        if self._digest is None:
            upstream = [stage.digest() for stage in self.inputs]
            code = [code_fingerprint(package) for package in self.code]
            self._digest = fingerprint(self.name, self.settings, upstream, code, files=self.files)
        return self._digest

    def finished(self) -> bool:
        """Whether the folder holds the output of exactly this stage."""
        stamp = self.folder / STAMP
        return stamp.is_file() and read_json(stamp).get("fingerprint") == self.digest()

    def run(self) -> bool:
        """Run unless finished. Returns whether it had to run.

        What is made of credentialed data, by its own record or an input's, is its owner's alone. Raises
        `InputDataError` where the output would overlap an input or replace what is not this project's.
        """
        if not self.finished():
            self.digest()  # what is wrong with an input is said first
            # A database has no folder.
            inputs = [stage.folder for stage in self.inputs if stage.folder.name]
            folder = output_folder(self.folder, [*inputs, *self.files])
            with folder_lock(folder):
                if not self.finished():  # nor by another process meanwhile
                    self._run(folder, private=any(_is_credentialed(path) for path in inputs))
                    return True
        logger.info("Stage %s is up to date", self.name)
        return False

    def _run(self, target: Path, *, private: bool) -> None:
        stamp = {"stage": self.name, "fingerprint": self.digest(), "settings": self.settings}
        left = target.with_name(target.name + PARTIAL)
        marker = left / (STAMP + ".started")
        if left.exists() and (not marker.is_file() or read_json(marker) != stamp):
            shutil.rmtree(left)
        with atomic_folder(target, resume=self.resumes, private=private) as folder:
            write_json(folder / marker.name, stamp)
            self.work(folder)
            (folder / marker.name).unlink()
            write_json(folder / STAMP, stamp)
            if _is_credentialed(folder):
                make_private(folder)


def _is_credentialed(folder: Path) -> bool:
    return (folder / PROVENANCE).is_file() and is_credentialed(read_provenance(folder))


def run_stages(stages: Iterable[Stage], announce: Callable[[Stage, int, int], None]) -> None:
    """Run stages in order; `announce` is called before each with its place and the number of stages."""
    listed = list(stages)
    for place, stage in enumerate(listed, start=1):
        announce(stage, place, len(listed))
        stage.run()
