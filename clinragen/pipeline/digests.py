"""Content digests of files and folders; size and times only save hashing what has been hashed before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import PARTIAL, file_digest, fingerprint, read_json, read_yaml
from dataset_builder.storage.governance import PROVENANCE
from modeling_clinragen.errors import InputDataError

STAMP = "stage.json"
STAMP_FORMAT = 1
HASHES = "stage.hashes.json"
EVERYTHING = ("*",)
YAML = (".yaml", ".yml")


class HashCache:
    """Digests of files by path, each with the size, times and inode that it was computed at.

    A file whose size, times and inode are the same is not read again; any other one is.
    """

    def __init__(self, content: Mapping[str, Any] | None = None) -> None:
        self._known: dict[str, list[Any]] = {key: list(entry) for key, entry in (content or {}).items()}
        self._used: dict[str, list[Any]] = {}

    @classmethod
    def beside(cls, folder: Path) -> HashCache:
        """The cache that a finished stage left in its folder; empty where there is none or it cannot be read."""
        path = folder / HASHES
        try:
            content = read_json(path) if path.is_file() else {}
        except InputDataError:
            content = {}
        whole = isinstance(content, dict) and all(_is_entry(entry) for entry in content.values())
        return cls(content if whole else {})

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's content."""
        state = path.stat()
        # Not the path itself: the cache may travel with its folder, and a path can tell who works on what.
        key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
        now = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        entry = self._used.get(key) or self._known.get(key)
        if entry is None or entry[:4] != now:
            entry = [*now, content_digest(path)]
        self._used[key] = entry
        return str(entry[4])

    def content(self) -> dict[str, list[Any]]:
        """Every digest computed or looked up since this cache was made, JSON-able."""
        return dict(self._used)


def content_digest(path: Path) -> str:
    """SHA-256 of a file. Of a provenance the fingerprints do not count: other code may have made the same data."""
    if path.name == PROVENANCE:
        try:
            content = _without_fingerprints(read_json(path))
        except InputDataError:  # damaged: another content than any whole one
            return file_digest(path)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return file_digest(path)


def folder_digests(folder: Path, cache: HashCache, patterns: Iterable[str] = EVERYTHING) -> dict[str, str]:
    """Digests of a folder's files by their path in it; hidden ones and leftovers of an interrupted write do not count.

    `patterns` limits them to names such as "metrics.json" or "*.safetensors".
    """
    return {name: cache.digest(folder / name) for name in _wanted(file_names(folder), patterns)}


def file_names(folder: Path, *, hidden: bool = False) -> list[str]:
    """The files below a folder by their path in it, without hidden ones, leftovers, and the record of a stage."""
    found = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.as_posix() for path in found if _counts(path, hidden)]


def read_stamp(folder: Path) -> dict[str, Any] | None:
    """The record that a finished stage left in its folder; None where it is missing, damaged or of another format."""
    try:
        content = read_json(folder / STAMP)
    except InputDataError:
        return None
    if not isinstance(content, dict) or content.get("format") != STAMP_FORMAT:
        return None
    return content if isinstance(content.get("files"), dict) else None


def recorded_digests(folder: Path, cache: HashCache, patterns: Iterable[str] = EVERYTHING) -> dict[str, str | None]:
    """Digests, as they are now, of the files that a finished stage recorded: None for one that is gone.

    A file that somebody laid beside them does not count. Without a record every file does.
    """
    stamp = read_stamp(folder)
    names = file_names(folder) if stamp is None else list(stamp["files"])
    return {
        name: cache.digest(folder / name) if (folder / name).is_file() else None for name in _wanted(names, patterns)
    }


def settings_content(value: Any, cache: HashCache, *, parse_folders: bool = True) -> Any:
    """A setting's value, JSON-able; a path counts by what is there, wherever that lies.

    A YAML or JSON file counts by what it says: a comment or another layout does not matter. Of a folder, the YAML
    files count so (a vocabulary, a world), or with `parse_folders` off none (a model, a corpus): all by their bytes.
    """
    if isinstance(value, Path):
        if value.is_dir():
            return {
                name: _parsed(value / name) if parse_folders and name.endswith(YAML) else cache.digest(value / name)
                for name in file_names(value)
            }
        if not value.is_file():
            raise InputDataError(f"{value}: cannot be read; check the path")
        return _parsed(value) if value.suffix in (*YAML, ".json") else cache.digest(value)
    if isinstance(value, Mapping):
        return {str(name): settings_content(one, cache, parse_folders=parse_folders) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [settings_content(entry, cache, parse_folders=parse_folders) for entry in value]
    return value


def stage_digest(name: str, settings: Any, inputs: Mapping[str, Any], code: str) -> str:
    """The fingerprint of a stage: with another one its output is another one."""
    return fingerprint(name, settings, dict(inputs), code)


def _wanted(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    wanted = tuple(patterns)
    return [name for name in names if any(fnmatch(name, pattern) for pattern in wanted)]


def _counts(path: Path, hidden: bool) -> bool:
    if path.name in (STAMP, HASHES) or any(PARTIAL in part for part in path.parts):
        return False
    return hidden or not any(part.startswith(".") for part in path.parts)


def _parsed(path: Path) -> str:
    # By a digest of what it says: the record of a stage does not repeat a file that may name patients.
    return fingerprint(read_json(path) if path.suffix == ".json" else read_yaml(path))


def _is_entry(entry: Any) -> bool:
    """Whether an entry of a cache is size, two times, inode and digest."""
    if not isinstance(entry, list) or len(entry) != 5:
        return False
    return all(isinstance(part, int) for part in entry[:4]) and isinstance(entry[4], str)


def _without_fingerprints(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _without_fingerprints(entry) for name, entry in content.items() if name != "fingerprint"}
    if isinstance(content, list):
        return [_without_fingerprints(entry) for entry in content]
    return content
