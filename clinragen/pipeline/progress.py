"""What a person sees while stages run: one bar per stage, and nothing from the libraries underneath."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Display:
    """A progress bar for the stage that is running. Use it as a context manager around the work."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=self.console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Display:
        quiet_libraries()
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self.progress.stop()

    def announce(self, name: str, place: int, of: int) -> None:
        """Start the bar of a stage."""
        self._finish()
        label = f"[{place}/{of}] {name}" if of > 1 else name
        if not self.console.is_terminal:
            # A log has no bar that moves: it says what starts, when it starts.
            self.console.print(label, markup=False, highlight=False)
        self._task = self.progress.add_task(label.replace("[", "\\[").ljust(26), total=None, amount="")

    def report(self, done: float, total: float | None, remark: str) -> None:
        """Move the bar (a `clinragen.pipeline.stages.Report`)."""
        if self._task is None:
            return
        amount = f"{done:.0f}/{total:.0f} {remark}" if total else remark
        self.progress.update(self._task, completed=done if total else None, total=total, amount=amount)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without the bar, so that a question can be asked."""
        self.progress.stop()
        yield
        self.progress.start()

    def _finish(self) -> None:
        if self._task is None:
            return
        task = next(task for task in self.progress.tasks if task.id == self._task)
        total = task.total or 1
        self.progress.update(self._task, total=total, completed=total)
        self._task = None


def quiet_libraries() -> None:
    """Switch off the libraries' own bars and chatter; warnings about our own calls are caught by the tests."""
    from datasets import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.*")
