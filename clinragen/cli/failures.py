"""How a command ends that cannot do its work: one line with the cause and the cure, and a code other than 0."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import typer

from modeling_clinragen.library_errors import user_error

FAILED = 1
READER_GONE = 128 + signal.SIGPIPE


def fail(message: str, code: int = FAILED) -> NoReturn:
    """End the program with one line on standard error.

    Names of files come from anybody: line breaks and characters that a terminal would obey are not written.
    """
    typer.echo(f"clinragen: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)


def printable(text: str) -> str:
    """A text without line breaks and characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def fail_if_known(error: Exception, code: int = FAILED) -> None:
    """End the program where an error is one that a user can cause; any other is the caller's to raise again."""
    if isinstance(error, BrokenPipeError):
        # Whoever reads the output, such as `head`, has seen enough; nothing more is written when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_GONE)
    known = user_error(error)
    if known is not None:
        fail(str(known), code)
