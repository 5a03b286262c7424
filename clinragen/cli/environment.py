"""The command `env`: what a bug report needs to know, and nothing of a patient, a path or a person."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

import typer

from clinragen.cli.from_config import command

PACKAGE = "clinragen"


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(app, "env", [], _show, "Print versions and hardware for a bug report; nothing of your data.")


def _show() -> None:
    for name, value in environment().items():
        typer.echo(f"{name}: {value}")


def environment() -> dict[str, str]:
    """Versions of the program, of Python and of the libraries that it uses, and the machine's processors."""
    found = {PACKAGE: version(PACKAGE), "python": platform.python_version(), "system": _system()}
    found["processors"] = str(os.cpu_count())
    found |= _devices()
    for name in _libraries():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _system() -> str:
    # Not the host's name, which platform.platform() leaves out as well.
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def _devices() -> dict[str, str]:
    import torch

    if not torch.cuda.is_available():
        return {"gpu": "none"}
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"gpu": ", ".join(names), "cuda": str(torch.version.cuda)}


def _libraries() -> list[str]:
    """The names of the libraries that the installation asks for, those of its extras included."""
    asked = [one for one in requires(PACKAGE) or () if 'extra == "dev"' not in one]
    found = (re.match(r"[A-Za-z0-9._-]+", one) for one in asked)
    return sorted({name.group().lower() for name in found if name is not None} - {PACKAGE})
