"""Writes that appear whole or not at all, and fingerprints of what a stage read."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modeling_clinragen.errors import InputDataError

PARTIAL = ".partial"


@contextmanager
def _disk_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputDataError(f"{path}: the disk is full; free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputDataError(f"{path}: cannot be written here; choose another output folder") from error
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place only when the block ends without an error."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputDataError(f"{path}: is no regular file, so it cannot be replaced; choose another output")
    beside = path.with_name(path.name + PARTIAL)
    with _disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path, *, resume: bool = False) -> Iterator[Path]:
    """Yield a folder beside `path` that replaces `path` when the block ends without an error.

    With `resume`, what an interrupted run left in that folder is kept, before and after: the caller goes on from it.
    Otherwise the folder starts empty, and an error removes it.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputDataError(f"{path}: is a file, but a folder is to be written there; choose another output")
    beside = path.with_name(path.name + PARTIAL)
    with _disk_errors_named(path):
        if beside.exists() and not resume:
            shutil.rmtree(beside)
        beside.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            old = path.with_name(path.name + ".old")
            if old.exists():
                shutil.rmtree(old)
            if path.exists():
                path.replace(old)
            beside.replace(path)
            if old.exists():
                shutil.rmtree(old)
        except BaseException:
            if not resume:
                shutil.rmtree(beside, ignore_errors=True)
            raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, atomically."""
    with atomic_file(path) as beside:
        beside.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON. Raises `InputDataError` that names the file when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputDataError(f"{path}: is missing") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputDataError(f"{path}: is not readable JSON; make it again") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: Any, files: Iterable[Path] = ()) -> str:
    """One digest of JSON-able settings and of the bytes of files, independent of where the files lie."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for name, content in sorted((Path(file).name, file_digest(Path(file))) for file in files):
        digest.update(f"{name}\0{content}".encode())
    return digest.hexdigest()
