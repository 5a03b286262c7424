"""Behind the air gap no library reaches another machine, and all reach this one."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import textwrap

import pytest
from command_line import command, fails_with_one_line
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.storage.air_gap import is_this_machine, require_this_machine
from dataset_builder.storage.governance import require_local
from modeling_clinragen.errors import GovernanceError
from modeling_clinragen.loading_clinragen import AIR_GAP

# One line of each library's own way to reach somebody.
REACHING = {
    "connect": "socket.create_connection(('192.0.2.1', 80), 1)",
    "connect to a name": "socket.socket().connect(('example.invalid', 80))",
    "connect by IPv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    "message": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 9))",
    "name": "socket.getaddrinfo('example.invalid', 80)",
    "old name": "socket.gethostbyname('example.invalid')",
    "every address": "socket.create_server(('', 0))",
    "urllib": "urllib.request.urlopen('http://192.0.2.1', timeout=1)",
    "requests": "requests.get('http://example.invalid', timeout=1)",
    "httpx": "httpx.get('http://192.0.2.1', timeout=1)",
    "asyncio": "asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    "Hub": "huggingface_hub.HfApi().model_info('google/flan-t5-small')",
    "PubMed": "next(iter(urllib.request.urlopen('https://eutils.ncbi.nlm.nih.gov', timeout=1)))",
}
SCRIPT = """
import asyncio, socket, sys, urllib.request
from dataset_builder.storage.air_gap import close_air_gap
close_air_gap()
import httpx, huggingface_hub, requests
from modeling_clinragen.errors import GovernanceError
for line in sys.stdin.read().splitlines():
    error = None
    try:
        exec(line)
    except BaseException as raised:
        error = raised
    chain = []
    while error is not None:
        chain.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    print(" ".join(chain) or "reached", flush=True)
"""


def said(lines: list[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(lines),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_no_library_reaches_another_machine() -> None:
    found = dict(zip(REACHING, said(list(REACHING.values())), strict=True))
    # The Hub's client has been told that it is offline, and does not try.
    assert "OfflineModeIsEnabled" in found.pop("Hub")
    assert {name: error for name, error in found.items() if "GovernanceError" not in error} == {}


def test_this_machine_is_reached() -> None:
    lines = """
        server = socket.create_server(("127.0.0.1", 0)); port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 1)
        socket.create_connection(("localhost", port), 1)
        socket.socketpair()
        asyncio.run(asyncio.open_connection("127.0.0.1", port))
    """
    assert said(textwrap.dedent(lines).strip().splitlines()) == ["reached"] * 5


def test_the_setting_closes_a_program_that_only_imports_the_package() -> None:
    code = "import clinragen, socket; socket.create_connection(('192.0.2.1', 9), 1)"
    for value, refused in (("1", True), ("0", False)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, AIR_GAP: value, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("GovernanceError" in done.stderr) is refused


@given(st.ip_addresses())
def test_an_address_is_this_machine_only_where_it_is_loopback(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    assert is_this_machine(str(address)) == (address.is_loopback or bool(mapped and mapped.is_loopback))


@pytest.mark.parametrize("host", ["127.1", "127.0.0.1.example", "localhost.example", "0", "0.0.0.0", "::", "a\x00"])
def test_what_only_looks_like_this_machine_is_not(host: str) -> None:
    assert not is_this_machine(host)
    assert not is_this_machine(host.encode())


def test_native_clients_are_asked_before_they_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    require_this_machine("db.example", "the database")
    monkeypatch.setenv(AIR_GAP, "1")
    for host in ("127.0.0.1", "localhost", "::1", "", "/var/run/postgresql"):
        require_this_machine(host, "the database")
    with pytest.raises(GovernanceError, match=r"the database on db\.example: the air gap is closed"):
        require_this_machine("db.example", "the database")


def test_no_acknowledgement_opens_the_air_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = {"credentialed": False}
    assert require_local(synthetic, "https://service.example/v1")["local"] is False
    monkeypatch.setenv(AIR_GAP, "1")
    assert require_local(synthetic, "http://127.0.0.1:8000/v1")["local"] is True
    with pytest.raises(GovernanceError, match="the air gap is closed"):
        require_local(synthetic, "https://service.example/v1")


def test_the_command_line_ends_in_one_line() -> None:
    fails_with_one_line(command("--air-gap", "download", "mimic-iv-demo", "--output", "nowhere"), "air gap")
    remote = ("--root", "postgresql://me@db.example/mimic", "--note-policy", "full", "--output", "nowhere")
    fails_with_one_line(command("--air-gap", "build", "mimic-iv", *remote), "db.example", "air gap")
