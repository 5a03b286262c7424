"""Finds a source on the user's disk: the file of every table, the version, and the release with its licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.source import Release, Source
from modeling_clinragen.errors import InputDataError

SUFFIXES = (".parquet", ".csv.gz", ".csv")


@dataclass(frozen=True)
class LocatedSource:
    """A source found on disk: the file of every logical table that is there, its version and its release."""

    source: Source
    root: Path
    paths: Mapping[str, Path]
    version: str
    release: Release


def locate(source: Source, root: Path) -> LocatedSource:
    """Find the source's files below (or, for notes, beside) `root`. Raises `InputDataError` naming what is missing."""
    root = Path(root)
    if not root.is_dir():
        raise InputDataError(f"{root}: is not a folder; give the folder that holds the {source.title} tables")
    folders = [folder for pattern in source.folders for folder in _folders(root, pattern)]
    paths = {}
    for table in source.tables.values():
        found = _find(folders, table.file)
        if found is not None:
            paths[table.name] = found
        elif not table.optional:
            looked = ", ".join(dict.fromkeys(pattern for pattern in source.folders if not pattern.startswith("..")))
            raise InputDataError(
                f"{root}: holds no table '{table.file}' (.csv, .csv.gz or .parquet; looked in {looked}); "
                f"give the {source.title} folder"
            )
    match = re.search(source.version_pattern, str(root.resolve()).lower())
    return LocatedSource(source, root, paths, match.group(1) if match else "unknown", _find_release(source, folders))


def _folders(root: Path, pattern: str) -> list[Path]:
    base = root.resolve()
    while pattern.startswith("../"):
        base, pattern = base.parent, pattern.removeprefix("../")
    if pattern == ".":
        return [root]
    if not any(mark in pattern for mark in "*?["):
        return [base / pattern]
    return sorted(path for path in base.glob(pattern) if path.is_dir())


def _find(folders: list[Path], stem: str) -> Path | None:
    for folder in folders:
        for suffix in SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def _find_release(source: Source, folders: list[Path]) -> Release:
    for path in (folder / name for folder in folders for name in source.licence_files):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").lower()
            return next(release for release in source.releases if (release.contains or "").lower() in text)
    return source.releases[-1]
