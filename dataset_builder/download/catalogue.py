"""Which datasets can be downloaded, and which of a dataset's files the builder needs: read from `physionet.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from dataset_builder.sources.locate import SUFFIXES
from dataset_builder.sources.spec import Source
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError, SettingsError


@dataclass(frozen=True)
class Part:
    """One publication: `slug` is its name in PhysioNet's addresses; its agreement is signed at `page`."""

    slug: str
    version: str
    page: str


@dataclass(frozen=True)
class DownloadSpec:
    """One dataset at one version. The tables of `source` are searched in all parts; a build starts at the first."""

    name: str
    title: str
    source: str
    credentialed: bool
    licence: str
    base_url: str
    user_agent: str
    parts: tuple[Part, ...]


@lru_cache(maxsize=1)
def _catalogue() -> Mapping[str, Any]:
    content: Mapping[str, Any] = read_yaml(files("dataset_builder.download") / "physionet.yaml")
    return content


def dataset_names() -> list[str]:
    """The datasets that can be downloaded."""
    return list(_catalogue()["datasets"])


def find_dataset(name: str, version: str | None = None) -> DownloadSpec:
    """The dataset called `name`, at its newest version or the given one. Raises `SettingsError` for unknown ones."""
    catalogue = _catalogue()
    if name not in catalogue["datasets"]:
        raise SettingsError(f"unknown dataset '{name}'; choose one of {', '.join(dataset_names())}")
    entry = catalogue["datasets"][name]
    versions = entry["parts"][0]["versions"]
    if version is not None and version not in versions:
        raise SettingsError(f"{name} has no version '{version}' to build from; choose one of {', '.join(versions)}")
    parts = []
    for index, part in enumerate(entry["parts"]):
        chosen = version if index == 0 and version is not None else part["versions"][0]
        parts.append(Part(part["slug"], chosen, catalogue["page"].format(slug=part["slug"], version=chosen)))
    return DownloadSpec(
        name=name,
        title=entry["title"],
        source=entry["source"],
        credentialed=entry["credentialed"],
        licence=entry["licence"],
        base_url=catalogue["base_url"],
        user_agent=catalogue["user_agent"],
        parts=tuple(parts),
    )


def parse_checksums(text: str, address: str) -> dict[str, str]:
    """Parse SHA256SUMS.txt into relative path -> digest.

    Raises `InputDataError` for anything else, and for a list with a path that could be written outside the download's
    folder.
    """
    sums: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        digest, _, path = line.strip().partition(" ")
        path = path.lstrip(" ").removeprefix("*")
        digest = digest.lower()
        if len(digest) != 64 or set(digest) - set("0123456789abcdef") or not path:
            raise InputDataError(f"{address}: is not a list of SHA-256 sums; check the base URL and the version")
        if _leaves(path):
            raise InputDataError(f"{address}: lists a path outside its own folder; do not trust this server")
        sums[path] = digest
    if not sums:
        raise InputDataError(f"{address}: is empty; check the base URL and the version")
    return sums


def _leaves(path: str) -> bool:
    parts = path.split("/")
    odd = any(mark in path for mark in "\\:") or not path.isprintable()
    return odd or PurePosixPath(path).is_absolute() or any(part in ("", ".", "..") for part in parts)


def needed_files(sums: Mapping[str, str], source: Source) -> tuple[dict[str, str], list[str]]:
    """The listed files of one part that the builder needs.

    Returns the path of every file of the source that is listed (by its stem in the source; case does not matter), and
    the paths of licence files.
    """
    wanted = {table.file.lower(): table.file for table in source.tables.values()}
    tables: dict[str, str] = {}
    for suffix in (suffix for suffix in SUFFIXES if suffix != ".parquet"):
        for path in sums:
            name = PurePosixPath(path).name
            if name.lower().endswith(suffix):
                stem = wanted.get(name[: -len(suffix)].lower())
                if stem is not None:
                    tables.setdefault(stem, path)
    licences = [path for path in sums if path in source.licence_files]
    return tables, licences
