"""Content digests of files and folders; size and times only save hashing what has been hashed before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import PARTIAL, file_digest, fingerprint, parse_yaml, read_json, read_text
from dataset_builder.storage.governance import PROVENANCE
from modeling_clinragen.errors import InputDataError

STAMP = "stage.json"
HASHES = "stage.hashes.json"
EVERYTHING = ("*",)


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
        return cls(content if isinstance(content, dict) else {})

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
    """Digests of a folder's files by their path in it; leftovers of an interrupted write do not count.

    `patterns` limits them to names such as "metrics.json" or "*.safetensors".
    """
    wanted = tuple(patterns)
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name in (STAMP, HASHES) or any(PARTIAL in part for part in Path(name).parts):
            continue
        if any(fnmatch(name, pattern) for pattern in wanted):
            found[name] = cache.digest(path)
    return found


def settings_content(value: Any, cache: HashCache) -> Any:
    """A setting's value, JSON-able; a path counts by what is there, wherever that lies, YAML and JSON as parsed."""
    if isinstance(value, Path):
        if value.is_dir():
            return {path.relative_to(value).as_posix(): settings_content(path, cache) for path in _files_below(value)}
        if not value.is_file():
            raise InputDataError(f"{value}: cannot be read; check the path")
        if value.suffix in (".yaml", ".yml", ".json"):
            # By a digest of what it says: a comment or another layout does not count, and the record of a stage does
            # not repeat a file that may name patients.
            return fingerprint(parse_yaml(read_text(value), value))
        return cache.digest(value)
    if isinstance(value, Mapping):
        return {str(name): settings_content(entry, cache) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [settings_content(entry, cache) for entry in value]
    return value


def stage_digest(name: str, settings: Any, inputs: Mapping[str, Any], code: str) -> str:
    """The fingerprint of a stage: with another one its output is another one."""
    return fingerprint(name, settings, dict(inputs), code)


def _files_below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _without_fingerprints(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _without_fingerprints(entry) for name, entry in content.items() if name != "fingerprint"}
    if isinstance(content, list):
        return [_without_fingerprints(entry) for entry in content]
    return content
