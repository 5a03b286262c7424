"""What a page leaves behind, and whose patients it shows: on real processes, ended by real signals."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from demo_server import LIGHT, PATIENT, Served, multipart, request, served, wait_until, write_cohort
from gradio_client import Client

from clinragen.demo import serve
from clinragen.demo.patient import OWN
from clinragen.demo.uploads import LOCK, PREFIX, VARIABLE, private_uploads, remove_left_over, remove_old
from dataset_builder.storage.files import write_json
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def upload(page: Served) -> Path:
    """Upload a file that nobody asks to read."""
    body, kind = multipart("Quackenbush_MRN123.csv", b"hours,heart rate (bpm)\n0,118\n")
    assert request(page, "/gradio_api/upload", method="POST", body=body, **kind).status == 200
    (found,) = page.uploads()
    return found


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 128 + 15), (signal.SIGHUP, 128 + 1), (signal.SIGINT, 0)]
)
def test_uploads_are_gone_with_the_process(tmp_path: Path, number: int, code: int) -> None:
    with served([], tmp_path / "tmp", code=LIGHT) as page:
        file = upload(page)
        folder = page.folders()[0]
        assert file.is_relative_to(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not (page.temporary / "gradio").exists()
        # An event that is under way, and the connection that waits for it, must not hold the page.
        client = Client(page.address, token=page.token, verbose=False, analytics_enabled=False)
        client.submit(api_name="/sleep")
        time.sleep(2)
        began = time.monotonic()
        page.process.send_signal(number)
        wait_until(lambda: page.folders() == [])
        # Ctrl-C goes back to whoever called, and Python waits for what is under way; the others end the process.
        assert page.process.wait(60) == code
        assert number == signal.SIGINT or time.monotonic() - began < 15
        assert page.process.stdout is not None
        assert "Traceback" not in page.errors.read_text() + page.process.stdout.read()


def test_what_a_killed_page_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with served([], tmp_path / "tmp", code=LIGHT) as killed:
        file = upload(killed)
        killed.process.kill()
        killed.process.wait(60)
        assert file.exists()
    with served([], tmp_path / "tmp", code=LIGHT) as page, served([], tmp_path / "tmp", code=LIGHT) as beside:
        assert not file.exists()
        # The folder of a page that runs is nobody else's to remove.
        assert len(page.folders()) == 2
        assert beside.port != page.port
    assert list((tmp_path / "tmp").glob(f"{PREFIX}*")) == []


def test_only_folders_of_dead_pages_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "before")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    # Not a page's: without a lock, or a file.
    (tmp_path / f"{PREFIX}other").mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / LOCK).touch()
    (dead / "Quackenbush.csv").touch()
    if os.geteuid() == 0:
        foreign = tmp_path / f"{PREFIX}foreign"
        foreign.mkdir()
        (foreign / LOCK).touch()
        os.chown(foreign, 65534, 65534)
    with private_uploads() as running:
        assert os.environ[VARIABLE] == str(running)
        assert not dead.exists()
        remove_left_over()
        kept = {f"{PREFIX}link", f"{PREFIX}other", f"{PREFIX}file", "elsewhere", running.name}
        assert {path.name for path in tmp_path.iterdir()} - {f"{PREFIX}foreign"} == kept
        assert (elsewhere / LOCK).exists()
        assert os.geteuid() != 0 or foreign.exists()
    assert not running.exists()
    assert os.environ[VARIABLE] == "before"


def test_uploads_that_nobody_reads_are_removed_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / "a" / "old.csv", tmp_path / "b" / "new.csv"
    for file in (old, new, tmp_path / LOCK):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for path in (old, old.parent, tmp_path / LOCK):
        os.utime(path, (0, 0))
    remove_old(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [LOCK, "new.csv"]


def test_credentialed_patients_are_shown_only_where_their_cohort_is_named(
    small_run: Path,
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = small_run / "model"
    cohort = write_cohort(tmp_path / "credentialed", vocabulary, credentialed=True)

    def patients(given: Path | None = None) -> list[str]:
        seen: list[Any] = []
        monkeypatch.setattr(serve, "run_page", lambda page, *more: seen.append(page))
        serve.serve(model, cohort=given, port=0)
        (box,) = (one for one in seen[0].config["components"] if one["props"].get("elem_id") == "patient")
        return [name for _, name in box["props"]["choices"]]

    assert patients() == [OWN, PATIENT]
    provenance = small_run / "rationales" / "provenance.json"
    before = provenance.read_text()
    try:
        write_json(provenance, {"credentialed": True, "title": "Lent"})
        assert patients() == [OWN]
        assert "rationales: credentialed, so its patients are not shown; name it with --cohort" in caplog.text
        # What is not recorded counts as credentialed.
        provenance.unlink()
        assert patients() == [OWN]
    finally:
        provenance.write_text(before)
    assert patients(cohort) == [OWN, PATIENT]


def test_a_port_that_is_taken_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1 .* --port"):
            serve.serve(tmp_path, port=port)
    with serve.listening_socket("127.0.0.1", 0) as free:
        assert free.getsockname()[1] > 0
