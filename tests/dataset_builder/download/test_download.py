"""Downloading from a real server on this machine that refuses, drops, stalls, lies and redirects."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from download_site import BIG, CHART, LOGIN, SECRETS, get, refused, state
from physionet_site import PASSWORD, USER, Handler, Site, status
from tiny_mimic import make_cohort

from dataset_builder.download import Credentials
from dataset_builder.storage.progress import Progress

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
