"""The progress display of the command line: one bar per stage, and nothing from the libraries underneath."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from dataset_builder.storage.progress import Progress


class Display:
    """A progress bar for the stage that is running. Use it as a context manager around the work."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            *([TextColumn("left"), TimeRemainingColumn()] if self.console.is_terminal else []),
            console=self.console,
        )
        self._task: TaskID | None = None
        self._log = _Log(self.console)

    def __enter__(self) -> Display:
        quiet_libraries()
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self.bars.stop()

    def announce(self, name: str, number: int, of: int) -> None:
        """Start the bar of a stage, the `number`th of so many."""
        self._finish()
        label = f"[{number}/{of}] {name}" if of > 1 else name
        if not self.console.is_terminal:
            # A log has no bar that moves: it gets a line when a stage starts.
            self._log.begin(label)
        self._task = self.bars.add_task(label.replace("[", "\\[").ljust(26), total=None, amount="")

    def report(self, progress: Progress) -> None:
        """Move the bar (a `dataset_builder.storage.progress.Report`)."""
        if self._task is None:
            return
        scale, unit = (2**20, "MiB") if progress.unit == "bytes" else (1, progress.unit)
        amount = f"{progress.done / scale:.0f}/{progress.total / scale:.0f} {unit}" if progress.total else unit
        if progress.remark:
            amount = f"{amount}, {progress.remark}"
        done = progress.done if progress.total else None
        self.bars.update(self._task, completed=done, total=progress.total, amount=amount)
        if not self.console.is_terminal:
            self._log.report(progress, amount)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bar while a question is asked."""
        self.bars.stop()
        yield
        self.bars.start()

    def _finish(self) -> None:
        if self._task is None:
            return
        task = next(task for task in self.bars.tasks if task.id == self._task)
        total = task.total or 1
        self.bars.update(self._task, total=total, completed=total)
        self._task = None


class _Log:
    """The progress in a log, which has no bar that moves: a line when a stage begins, and one every tenth of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._label = ""
        self._work: tuple[float, str] | None = None
        self._done = 0.0

    def begin(self, label: str) -> None:
        self._label, self._work = label, None
        self._console.print(label, markup=False, highlight=False)

    def report(self, progress: Progress, amount: str) -> None:
        if not progress.total:
            return
        work = (progress.total, progress.unit)
        if work != self._work or progress.done < self._done:
            # Another part of the stage, or a resumed one, whose first amount took no time.
            self._work, self._start, self._first = work, time.monotonic(), progress.done
            self._said = int(10 * progress.done / progress.total)
        self._done = progress.done
        tenths = int(10 * progress.done / progress.total)
        if tenths <= self._said or progress.done >= progress.total:
            return
        self._said = tenths
        passed = time.monotonic() - self._start
        left = passed * (progress.total - progress.done) / (progress.done - self._first)
        line = f"{self._label}: {10 * tenths} % ({amount}), about {timedelta(seconds=round(left))} left"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def quiet_libraries() -> None:
    """Switch off the libraries' own bars and chatter; warnings about our own calls are caught by the tests."""
    # By the variables that they read when they are imported: not every command needs them, and their import takes a
    # second.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.*")
