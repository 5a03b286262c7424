"""Writes that appear whole or not at all, folders that only their owner can open, and fingerprints of inputs."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

PARTIAL = ".partial"
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn a full disk and missing rights into `InputDataError`s that name `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputDataError(f"{path}: the disk is full; free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputDataError(f"{path}: cannot be written here; choose another output folder") from error
        raise


def private_folder(path: Path) -> Path:
    """Create a folder, or take an existing one, that only its owner can open (0700); missing parents are created."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputDataError(f"{path}: is a file, but a folder is to be written there; choose another output")
    with disk_errors_named(path):
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        path.chmod(PRIVATE_FOLDER)
    if stat.S_IMODE(path.stat().st_mode) != PRIVATE_FOLDER:
        logger.warning("%s: this file system keeps no permissions; others on this machine may read the folder", path)
    return path


def make_private(folder: Path) -> None:
    """Take everybody else's rights away from a folder (0700) and all that is in it (0700, files 0600)."""
    folder = private_folder(folder)
    with disk_errors_named(folder):
        for path in folder.rglob("*"):
            if not path.is_symlink():
                path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place only when the block ends without an error."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputDataError(f"{path}: is no regular file, so it cannot be replaced; choose another output")
    beside = path.with_name(path.name + PARTIAL)
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path, *, resume: bool = False, private: bool = False) -> Iterator[Path]:
    """Yield a folder beside `path` that replaces `path` when the block ends without an error.

    With `resume`, what an interrupted run left in that folder is kept, before and after: the caller goes on from it.
    Otherwise the folder starts empty, and an error removes it. With `private`, for credentialed data, nobody but the
    owner can open it from its first byte on.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputDataError(f"{path}: is a file, but a folder is to be written there; choose another output")
    beside = path.with_name(path.name + PARTIAL)
    with disk_errors_named(path):
        if beside.exists() and not resume:
            shutil.rmtree(beside)
        if private:
            private_folder(beside)
        else:
            beside.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            if private:
                make_private(beside)
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
