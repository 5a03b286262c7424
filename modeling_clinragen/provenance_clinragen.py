"""Where data and models come from, as `provenance.json` records it, and folders that carry that record.

A record is a mapping with the fields of `ORIGIN` and `origins`, the same of everything that the thing was made from.
Only a recorded "no" is a no: what is not recorded counts as credentialed, that is, under a data use agreement.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROVENANCE = "provenance.json"
CONFIG = "config.json"
ORIGIN = ("source", "release", "title", "version", "licence", "credentialed")
UNRECORDED: dict[str, Any] = {
    "source": "unknown",
    "release": "unknown",
    "title": "a source that is not recorded",
    "version": "unknown",
    "licence": {"id": "other", "name": "licence not recorded"},
    "credentialed": True,
}
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def origins_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fields of `ORIGIN` of the thing itself, then those of everything that it was made from."""
    # The record itself comes first: a list of origins can add to what it says, never soften it.
    own = {key: record.get(key, UNRECORDED[key]) for key in ORIGIN}
    listed = record.get("origins", [])
    if not isinstance(listed, list) or not all(isinstance(origin, Mapping) for origin in listed):
        return [own, UNRECORDED]
    return [own, *(origin for origin in listed if origin != own)]


def is_credentialed(record: Mapping[str, Any]) -> bool:
    """Whether the data, or anything it was made from, is under a data use agreement."""
    return any(origin.get("credentialed") is not False for origin in origins_of(record))


def recorded_in(folder: str | Path) -> dict[str, Any] | None:
    """The content of `folder`/provenance.json; None where there is none. A damaged one counts as unrecorded."""
    return _read(Path(folder) / PROVENANCE)


def credentialed_folder(folder: str | Path) -> bool:
    """Whether a model's folder counts as credentialed: by provenance.json, or where there is none by config.json."""
    record = recorded_in(folder)
    if record is None:
        record = _read(Path(folder) / CONFIG) or {}
        return record.get("credentialed") is not False
    return is_credentialed(record)


@contextmanager
def recorded_folder(folder: str | Path, record: Mapping[str, Any] | None, *, private: bool) -> Iterator[None]:
    """While the block saves into `folder`, the folder is as private as its record demands; then it carries the record.

    A stricter record that the folder has already stays.

    Args:
        folder: Made where it does not exist.
        record: The provenance; None where it is not known, which leaves the folder's own.
        private: Whether the folder is for its owner alone (0700, files 0600), from before the first byte.
    """
    folder = Path(folder)
    if private:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)
    yield
    if not folder.is_dir():
        # Of several processes that train together only one saves.
        return
    before = recorded_in(folder)
    if record is not None and (before is None or is_credentialed(record) or not is_credentialed(before)):
        _write(folder / PROVENANCE, record)
    if private:
        for path in folder.iterdir():
            if path.is_file() and not path.is_symlink():
                path.chmod(PRIVATE_FILE)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError):
        return dict(UNRECORDED)
    return content if isinstance(content, dict) else dict(UNRECORDED)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    # A process of its own each, where several save at once.
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = json.dumps(dict(record), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
