"""How far a piece of work is: one record, for every bar and log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Args:
        done: Amount done, in `unit`.
        total: The whole amount; None where it is not known.
        unit: What is counted, in the plural ("patients", "steps").
        remark: Anything else worth showing ("loss 0.512").
    """

    done: float
    total: float | None
    unit: str
    remark: str = ""


Report = Callable[[Progress], None]


def no_report(progress: Progress) -> None:
    """A `Report` that shows nothing."""
