"""Errors that are nobody's input: where they happened goes to the log, what they say to nobody.

A library's message may quote what it choked on: a note, a file's name, a measurement.
"""

from __future__ import annotations

import logging
import traceback


def log_fault(logger: logging.Logger, error: BaseException) -> None:
    """Log the kind and the places of an error, without its message and without source lines."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames[-8:]))
    logger.error("internal error %s at %s", type(error).__name__, places)
