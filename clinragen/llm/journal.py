"""The journal of a language model's answers: one line each, on disk before the caller gets the answer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clinragen.llm.types import Answer, Request
from dataset_builder.storage.files import PRIVATE_FILE, disk_errors_named, folder_lock, private_folder
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"


class Journal:
    """The answers in `folder` by the fingerprints of their requests; a context manager.

    New answers are appended to `folder`/`name`.jsonl, which one process writes at a time; answers of the folder's
    other journals (such as those of shards) are known as well. Answers are patient data: the folder is private
    (0700). It never contains a request's text.

    A process killed while it writes leaves an incomplete last line, which is cut off here. Raises `InputDataError`,
    naming file and line, for any other damage, and when the disk is full.
    """

    def __init__(self, folder: Path, name: str = "answers") -> None:
        self.path = Path(folder) / f"{name}{SUFFIX}"
        self._answers: dict[str, Answer] = {}
        self._pending: deque[bytes] = deque()
        self._broken: Exception | None = None
        self._open = ExitStack()

    def __enter__(self) -> Journal:
        folder = private_folder(self.path.parent)
        with self._open:
            self._open.enter_context(folder_lock(self.path))
            with disk_errors_named(self.path):
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
                self._open.callback(os.close, self._descriptor)
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                answers, whole = read_journal(path)
                self._answers |= answers
                if path == self.path:
                    self._truncate(whole)
            # One thread: lines are written in order, and a commit ends before the next begins.
            self._writer = self._open.enter_context(ThreadPoolExecutor(1, "journal"))
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._open:
            self._writer.submit(self._commit).result()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, fingerprint: str) -> Answer | None:
        """The answer to the request with this fingerprint; None where there is none yet."""
        return self._answers.get(fingerprint)

    async def keep(self, fingerprint: str, request: Request, answer: Answer) -> None:
        """Append an answer; returns when it is on the disk."""
        entry = {"fingerprint": fingerprint, "key": request.key, "answer": asdict(answer)}
        self._pending.append(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        # The first of several commits writes all that arrived meanwhile; the others then have nothing to do.
        await asyncio.get_running_loop().run_in_executor(self._writer, self._commit)
        self._answers[fingerprint] = answer

    def _commit(self) -> None:
        if self._broken is not None:
            raise self._broken
        lines = [self._pending.popleft() for _ in range(len(self._pending))]
        if not lines:
            return
        try:
            with disk_errors_named(self.path):
                rest = memoryview(b"".join(lines))
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
        except (OSError, InputDataError) as error:
            # Nothing may follow an incomplete line, and each caller with an answer in this commit must get the error.
            self._broken = error
            raise

    def _truncate(self, whole: int) -> None:
        if os.fstat(self._descriptor).st_size > whole:
            logger.warning("%s: incomplete last line of an interrupted run; it is removed", self.path)
            with disk_errors_named(self.path):
                os.ftruncate(self._descriptor, whole)
                os.fsync(self._descriptor)


def read_journal(path: Path) -> tuple[dict[str, Answer], int]:
    """The answers in a journal by fingerprint, and the size in bytes of its complete lines.

    A last line without an end is skipped: it is being written, or its writer was killed. Raises `InputDataError`,
    naming file and line, for any other damage.
    """
    answers: dict[str, Answer] = {}
    services: dict[str, Any] = {}
    whole = 0
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                content = entry["answer"]
                # One object for all answers of a service.
                service = services.setdefault(repr(content["service"]), content["service"])
                answers[entry["fingerprint"]] = Answer(**{**content, "service": service})
            except (ValueError, RecursionError, KeyError, TypeError):
                # Not chained: the cause may quote the answer.
                raise InputDataError(
                    f"{path}: line {number} is damaged; remove that line, and its request is sent again"
                ) from None
            whole += len(line)
    return answers, whole
