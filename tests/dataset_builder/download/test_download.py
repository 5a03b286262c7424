"""Downloading from a real server on this machine that refuses, drops, stalls, lies and redirects."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from physionet_site import PASSWORD, USER, Handler, Site, drop_after, stall, status, wrong_bytes
from tiny_mimic import SHIPPED, crowd, make_cohort

from dataset_builder.download import Credentials, Downloaded, dataset_names, download
from dataset_builder.download.catalogue import find_dataset, needed_files, parse_checksums
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.http import RetryPolicy
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

LOGIN = Credentials(USER, PASSWORD)
QUICK = RetryPolicy(connect_s=2, read_s=0.5, attempts=3, first_pause_s=0.01)
CHART = "icu/chartevents.csv.gz"
SECRETS = (PASSWORD, "hunter2", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


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


def get(site: Site, folder: Path, dataset: str = "mimic-iv", **settings: Any) -> Downloaded:
    given = {"credentials": LOGIN, "retry": QUICK, "base_url": site.url, **settings}
    return download(dataset, folder, **given)


def refused(site: Site, folder: Path, *parts: str, dataset: str = "mimic-iv", **settings: Any) -> str:
    with pytest.raises(ClinRaGenError) as caught:
        get(site, folder, dataset, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not any(secret in f"{chain} {chain!r} {chain.args}" for secret in SECRETS)
        chain = chain.__cause__
    return message


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


BIG = "mimiciv/3.1/hosp/prescriptions.csv.gz"


# --- what is fetched


def test_a_download_holds_what_the_builder_needs_and_can_be_built(site: Site, tmp_path: Path) -> None:
    done = get(site, tmp_path / "data", "mimic-iv-demo")
    assert done.root == tmp_path / "data" / "mimic-iv-demo" / "2.2"
    assert done.source == "mimic-iv"
    assert not done.kept
    names = set(state(done.root))
    assert {"LICENSE.txt", "SHA256SUMS.txt", CHART, "hosp/patients.csv.gz"} <= names
    assert "icu/ingredientevents.csv.gz" not in names
    assert not list(done.root.rglob("*.partial"))
    provenance = make_cohort(done.source, done.root, tmp_path / "cohort", note_policy="structured")
    assert provenance["version"] == "2.2"
    assert provenance["credentialed"] is False
    assert provenance["examples"]["total"] == 12
    # An open dataset is asked for without a password, though one was given.
    assert not any("Authorization" in request.headers for request in site.requests)


def test_notes_come_from_their_own_publication_and_are_found_by_the_builder(
    site: Site, tables: dict[str, bytes], tmp_path: Path
) -> None:
    site.publish("mimiciv", "3.1", {name: body for name, body in tables.items() if name.startswith(("hosp/", "icu/"))})
    done = get(site, tmp_path / "data")
    assert state(tmp_path / "data" / "mimic-iv-note" / "2.2").keys() == {
        "LICENSE.txt",
        "SHA256SUMS.txt",
        "note/discharge.csv.gz",
    }
    provenance = make_cohort("mimic-iv", done.root, tmp_path / "cohort", note_policy="full")
    assert provenance["version"] == "3.1"
    assert provenance["credentialed"] is True
    assert provenance["notes"]["without_a_note"] == 0
    for request in site.requests:
        assert request.headers["User-Agent"].startswith("clinragen")


def test_credentialed_folders_are_private_before_the_first_byte(site: Site, tmp_path: Path) -> None:
    old = os.umask(0)
    seen: list[int] = []

    def look(handler: Handler, body: bytes) -> bool:
        inner = tmp_path / "data" / "mimiciv" / "3.1" / "hosp"
        seen.extend(stat.S_IMODE(path.stat().st_mode) for path in (inner, *list(inner.parents)[:3]))
        return False

    site.odd[BIG] = [look]
    try:
        get(site, tmp_path / "data")
    finally:
        os.umask(old)
    assert seen == [0o700] * 4
    for path in (tmp_path / "data").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_that_was_there_keeps_its_rights_and_what_is_made_in_it_is_private(
    site: Site, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    get(site, tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "mimiciv").stat().st_mode) == 0o700


def test_the_bytes_of_every_file_are_reported(site: Site, tmp_path: Path) -> None:
    reported: list[Progress] = []
    get(site, tmp_path, report=reported.append)
    size = len(site.files[BIG])
    steps = [progress for progress in reported if progress.remark == "hosp/prescriptions.csv.gz"]
    assert steps[0] == Progress(0, size, "bytes", "hosp/prescriptions.csv.gz")
    assert steps[-1] == Progress(size, size, "bytes", "hosp/prescriptions.csv.gz")
    assert [progress.done for progress in steps] == sorted(progress.done for progress in steps)
    assert len(steps) > 5


def test_what_is_there_and_right_is_kept_and_what_is_wrong_is_replaced(site: Site, tmp_path: Path) -> None:
    first = get(site, tmp_path)
    before = state(tmp_path)
    site.requests.clear()
    again = get(site, tmp_path)
    assert {request.path.rpartition("/")[2] for request in site.requests} == {"SHA256SUMS.txt"}
    assert set(again.kept) == set(first.fetched)
    (first.root / CHART).write_bytes(b"damaged")
    (first.root / "hosp" / "patients.csv.gz").unlink()
    third = get(site, tmp_path)
    assert {path.name for path in third.fetched} == {"chartevents.csv.gz", "patients.csv.gz"}
    assert state(tmp_path) == before


# --- credentials


def test_credentials_come_from_netrc_then_the_environment_then_a_prompt(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(host: str) -> tuple[str, str]:
        asked.append(host)
        return USER, PASSWORD

    get(site, tmp_path / "a", credentials=None, ask=ask)
    assert asked == ["127.0.0.1"]
    monkeypatch.setenv("PHYSIONET_USER", USER)
    monkeypatch.setenv("PHYSIONET_PASSWORD", PASSWORD)
    get(site, tmp_path / "b", credentials=None, ask=ask)
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f'machine 127.0.0.1\nlogin {USER}\npassword "{PASSWORD}"\n')
    netrc.chmod(0o600)
    monkeypatch.setenv("PHYSIONET_PASSWORD", "out of date")
    get(site, tmp_path / "c", credentials=None, ask=ask)
    assert len(asked) == 1
    # Nothing of it is stored.
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != netrc:
            assert not any(secret.encode() in path.read_bytes() for secret in SECRETS)


def test_without_credentials_the_message_says_how_to_give_them_and_where_to_sign(site: Site, tmp_path: Path) -> None:
    message = refused(site, tmp_path, "~/.netrc", "PHYSIONET_USER", credentials=None)
    assert "https://physionet.org/content/mimiciv/3.1/" in message
    assert site.requests == []


def test_faulty_netrc_files_and_half_an_environment_are_named_without_their_content(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} {SECRETS[1]}\n")  # "password" forgotten
    netrc.chmod(0o600)
    refused(site, tmp_path, str(netrc), "is not in netrc format", credentials=None)
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {SECRETS[1]}\n")
    netrc.chmod(0o644)
    refused(site, tmp_path, "chmod 600", credentials=None)
    netrc.write_text(f"default login {USER} password {SECRETS[1]}\n")
    refused(site, tmp_path, "~/.netrc", credentials=None)
    monkeypatch.setenv("PHYSIONET_USER", USER)
    refused(site, tmp_path, "only one of", credentials=None)
    assert PASSWORD not in repr(LOGIN)


def test_a_wrong_password_and_a_missing_signature_say_what_to_do(site: Site, tmp_path: Path) -> None:
    refused(site, tmp_path, "401", "~/.netrc", credentials=Credentials(USER, "wrong"))
    site.signed = {"mimiciv"}
    message = refused(site, tmp_path, "403", "https://physionet.org/content/mimic-iv-note/2.2/", "~/.netrc")
    assert "wget -r -N -c -np --user NAME --ask-password" in message
    assert not (tmp_path / "mimiciv").exists()  # known before anything is fetched


def test_a_redirect_to_another_host_gets_no_password(site: Site, tmp_path: Path) -> None:
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f"default login {USER} password {SECRETS[1]}\n")  # requests would send this by itself
    netrc.chmod(0o600)
    other = Site()
    other.files = {"elsewhere": site.files[BIG], "mimic-iv-demo/elsewhere": site.files[BIG]}
    try:
        for host in ("127.0.0.1", "localhost"):  # another port, and another name, of one machine
            target = f"http://{host}:{other.server_port}/files/mimic-iv-demo/elsewhere"
            site.odd[BIG] = [status(302, {"Location": target})]
            done = get(site, tmp_path / host)
            assert (done.root / "hosp" / "prescriptions.csv.gz").read_bytes() == site.files[BIG]
        assert len(other.requests) == 2
        assert not any("Authorization" in request.headers for request in other.requests)
        # Within the same server it is sent on.
        site.odd[BIG] = [status(301, {"Location": f"/files/{BIG}"})]
        get(site, tmp_path / "same")
        assert all("Authorization" in request.headers for request in site.requests)
    finally:
        other.shutdown()
        other.server_close()


def test_endless_and_broken_redirects_are_refused(site: Site, tmp_path: Path) -> None:
    sums = "mimiciv/3.1/SHA256SUMS.txt"
    site.odd[sums] = [status(302, {"Location": f"/files/{sums}"})] * 20
    refused(site, tmp_path, "again and again")
    for location in ("http://[bad/", "ftp://host/", "http://host:99999999/"):
        site.odd[sums] = [status(302, {"Location": location})]
        refused(site, tmp_path, "SHA256SUMS.txt", "check the base URL")


@pytest.mark.parametrize(
    ("address", "part"),
    [
        (f"https://{USER}:{SECRETS[1]}@physionet.org/files/", "leave them out"),
        ("http://physionet.org/files/", "unencrypted"),
        ("http://127.0.0.1.evil.com/", "unencrypted"),
        ("physionet.org/files", "https"),
        ("file:///etc/", "https"),
        ("http://[::1/", "https"),
        ("https://host:port/", "https"),
        ("https://host/?token=1", "https"),
    ],
)
def test_a_base_url_that_would_give_the_password_away_is_refused(
    site: Site, tmp_path: Path, address: str, part: str
) -> None:
    refused(site, tmp_path, part, base_url=address)


# --- broken transfers


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


# --- what the server lists


@pytest.mark.parametrize(
    "path",
    ["../evil", "hosp/../../evil", "/etc/passwd", "a/./b", "a//b", "..\\evil", "C:evil", "hosp/..", "~\x00", "a\x1bb"],
)
def test_a_list_with_a_path_outside_its_folder_is_refused(site: Site, tmp_path: Path, path: str) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] += f"{'0' * 64} {path}\n".encode()
    refused(site, tmp_path, "SHA256SUMS.txt", "outside its own folder")
    assert not (tmp_path / "mimiciv").exists()


@given(st.text(max_size=60))
def test_a_listed_path_stays_in_its_folder_whatever_it_is(path: str) -> None:
    try:
        sums = parse_checksums(f"{'a' * 64}  {path}\n{'b' * 64} hosp/x.csv", "address")
    except InputDataError:
        return
    base = Path("/data/folder")
    for name in sums:
        assert Path(os.path.normpath(base / name)).is_relative_to(base)
        assert os.path.normpath(base / name) == str(base / name)


@pytest.mark.parametrize(
    "text", ["", "\n", "<html>Please log in</html>", "abc hosp/x", f"{'g' * 64} x", f"{'a' * 64}"]
)
def test_what_is_no_list_of_sums_is_named(site: Site, tmp_path: Path, text: str) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = text.encode()
    refused(site, tmp_path, "SHA256SUMS.txt", "check the base URL")


def test_sums_are_read_in_the_forms_that_tools_write() -> None:
    digest = "A1" * 32
    for line in (f"{digest} a/b.csv", f"{digest}  a/b.csv", f"{digest} *a/b.csv\r"):
        assert parse_checksums(line, "address") == {"a/b.csv": digest.lower()}
    assert parse_checksums(f"{digest}  with space.csv\n", "address") == {"with space.csv": digest.lower()}


def test_binary_and_endless_lists_are_refused(site: Site, tmp_path: Path) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = b"\xff\xfe" * 100
    refused(site, tmp_path, "is not text")
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = bytes(17 << 20)
    refused(site, tmp_path, "far larger")


def test_a_missing_table_dataset_or_version_is_named(site: Site, tmp_path: Path) -> None:
    refused(site, tmp_path, "'mimic-v'", "mimic-iv-demo", dataset="mimic-v")
    refused(site, tmp_path, "'9.9'", "3.1", version="9.9")
    refused(site, tmp_path, "404", "2.2/SHA256SUMS.txt", version="2.2")
    listed = site.files["mimiciv/3.1/SHA256SUMS.txt"].decode().splitlines()
    kept = [line for line in listed if "icustays" not in line]
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = "\n".join(kept).encode()
    refused(site, tmp_path, "'icustays'")
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = "\n".join(listed).encode()
    del site.files["mimiciv/3.1/" + CHART]
    refused(site, tmp_path, "chartevents.csv.gz", "404")


def test_tables_are_found_whatever_their_case_and_packing() -> None:
    source = load_source("mimic-iv", SHIPPED)
    sums = dict.fromkeys(["HOSP/Patients.CSV", "hosp/patients.csv.gz", "hosp/labevents.csv", "x/patients.parquet"], "")
    tables, licences = needed_files({**sums, "LICENSE.txt": "", "other/LICENSE.txt": ""}, source)
    assert tables == {"patients": "hosp/patients.csv.gz", "labevents": "hosp/labevents.csv"}
    assert licences == ["LICENSE.txt"]


@pytest.mark.parametrize("dataset", ["mimic-iii-demo", "eicu-demo"])
def test_the_other_datasets_come_in_their_own_layout(site: Site, tmp_path: Path, dataset: str) -> None:
    spec = find_dataset(dataset)
    tables = load_source(spec.source, SHIPPED).tables.values()
    names = {f"{table.file}.csv": b"rows" for table in tables} | {"LICENSE.txt": b"Open Database License"}
    site.publish(spec.parts[0].slug, spec.parts[0].version, {**names, "sqlite/all.sqlite3.gz": b"not needed"})
    done = get(site, tmp_path, dataset)
    assert state(done.root).keys() == {*names, "SHA256SUMS.txt"}
    assert done.root == tmp_path / spec.parts[0].slug / spec.parts[0].version


def test_the_catalogue_has_the_datasets_that_are_promised() -> None:
    assert dataset_names() == ["mimic-iv-demo", "mimic-iii-demo", "eicu-demo", "mimic-iv", "mimic-iii"]
    for name in dataset_names():
        spec = find_dataset(name)
        assert spec.credentialed == (not name.endswith("-demo"))
        assert spec.base_url.startswith("https://")
        for part in spec.parts:
            assert part.page == f"https://physionet.org/content/{part.slug}/{part.version}/"
    with pytest.raises(SettingsError):
        find_dataset("mimic-iv", "1.0")
    assert json.dumps([part.slug for part in find_dataset("mimic-iv").parts]) == '["mimiciv", "mimic-iv-note"]'


def test_the_command_fetches_asks_once_and_says_what_to_do_next(site: Site, tmp_path: Path) -> None:
    words = ["download", "mimic-iv", "--output", str(tmp_path / "data"), "--base-url", site.url]
    script = str(Path(sys.executable).parent / "clinragen")
    environment = {**os.environ, "PHYSIONET_USER": USER, "PHYSIONET_PASSWORD": PASSWORD}
    done = subprocess.run([script, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "data" / "mimiciv" / "3.1"
    assert f"Next: clinragen build mimic-iv --root {root} --note-policy POLICY --output DIR" in done.stdout
    assert (root / CHART).is_file()
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    again = subprocess.run([script, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert "0 files fetched" in again.stdout


def test_a_wrong_password_ends_the_command_in_one_line(site: Site, tmp_path: Path) -> None:
    words = ["download", "mimic-iv", "--output", str(tmp_path / "data"), "--base-url", site.url]
    environment = {**os.environ, "PHYSIONET_USER": USER, "PHYSIONET_PASSWORD": "hunter2"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "clinragen"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("clinragen: ")]
    assert done.returncode == 1
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
