"""The folder that uploaded files lie in until they are read: private, of one process, and gone with it.

gradio takes the folder from the environment. A signal that ends the process ends it by an exception here, so that the
folder is removed; after a kill that no process can notice, the next page of this account removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dataset_builder.storage.files import private_folder

PREFIX = "clinragen-page-"
LOCK = ".lock"
VARIABLE = "GRADIO_TEMP_DIR"
OLDEST = 300
"""Seconds after which an upload that nobody asked to read is removed."""


@contextmanager
def private_uploads() -> Iterator[Path]:
    """Yield the folder of this process's uploads, which is removed when the block ends, by whatever signal it may be.

    Where the process gets SIGTERM or SIGHUP, `SystemExit` is raised within the block.
    """
    with _signals_raise():
        remove_left_over()
        folder = private_folder(Path(tempfile.mkdtemp(prefix=PREFIX)))
        before = os.environ.get(VARIABLE)
        lock = None
        try:
            lock = _locked(folder)
            os.environ[VARIABLE] = str(folder)
            yield folder
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def remove_left_over() -> None:
    """Remove the folders of this account's pages that were killed: those whose lock no process holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Somebody else's folder, or a link to anywhere, may have such a name as well.
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
            continue
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def remove_old(folder: Path, seconds: float = OLDEST) -> None:
    """Remove what has lain in the folder for so long: uploads that were refused, or that nobody asked to read."""
    latest = time.time() - seconds
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            if path.name == LOCK or path.lstat().st_mtime > latest:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        except OSError:
            # Read and removed meanwhile, or a folder that is in use.
            continue


def remove_upload(path: Path, folder: Path) -> None:
    """Remove one uploaded file, and the folder that gradio made for it; a file elsewhere is its owner's and stays."""
    if not path.resolve().is_relative_to(folder.resolve()):
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):
        # Gone already, or another file of the same content is still there.
        path.parent.rmdir()


def _locked(folder: Path) -> int:
    # Under another name until it is locked: a lock without its holder would be taken for one that a killed page left.
    beside = folder / f"{LOCK}.new"
    lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    beside.rename(folder / LOCK)
    return lock


@contextmanager
def _signals_raise() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may say what a signal does; a notebook's thread leaves that to the notebook.
        yield
        return
    before: dict[signal.Signals, Any] = {}
    for one in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(one) == signal.SIG_DFL:
            before[one] = signal.signal(one, _exit)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
