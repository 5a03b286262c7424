"""Runs one stage unless its output is up to date: same settings, inputs, code and libraries, and every file whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from clinragen.pipeline.digests import (
    EVERYTHING,
    HASHES,
    STAMP,
    STAMP_FORMAT,
    YAML,
    HashCache,
    file_names,
    folder_digests,
    read_stamp,
    recorded_digests,
    settings_content,
    stage_digest,
)
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.config_fields import deciding
from dataset_builder.storage.files import (
    PARTIAL,
    atomic_folder,
    fingerprint,
    folder_lock,
    make_private,
    output_folder,
    read_json,
    read_yaml,
    write_json,
)
from dataset_builder.storage.governance import PROVENANCE, is_credentialed, read_provenance
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageKind:
    """One step of the method: a config, and the function `run(config, inputs, output, report)` of a module.

    Args:
        name: What the stage is called on the command line and in recipes.
        config: The dataclass of its settings.
        module: The module that holds `run`; what it imports, directly or not, is the code that decides the output.
        reads: Of some inputs the only files that are read, by role; of the others everything counts.
        resumes: Whether `run` can go on from what an interrupted run left behind.
        together: Whether several processes share the work; `run` is then called in each of them, with the `Processes`
            as a fifth argument, and only the first writes. Of any other stage only the first process runs it.
    """

    name: str
    config: type
    module: str
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resumes: bool = False
    together: bool = False


class Input(Protocol):
    """An input of a stage: another stage's folder, a folder of the user's, or a source's tables."""

    @property
    def location(self) -> Path | str:
        """The folder, or the URL of a database, that `run` reads."""

    def input_digest(self, cache: HashCache, patterns: Iterable[str]) -> Any:
        """A JSON-able value that changes when the content does."""


class GivenFolder:
    """A folder that the user already has; it is read, never written. Raises `InputDataError` if it does not exist."""

    def __init__(self, folder: Path, what: str) -> None:
        if not folder.is_dir():
            raise InputDataError(f"{folder}: is not a folder; give the {what}")
        self.location = folder

    def input_digest(self, cache: HashCache, patterns: Iterable[str]) -> Any:
        """Digests of the files by name; of a stage's whole output those that it recorded, else of all."""
        stamp = read_stamp(self.location)
        if stamp is not None and recorded_digests(self.location, cache) == stamp["files"]:
            return recorded_digests(self.location, cache, patterns)
        return folder_digests(self.location, cache, patterns)


class Stage:
    """A stage with its settings, inputs and output folder.

    Args:
        kind: Which step of the method it is.
        config: Its settings.
        inputs: What it reads, by role.
        folder: Where its output appears, whole or not at all.
        report: Called with the progress of the work.
        label: What it is called where one kind runs several times ("train note").
        processes: Those that run this command together. Only the first one looks at the output and writes it.
    """

    def __init__(
        self,
        kind: StageKind,
        config: Any,
        inputs: Mapping[str, Input],
        folder: Path,
        report: Report = no_report,
        *,
        label: str | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.kind = kind
        self.config = config
        self.inputs = dict(inputs)
        self.folder = folder
        self.report = report
        self.name = label or kind.name
        self.processes = processes

    @property
    def location(self) -> Path:
        """The output folder, which later stages read."""
        return self.folder

    def input_digest(self, cache: HashCache, patterns: Iterable[str]) -> Any:
        """Digests of the output's files by name, for the stages that read it."""
        return recorded_digests(self.folder, cache, patterns)

    def settings(self, cache: HashCache) -> dict[str, Any]:
        """The settings that decide the output, JSON-able; files count by what they say."""
        return decisive_settings(self.config, cache)

    def digest(self, cache: HashCache) -> str:
        """Fingerprint of settings, inputs, code and installed libraries. All inputs must be there."""
        return self._digest_with(self.settings(cache), cache)

    def _digest_with(self, settings: Mapping[str, Any], cache: HashCache) -> str:
        return stage_digest(self.name, settings, self._input_digests(cache), code_fingerprint(self.kind.module))

    def _digest_to_go_on(self, digest: str, cache: HashCache) -> str:
        """Fingerprint of what an interrupted run must have had the same, for this one to go on where it stopped: the
        stage's own, unless its config says that less decides.
        """
        content = getattr(self.config, "content_to_go_on", None)
        return digest if content is None else self._digest_with({**self.settings(cache), **content}, cache)

    def _input_digests(self, cache: HashCache) -> dict[str, Any]:
        return {
            role: given.input_digest(cache, self.kind.reads.get(role, EVERYTHING))
            for role, given in self.inputs.items()
        }

    def finished(self) -> bool:
        """Whether the folder holds, complete and unchanged, the output of exactly this stage."""
        cache = HashCache.beside(self.folder)
        return self._finished(self.digest(cache), cache)

    def run(self) -> bool:
        """Run unless finished. Returns whether it had to run.

        What is made of credentialed data, by its own record or an input's, is its owner's alone.

        Raises:
            InputDataError: The output would overlap an input, lie in another stage's output, or replace what is not
                this project's.
            StageError: Another of the processes that run it together has failed, or was given something else.
        """
        cache = HashCache.beside(self.folder)
        with self.processes.together():
            if self.processes.count > 1:
                self.processes.require_same(self.name, self._parts(cache))
            if not self.processes.first:
                return self._follow()
            ran = self._lead(cache)
            self.processes.share({"ran": ran})
            return ran

    def _follow(self) -> bool:
        """Do what the first process says until it is done; returns whether the stage had to run."""
        while "ran" not in (said := self.processes.share()):
            self._work(Path(said["folder"]), no_report)
        return bool(said["ran"])

    def _parts(self, cache: HashCache) -> dict[str, str]:
        """Digests of all that every process must have the same, by what each is called: the stage, and of a shared one
        everything that decides it.
        """
        parts: dict[str, Any] = {"the stage": self.name}
        if self.kind.together:
            parts |= _named_settings(self.config, cache)
            parts |= {f"the input '{role}'": found for role, found in self._input_digests(cache).items()}
            parts["the code or its libraries"] = code_fingerprint(self.kind.module)
        return {name: fingerprint(part) for name, part in parts.items()}

    def _lead(self, cache: HashCache) -> bool:
        digest = self.digest(cache)  # what is wrong with an input is reported first
        if not self._finished(digest, cache):
            folders = [given.location for given in self.inputs.values() if isinstance(given.location, Path)]
            folder = output_folder(self.folder, [*folders, *_paths_of(self.config)])
            _require_outside_stages(self.folder)
            with folder_lock(folder):
                if not self._finished(digest, cache):  # nor by another process meanwhile
                    self._run(folder, digest, cache, private=any(_is_credentialed(path) for path in folders))
                    return True
        logger.info("Stage %s is up to date", self.name)
        return False

    def _finished(self, digest: str, cache: HashCache) -> bool:
        stamp = read_stamp(self.folder)
        if stamp is None or stamp.get("fingerprint") != digest:
            return False
        return recorded_digests(self.folder, cache) == stamp["files"]

    def _run(self, target: Path, digest: str, cache: HashCache, *, private: bool) -> None:
        made = {"format": STAMP_FORMAT, "stage": self.name}
        started = {**made, "fingerprint": self._digest_to_go_on(digest, cache)}
        left = target.with_name(target.name + PARTIAL)
        marker = left / (STAMP + ".started")
        if left.exists() and _read_or_none(marker) != started:
            shutil.rmtree(left)
        with atomic_folder(target, resume=self.kind.resumes, private=private) as folder:
            write_json(folder / marker.name, started)
            if self.kind.together:
                self.processes.share({"folder": str(folder)})
            self._work(folder, self.report)
            (folder / marker.name).unlink()
            files = folder_digests(folder, HashCache())
            _keep_extra(target, folder)
            stamp = {**made, "fingerprint": digest, "settings": self.settings(cache), "files": files}
            write_json(folder / STAMP, stamp)
            private = private or _is_credentialed(folder)
            if private:
                make_private(folder)
        # With the paths and times of the finished folder, so that the next check need not read it again.
        recorded_digests(target, cache)
        write_json(target / HASHES, cache.content())
        if private:
            make_private(target)

    def _work(self, folder: Path, report: Report) -> None:
        inputs = {role: given.location for role, given in self.inputs.items()}
        others = [self.processes] if self.kind.together else []
        import_module(self.kind.module).run(self.config, inputs, folder, report, *others)


def decisive_settings(config: Any, cache: HashCache) -> dict[str, Any]:
    """The settings of a config that decide the output, with the content of files in place of their paths."""
    found = deciding(config, lambda value: settings_content(value, cache))
    # What a config knows to decide besides or instead of its fields' own values, such as files that a file names.
    found |= settings_content(getattr(config, "deciding_content", {}), cache, parse_folders=False)
    return found


def _named_settings(config: Any, cache: HashCache) -> dict[str, Any]:
    """All settings by name, those of a YAML file one by one, and whatever else decides.

    Those that decide nothing count as well: processes that save at different steps would wait for each other.
    """
    found = decisive_settings(config, cache)
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, Path) and value.suffix in YAML and value.is_file():
            content = read_yaml(value)
            named = content if isinstance(content, Mapping) else {"content": content}
            found |= {f"{name} of {one.name}": inner for name, inner in named.items()}
            found.pop(one.name, None)
        elif isinstance(value, str | int | float | list | tuple):
            found[one.name] = value
    return found


def run_stages(stages: Iterable[Stage], announce: Callable[[Stage, int, int], None]) -> None:
    """Run stages in order; `announce` is called before each with its number and how many there are."""
    listed = list(stages)
    if listed:
        processes = listed[0].processes
        with processes.together():
            # Where one has more stages than another, it would wait for ever.
            processes.require_same("the recipe", {"its stages": [stage.name for stage in listed]})
    for number, stage in enumerate(listed, start=1):
        announce(stage, number, len(listed))
        stage.run()


def _paths_of(config: Any) -> list[Path]:
    """Files and folders that the settings name."""
    found: list[Path] = []
    waiting: list[Any] = [getattr(config, one.name) for one in fields(config)]
    waiting += getattr(config, "deciding_content", {}).values()
    while waiting:
        value = waiting.pop()
        found += [value] if isinstance(value, Path) else []
        waiting += value if isinstance(value, list | tuple) else []
        waiting += value.values() if isinstance(value, Mapping) else []
    return found


def _require_outside_stages(folder: Path) -> None:
    """Raise `InputDataError` where the output would lie in the output of another stage, which is replaced whole."""
    for above in folder.resolve().parents:
        if (above / STAMP).is_file():
            raise InputDataError(f"{folder}: lies in {above}, the output of a stage; choose another output folder")


def _keep_extra(before: Path, folder: Path) -> None:
    """Take over what somebody laid beside the files of the output that is replaced; it is not ours to delete."""
    stamp = read_stamp(before)
    if stamp is None:
        return
    for name in file_names(before, hidden=True):
        if name in stamp["files"]:
            continue
        kept = folder / name
        if kept.exists():
            logger.warning("%s: is replaced; the stage now writes a file of this name", before / name)
            continue
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(before / name, kept)
        logger.info("%s: was not written by this stage; kept", before / name)


def _read_or_none(path: Path) -> Any:
    """A stamp's content; None where it is missing or damaged, so that the stage runs again."""
    try:
        return read_json(path)
    except InputDataError:
        return None


def _is_credentialed(folder: Path) -> bool:
    return (folder / PROVENANCE).is_file() and is_credentialed(read_provenance(folder))
