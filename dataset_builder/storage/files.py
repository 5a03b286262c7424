"""Atomic writes, folders that only their owner can open, and fingerprints of inputs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

PARTIAL = ".partial"
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600

# Every folder that this program writes has one of these: a cohort, a stage, a knowledge base, a synthetic hospital.
OUTPUT_MARKERS = ("provenance.json", "stage.json", "knowledge.json", "truth.jsonl.gz")

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


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
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise InputDataError(f"{path}: lies below a file; choose another output folder") from error
        raise


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can open (0700), with its parents; an existing one becomes so."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputDataError(f"{path}: is a file, but the output is a folder; choose another output")
    with disk_errors_named(path):
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        path.chmod(PRIVATE_FOLDER)
    if stat.S_IMODE(path.stat().st_mode) != PRIVATE_FOLDER:
        logger.warning("%s: this file system does not keep permissions; others on this machine may read it", path)
    return path


def make_private(folder: Path) -> None:
    """Remove everybody else's permissions from a folder and everything in it (folders 0700, files 0600)."""
    folder = private_folder(folder)
    with disk_errors_named(folder):
        for path in folder.rglob("*"):
            if not path.is_symlink():
                path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk: a power cut then leaves all of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do it for a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            sync(path)
    sync(folder)


@contextmanager
def atomic_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place only when the block ends without an error.

    It is on the disk before it does, so that a power cut leaves the file of before or the whole new one. With
    `private` the file is its owner's alone (0600), before its first byte.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputDataError(f"{path}: is not a regular file, so it cannot be replaced; choose another output")
    beside = path.with_name(path.name + PARTIAL)
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if private:
                beside.touch(PRIVATE_FILE)
                beside.chmod(PRIVATE_FILE)
            yield beside
            sync(beside)
            beside.replace(path)
            sync(path.parent)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def output_folder(path: Path, inputs: Iterable[Path] = ()) -> Path:
    """Check that a folder can be written at `path` without losing anything; returns it without links and dots.

    Raises:
        InputDataError: There is a file, or a folder with other files than this program's output; or the folder
            overlaps one of the `inputs` or contains the current folder.
    """
    real = require_apart(path, inputs)
    if not real.name or Path.cwd().is_relative_to(real):
        raise InputDataError(f"{path}: is or contains the current folder; choose another output folder")
    with disk_errors_named(path):
        if real.exists() and not real.is_dir():
            raise InputDataError(f"{path}: is a file, but the output is a folder; choose another output")
        if real.exists() and any(real.iterdir()) and not any((real / name).is_file() for name in OUTPUT_MARKERS):
            raise InputDataError(
                f"{path}: contains files that were not written by this program and would be lost; choose another "
                "output folder, or empty it"
            )
    return real


def require_apart(path: Path, inputs: Iterable[Path]) -> Path:
    """`path` without links and dots. Raises `InputDataError` where it overlaps one of the `inputs`."""
    real = Path(path).resolve()
    for given in inputs:
        taken = Path(given).resolve()
        if real.is_relative_to(taken) or taken.is_relative_to(real):
            raise InputDataError(f"{path}: overlaps with the input {given}; choose another output folder")
    return real


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Lock the folder `path` for writing, against all other processes and threads; waits until it is free.

    Whoever holds the lock may take it again. It is released when its process ends, however that happens.
    """
    lock = Path(path).resolve()
    lock = lock.with_name(lock.name + ".lock")
    if lock in _held.get():
        yield
        return
    with disk_errors_named(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(lock)
    before = _held.set(_held.get() | {lock})
    try:
        yield
    finally:
        _held.reset(before)
        # Removed while held: whoever waits for it sees that it is gone, and makes a new one.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s: is being written by another process; waiting for it", lock.with_suffix(""))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
            logger.warning("%s: this file system has no locks; do not let two processes write there", lock.parent)
        try:
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


@contextmanager
def atomic_folder(path: Path, *, resume: bool = False, private: bool = False) -> Iterator[Path]:
    """Yield a folder beside `path` that replaces `path` when the block ends without an error and all is on the disk.

    Only what `output_folder` allows is replaced; a link stays, and what it points to is replaced. Of several processes
    with one `path`, one writes at a time.

    Args:
        path: The folder to write.
        resume: Keep what an interrupted run left in the yielded folder, and keep it again after an error. Otherwise
            that folder starts empty, and an error removes it.
        private: For credentialed data: only the owner can open the folder, from its first byte on.
    """
    target = output_folder(path)
    with folder_lock(target):
        beside = target.with_name(target.name + PARTIAL)
        # Not "<path>.old": that may be the user's own copy.
        old = beside.with_name(beside.name + ".old")
        with disk_errors_named(path):
            if old.exists() and not target.exists():  # a run was killed between the two moves below
                old.replace(target)
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
                _sync_tree(beside)
                if old.exists():
                    shutil.rmtree(old)
                if target.exists():
                    target.replace(old)
                beside.replace(target)
                sync(target.parent)
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
    """Read JSON. Raises `InputDataError` that names the file when it cannot be read or is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputDataError(f"{path}: is missing; check the path") from error
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        # Not only a JSONDecodeError: bytes that are not text, or a number with thousands of digits.
        raise InputDataError(f"{path}: is not readable JSON; correct it, or make it again") from error


def read_text(path: Path | Traversable) -> str:
    """Read a text file. Raises `InputDataError` that names the file when it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputDataError(f"{path}: is not a text file in UTF-8; save it as UTF-8") from error


class _RepeatedKeyError(yaml.YAMLError):
    """A mapping has a key twice; YAML itself would take the last value without a word."""


class _Loader(yaml.CSafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _RepeatedKeyError(f"'{key.value}' is given twice (line {key.start_mark.line + 1})")
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, path: Path | Traversable | str) -> Any:
    """Parse a YAML text.

    Raises `InputDataError` that names the `path` it was read from: it is not YAML, or a key is given twice.
    """
    try:
        return yaml.load(text, _Loader)
    except _RepeatedKeyError as error:
        raise InputDataError(f"{path}: {error}; keep one of them") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date that does not exist.
        raise InputDataError(f"{path}: is not a readable YAML file; check its syntax") from error


def read_yaml(path: Path | Traversable) -> Any:
    """Read a YAML file. Raises `InputDataError` as `read_text` and `parse_yaml` do."""
    return parse_yaml(read_text(path), path)


@contextmanager
def faults_named(path: Path | Traversable) -> Iterator[None]:
    """Turn errors of parsing what was read from `path` into an `InputDataError` that names it.

    For files of which a complete one is shipped: a user's own may lack an entry, or have one of the wrong type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise InputDataError(f"{path}: {error} is missing or malformed; see the shipped file") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: Any, files: Iterable[Path] = ()) -> str:
    """One digest of JSON-able settings and of the bytes of files, independent of the files' locations."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for name, content in sorted((Path(file).name, file_digest(Path(file))) for file in files):
        digest.update(f"{name}\0{content}".encode())
    return digest.hexdigest()
