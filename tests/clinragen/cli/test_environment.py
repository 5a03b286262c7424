"""`clinragen env`: what a bug report needs, and nothing else."""

from __future__ import annotations

import getpass
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import in_process

from clinragen.cli.environment import environment


def test_it_says_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    done = in_process("env")
    assert done.returncode == 0
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines == environment()
    for name in ("clinragen", "torch", "transformers", "peft", "gradio", "lightgbm"):
        assert lines[name] == version(name)
    assert lines["gpu"] == "none" or "cuda" in lines


def test_it_says_nothing_of_the_person_or_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINRAGEN_SECRET", "hunter2-of-the-tests")
    said = in_process("env").stdout
    for private in ("hunter2", str(Path.home()), str(Path.cwd()), socket.gethostname()):
        assert private not in said
    assert getpass.getuser() not in said.split()
