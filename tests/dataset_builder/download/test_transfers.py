"""Transfers that break off are continued, verified and given up in one line."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from download_site import BIG, QUICK, SECRETS, get, refused, state
from physionet_site import PASSWORD, USER, Handler, Site, drop_after, stall, status, wrong_bytes


def test_dropped_connections_go_on_where_they_broke_off(site: Site, tmp_path: Path) -> None:
    site.odd[BIG] = [drop_after(200_000), drop_after(1), drop_after(150_000), drop_after(100_000), drop_after(90_000)]
    done = get(site, tmp_path)
    assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
    asked = site.asked("prescriptions.csv.gz")
    assert len(asked) == 6  # more than the attempts: each brought something new
    # What had arrived was not sent again, but for what a client may still have had in hand.
    assert sum(request.sent for request in asked) < len(site.files[BIG]) + 5 * (1 << 16)
    assert [request for request in asked[1:] if "Range" in request.headers]


def test_a_server_that_never_gets_anywhere_is_given_up_in_one_line(site: Site, tmp_path: Path) -> None:
    site.odd[BIG] = [drop_after(0)] * 9
    refused(site, tmp_path, "prescriptions.csv.gz", "3 times in a row", "continues where it stopped")
    assert len(site.asked("prescriptions.csv.gz")) == 3


def test_a_server_that_ignores_ranges_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.odd[BIG] = [drop_after(300_000)]
    done = get(site, tmp_path)
    assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
    assert "Range" in site.asked("prescriptions.csv.gz")[1].headers


def test_another_range_than_was_asked_for_is_not_used(site: Site, tmp_path: Path) -> None:
    def shifted(handler: Handler, body: bytes) -> bool:
        handler.answer(206, body[5:], {"Content-Range": f"bytes 5-{len(body) - 1}/{len(body)}"})
        return True

    site.odd[BIG] = [drop_after(300_000), shifted, shifted]
    done = get(site, tmp_path, retry=dataclasses.replace(QUICK, attempts=4))
    assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]


def test_a_stalled_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.odd[BIG] = [stall]
    started = time.monotonic()
    done = get(site, tmp_path)
    assert 0.4 < time.monotonic() - started < 10
    assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
    site.odd["mimiciv/3.1/SHA256SUMS.txt"] = [stall] * 3
    refused(site, tmp_path, "nothing came")


@pytest.mark.parametrize("code", [500, 502, 503, 429, 408])
def test_a_passing_error_passes(site: Site, tmp_path: Path, code: int) -> None:
    site.odd[BIG] = [status(code), status(code)]
    site.odd["mimiciv/3.1/SHA256SUMS.txt"] = [status(code)]
    get(site, tmp_path)


def test_an_unreachable_server_is_named(site: Site, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(site, tmp_path, f"127.0.0.1:{port}", "cannot be reached", base_url=f"http://127.0.0.1:{port}/files/")


def test_wrong_bytes_are_fetched_anew_once_and_never_kept(site: Site, tmp_path: Path) -> None:
    site.odd[BIG] = [wrong_bytes]
    done = get(site, tmp_path / "a")
    assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
    site.odd[BIG] = [wrong_bytes, wrong_bytes]
    refused(site, tmp_path / "b", "prescriptions.csv.gz", "SHA-256")
    assert not list((tmp_path / "b").rglob("prescriptions*"))


def test_a_left_part_of_another_file_or_one_too_long_is_replaced(site: Site, tmp_path: Path) -> None:
    for place, left in enumerate((os.urandom(1000), site.files[BIG], site.files[BIG] + b"more")):
        folder = tmp_path / str(place)
        part = folder / "mimiciv" / "3.1" / "hosp" / "prescriptions.csv.gz.partial"
        part.parent.mkdir(parents=True)
        part.write_bytes(left)
        done = get(site, folder)
        assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
        assert not part.exists()


CHILD = """
import sys
from dataset_builder.download import Credentials, download
download("mimic-iv", sys.argv[1], base_url=sys.argv[2], credentials=Credentials(*sys.stdin.read().split("|")))
"""


def test_killed_in_the_middle_it_goes_on_without_fetching_what_is_there(site: Site, tmp_path: Path) -> None:
    site.pause = 0.02
    part = tmp_path / "mimiciv" / "3.1" / "hosp" / "prescriptions.csv.gz.partial"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), site.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdin is not None
    child.stdin.write(f"{USER}|{PASSWORD}".encode())
    child.stdin.close()
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 150_000):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    assert not any(secret.encode() in child.stdout.read() for secret in SECRETS)
    child.stdout.close()
    there = part.stat().st_size
    assert 150_000 < there < len(site.files[BIG])
    finished = [path for path in (tmp_path / "mimiciv").rglob("*.csv.gz") if path.is_file()]
    site.pause = 0.0
    site.requests.clear()
    done = get(site, tmp_path)
    assert sum(request.sent for request in site.asked("prescriptions.csv.gz")) == len(site.files[BIG]) - there
    assert set(finished) <= set(done.kept)
    clean = get(site, tmp_path / "clean")
    assert state(done.root) == state(clean.root)


def test_a_full_disk_is_named_before_anything_is_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=600_000))
    message = refused(site, tmp_path, "the disk is full", "GB are still to come")
    assert str(tmp_path) in message


def test_a_disk_that_fills_up_ends_in_one_line_and_the_rest_is_fetched_later(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(small)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        real = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: real)  # others fill it after the check
        refused(site, small, "the disk is full", "free some space")
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        site.requests.clear()
        done = get(site, small)
        assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
        assert "Range" in site.asked("prescriptions.csv.gz")[0].headers
    finally:
        subprocess.run(["umount", str(small)], check=True)
