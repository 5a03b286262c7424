"""Fixtures: a PhysioNet on this machine, nothing of the user's, and no secret in any log."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_site import SECRETS
from physionet_site import Site
from tiny_mimic import crowd


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small hospital's tables, in which one file is large enough to break off in the middle."""
    root = crowd(12).write(tmp_path_factory.mktemp("tables"))
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.csv.gz"))}
    # Members of zeros after the table: a gzip file of many parts, still readable.
    import gzip

    filler = gzip.compress(os.urandom(700_000), mtime=0)
    return {**found, "icu/ingredientevents.csv.gz": b"not needed", "big": filler}


@pytest.fixture
def site(tables: dict[str, bytes]) -> Iterator[Site]:
    server = Site()
    licence = b"PhysioNet Credentialed Health Data License\nVersion 1.5.0\n"
    main = {name: body for name, body in tables.items() if name.startswith(("hosp/", "icu/"))}
    # Large and random, for broken connections: nothing reads it as a table.
    main["hosp/prescriptions.csv.gz"] = tables["big"]
    note = {name: body for name, body in tables.items() if name.startswith("note/")}
    server.publish("mimiciv", "3.1", {**main, "LICENSE.txt": licence, "README.md": b"not needed"})
    server.publish("mimic-iv-note", "2.2", {**note, "LICENSE.txt": licence, "note/radiology.csv.gz": b"not needed"})
    whole = {name: body for name, body in tables.items() if name.startswith(("hosp/", "icu/"))}
    server.publish("mimic-iv-demo", "2.2", {**whole, "LICENSE.txt": b"Open Database License (ODbL)"})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in (
        "NETRC",
        "PHYSIONET_USER",
        "PHYSIONET_PASSWORD",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_secret_in_any_log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    written = caplog.text + "".join(capfd.readouterr())
    for secret in SECRETS:
        assert secret not in written
