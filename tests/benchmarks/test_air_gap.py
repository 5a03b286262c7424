"""Behind the air gap the quickstart and its page ask for no other machine; the witness of that sees everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import air_gap
import nightly


def test_the_quickstart_and_its_page_reach_no_other_machine(tiny_recipe: Path, tmp_path: Path) -> None:
    witness = air_gap.Witness(tmp_path / "witness")
    air_gap.run_quickstart(witness, tmp_path / "run", tiny_recipe)
    assert air_gap.use_page(witness, tmp_path / "run")
    seen = witness.seen()
    assert seen.attempts == []
    assert seen.processes >= 2


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('192.0.2.1', 9), 0.01)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
        "import socket; socket.getaddrinfo('example.invalid', 80)",
        "import socket; socket.socket().bind(('', 0))",
        "import urllib.request; urllib.request.urlopen('http://192.0.2.1:9', timeout=0.01)",
        "import os, sys; os.execv(sys.executable, ['x', '-c', 'import socket; socket.gethostbyname(\"a.b\")'])",
    ],
)
def test_the_witness_sees_an_attempt(attempt: str, tmp_path: Path) -> None:
    witness = air_gap.Witness(tmp_path / "witness")
    subprocess.run([sys.executable, "-c", attempt], env=witness.environment, check=False, stderr=subprocess.DEVNULL)
    tried = witness.seen().attempts
    assert tried
    local = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    subprocess.run([sys.executable, "-c", local], env=witness.environment, check=True)
    assert witness.seen().attempts == tried


def test_the_full_quickstart_is_watched_every_night() -> None:
    assert nightly.SCRIPTS["air-gap"] == (("air_gap.py",), None)
