"""Credentialed data stays private, unpublished and on this machine, and whatever is made of it says so."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scripted_teacher import with_rationales
from tiny_mimic import crowd, make_cohort

from dataset_builder.contract.cohort_splits import CohortSplits, provenance_of
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import atomic_folder, private_folder
from dataset_builder.storage.governance import (
    PROVENANCE,
    UNRECORDED,
    ServiceAcknowledgement,
    carry_provenance,
    is_credentialed,
    read_provenance,
    require_local,
    require_publishable,
    write_provenance,
)
from modeling_clinragen.errors import GovernanceError, InputDataError

OPEN = {
    "source": "mimic-iv",
    "release": "synthetic",
    "title": "Synthetic hospital",
    "version": "unknown",
    "licence": {"id": "cc0-1.0", "name": "Creative Commons Zero v1.0"},
    "credentialed": False,
}
CLOSED = {
    **OPEN,
    "release": "mimic-iv",
    "title": "MIMIC-IV",
    "version": "3.1",
    "licence": {"id": "other", "name": "PhysioNet Credentialed Health Data License 1.5.0"},
    "credentialed": True,
}
PROMISES = ServiceAcknowledgement(keeps_nothing=True, trains_on_nothing=True, nobody_reads=True)


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def _loose_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if mode(path) & 0o077]


# --- private folders


@pytest.mark.usefixtures("_loose_umask")
def test_a_private_folder_is_never_open_to_others_not_even_while_it_is_written(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out", private=True) as folder:
        assert mode(folder) == 0o700
        (folder / "data").mkdir()
        (folder / "data" / "patients.csv").write_text("1")
        assert open_to_others(folder)  # files as other libraries write them
    assert open_to_others(tmp_path / "out") == []
    assert mode(tmp_path / "out" / "data" / "patients.csv") == 0o600
    with atomic_folder(tmp_path / "open") as folder:
        (folder / "file").write_text("1")
    assert mode(tmp_path / "open") & 0o077


@pytest.mark.usefixtures("_loose_umask")
def test_what_a_resumed_run_left_open_becomes_private(tmp_path: Path) -> None:
    left = tmp_path / "out.partial"
    left.mkdir()
    (left / "old").write_text("1")
    with atomic_folder(tmp_path / "out", resume=True, private=True) as folder:
        assert mode(folder) == 0o700
    assert open_to_others(tmp_path / "out") == []


def test_a_private_folder_is_not_made_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputDataError, match="is a file"):
        private_folder(tmp_path / "file")


# --- provenance


@pytest.mark.parametrize("value", [None, 0, "", "false", "no", [], True])
def test_only_a_recorded_no_is_open(value: Any) -> None:
    assert is_credentialed({**OPEN, "credentialed": value})
    assert not is_credentialed(OPEN)
    assert is_credentialed({})
    assert is_credentialed({**OPEN, "origins": "nonsense"})
    assert is_credentialed({**OPEN, "origins": [CLOSED]})


def test_a_folder_without_provenance_counts_as_credentialed(tmp_path: Path) -> None:
    assert is_credentialed(read_provenance(tmp_path))
    (tmp_path / PROVENANCE).write_text("[]")
    assert is_credentialed(read_provenance(tmp_path))
    (tmp_path / PROVENANCE).write_text("{")
    with pytest.raises(InputDataError, match="not readable JSON"):
        read_provenance(tmp_path)
    (tmp_path / PROVENANCE).write_text(json.dumps(OPEN))
    assert not is_credentialed(read_provenance(tmp_path))


origins = st.sampled_from([OPEN, CLOSED, UNRECORDED, {**OPEN, "title": "Another hospital"}])


@given(st.lists(st.lists(origins, min_size=1, max_size=3), min_size=1, max_size=4))
def test_through_any_chain_of_steps_nothing_credentialed_becomes_open(generations: list[list[dict[str, Any]]]) -> None:
    carried: dict[str, Any] | None = None
    for place, others in enumerate(generations):
        carried = carry_provenance([*([carried] if carried else []), *others], f"step {place}", {"seed": place})
    assert carried is not None
    used = [origin for others in generations for origin in others]
    assert is_credentialed(carried) == any(origin["credentialed"] for origin in used)
    assert carried["credentialed"] == is_credentialed(carried)
    assert {origin["title"] for origin in carried["origins"]} == {origin["title"] for origin in used}
    named = [step["step"] for step in carried["steps"] if step["step"].startswith("step ")]
    assert named == [f"step {place}" for place in range(len(generations))]
    assert {"source", "release", "title", "version", "licence"} <= set(carried)
    # Top and list agree: the licence shown is the one that binds.
    if is_credentialed(carried):
        assert carried["licence"] != OPEN["licence"]


def test_without_any_parent_the_origin_is_not_recorded() -> None:
    assert is_credentialed(carry_provenance([], "train", {}))


def test_writing_a_credentialed_provenance_closes_the_folder(tmp_path: Path) -> None:
    for name, provenance, closed in (("open", OPEN, False), ("closed", CLOSED, True)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        write_provenance(folder, provenance)
        assert json.loads((folder / PROVENANCE).read_text()) == provenance
        assert (mode(folder) == 0o700) == closed


# --- publishing


def test_what_comes_from_credentialed_data_is_not_published(tmp_path: Path) -> None:
    require_publishable(OPEN, "the Hub")
    with pytest.raises(GovernanceError) as caught:
        require_publishable(CLOSED, "the Hub repository me/mimic")
    message = str(caught.value)
    for part in ("MIMIC-IV", "PhysioNet Credentialed Health Data License", "me/mimic", "publish code"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(GovernanceError, match="not recorded"):
        require_publishable(tmp_path, "the Hub")
    mixed = carry_provenance([OPEN, CLOSED], "train", {})
    with pytest.raises(GovernanceError, match="MIMIC-IV"):
        require_publishable(mixed, "the Hub")


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small hospital built twice: without a licence file (the strictest case), and as synthetic."""
    folder = tmp_path_factory.mktemp("cohorts")
    root = crowd(12).write(folder / "tables")
    make_cohort("mimic-iv", root, folder / "closed", note_policy="full")
    (root / "LICENSE.txt").write_text("Synthetic hospital")
    make_cohort("mimic-iv", root, folder / "open", note_policy="full")
    return {name: folder / name for name in ("closed", "open")}


def test_build_and_rationales_keep_credentialed_cohorts_private_and_traceable(
    cohorts: dict[str, Path], tmp_path: Path
) -> None:
    assert open_to_others(cohorts["closed"]) == []
    assert mode(cohorts["open"]) & 0o077
    for name, cohort in cohorts.items():
        folder = tmp_path / name
        with_rationales(cohort, folder)
        assert (open_to_others(folder) == []) == (name == "closed")
        built, carried = (json.loads((path / PROVENANCE).read_text()) for path in (cohort, folder))
        assert carried["credentialed"] is (name == "closed")
        for key in ("source", "release", "title", "version", "licence", "fingerprint"):
            assert carried[key] == built[key]
        assert [step["step"] for step in carried["steps"]] == ["build", "rationales"]


def test_credentialed_notes_beside_an_open_demo_close_the_cohort(tmp_path: Path) -> None:
    root = crowd(6).write(tmp_path / "mimic-iv-demo" / "2.2")
    (root / "LICENSE.txt").write_text("Open Database License (ODbL) v1.0")
    beside = tmp_path / "mimic-iv-note" / "2.2"
    beside.mkdir(parents=True)
    (root / "note").rename(beside / "note")
    for licence in ("The PhysioNet Credentialed Health Data License\nVersion 1.5.0", None):
        (beside / "LICENSE.txt").unlink(missing_ok=True)
        if licence is not None:
            (beside / "LICENSE.txt").write_text(licence)
        provenance = make_cohort("mimic-iv", root, tmp_path / "out", note_policy="full")
        assert provenance["credentialed"] is True
        assert open_to_others(tmp_path / "out") == []
        with pytest.raises(GovernanceError):
            require_publishable(tmp_path / "out", "the Hub")
    (beside / "LICENSE.txt").write_text("Open Database License (ODbL) v1.0")
    assert make_cohort("mimic-iv", root, tmp_path / "out", note_policy="full")["credentialed"] is False


def test_a_credentialed_cohort_cannot_be_pushed_to_the_hub(cohorts: dict[str, Path]) -> None:
    closed = load_examples(cohorts["closed"])
    for private in (False, True):
        with pytest.raises(GovernanceError, match="someone/cohort"):
            closed.push_to_hub("someone/cohort", private=private)
    opened = load_examples(cohorts["open"])
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the Hub's client says without a network)
        opened.push_to_hub("someone/cohort", token="none")
    assert not isinstance(caught.value, GovernanceError)
    assert isinstance(opened, CohortSplits)
    assert not is_credentialed(provenance_of(opened))
    assert is_credentialed(provenance_of(opened.map(lambda row: row)))  # a copy's origin is not recorded


# --- sending


LOCAL = [
    "http://127.0.0.1:8000/v1",
    "http://127.0.0.1",
    "https://127.9.8.7:1/",
    "http://[::1]:8000/v1",
    "HTTP://[::1]",
]
ELSEWHERE = [
    "http://localhost.evil.com/v1",
    "http://127.0.0.1.evil.com/",
    "http://127.0.0.1@evil.com/",
    "http://127.0.0.1:80@evil.com/",
    "http://evil.com#@127.0.0.1/",
    "http://evil.com\\@127.0.0.1/",
    "http://127.0.0.1\\.evil.com/",
    "http://127.0.0.1%2eevil.com/",
    "http://127.0.0.1%00.evil.com/",
    "http://127.0.0.1\t.evil.com/",
    "http://127.0.0.1 .evil.com/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f.0.0.1/",
    "http://127.1/",
    "http://0177.0.0.1/",
    "http://127.000.000.001/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::ffff:808:808]/",
    "http://[::127.0.0.1]/",
    "http://[::1%25eth0]/",
    "http://[::1]evil.com/",
    "http://[fe80::1]/",
    "http://0.0.0.0/",
    "http://128.0.0.1/",
    "http://10.0.0.1/",
    "http://ｌocalhost.com/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:x/",
    "http://127.0.0.1:/@evil.com",
    "127.0.0.1:8000",
    "//127.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///127.0.0.1",
    "http:///127.0.0.1",
    "http:127.0.0.1",
    "https://api.openai.com/v1",
    "",
]


@pytest.mark.parametrize("address", LOCAL)
def test_this_machine_may_be_sent_credentialed_examples(address: str) -> None:
    record = require_local(CLOSED, address)
    assert record["local"] is True
    assert record["acknowledgement"] is None


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_trick_in_an_address_passes_for_this_machine(address: str) -> None:
    with pytest.raises(GovernanceError) as caught:
        require_local(CLOSED, address)
    assert "\n" not in str(caught.value)
    with pytest.raises(GovernanceError):
        require_local({}, address)  # unrecorded data too


def independent_host(address: str) -> str:
    """The host that a permissive client might connect to, by the reading that helps an attacker most."""
    rest = address.split("://", 1)[1]
    authority = rest.replace("\\", "/").split("/")[0].split("?")[0].split("#")[0]
    return authority.rpartition("@")[2]


hosts = st.sampled_from(
    ["127.0.0.1", "localhost", "evil.com", "[::1]", "127.0.0.1.evil.com", "8.8.8.8", "[::ffff:1.2.3.4]"]
)
joints = st.sampled_from(
    ["", "@", ":", ".", "/", "\\", "#", "?", "%40", "%2e", "\t", "\n", " ", "。", ":80@", "\x00", "[", "]"]
)


@given(st.lists(st.tuples(hosts, joints), min_size=1, max_size=3), st.sampled_from(["http://", "https://"]))
@example([("127.0.0.1", "@"), ("evil.com", "")], "http://")
def test_an_accepted_address_is_loopback_in_every_reading(pieces: list[tuple[str, str]], scheme: str) -> None:
    address = scheme + "".join(host + joint for host, joint in pieces)
    try:
        require_local(CLOSED, address)
    except GovernanceError:
        return
    host = independent_host(address)
    bare = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    assert bare in ("127.0.0.1", "localhost", "[::1]")


@given(st.text(max_size=40))
def test_any_text_as_an_address_is_recorded_as_local_or_refused_in_one_line(text: str) -> None:
    refusal, record = "", {"local": False}
    try:
        record = require_local(CLOSED, text)
    except GovernanceError as error:
        refusal = str(error)
    assert record["local"] is not bool(refusal)
    assert len(refusal.splitlines()) == int(bool(refusal))


@given(st.ip_addresses())
def test_addresses_by_number_are_local_exactly_where_the_standards_say(ip: Any) -> None:
    address = f"http://[{ip}]:8000/" if ip.version == 6 else f"http://{ip}:8000/"
    local = (ip.version == 4 and str(ip).startswith("127.")) or str(ip) == "::1"
    try:
        require_local(CLOSED, address)
    except GovernanceError:
        assert not local
    else:
        assert local


def test_localhost_counts_only_while_this_machine_resolves_it_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    assert require_local(CLOSED, "http://LocalHost:8000/v1")["local"] is True
    inet, stream = socket.AF_INET, socket.SOCK_STREAM
    found = [(inet, stream, 6, "", ("127.0.0.1", 0)), (inet, stream, 6, "", ("10.1.2.3", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)
    with pytest.raises(GovernanceError, match="resolves"):
        require_local(CLOSED, "http://localhost:8000/v1")


def test_a_proxy_that_would_carry_requests_away_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.hospital:3128")
        with pytest.raises(GovernanceError, match="NO_PROXY"):
            require_local(CLOSED, "http://127.0.0.1:8000/v1")
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        assert require_local(CLOSED, "http://127.0.0.1:8000/v1")["local"] is True
        monkeypatch.delenv(name)
        monkeypatch.delenv("no_proxy")


def test_a_service_elsewhere_needs_all_three_statements_which_are_recorded() -> None:
    address = "https://models.hospital.example/v1"
    assert require_local(OPEN, address) == {"host": "models.hospital.example", "local": False, "acknowledgement": None}
    assert require_local(CLOSED, address, PROMISES) == {
        "host": "models.hospital.example",
        "local": False,
        "acknowledgement": {"keeps_nothing": True, "trains_on_nothing": True, "nobody_reads": True},
    }
    partly = ServiceAcknowledgement(keeps_nothing=True, trains_on_nothing=True, nobody_reads=False)
    with pytest.raises(GovernanceError, match="nobody reads"):
        require_local(CLOSED, address, partly)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(GovernanceError) as caught:
        require_local(CLOSED, "http://user:hunter2@models.example/v1")
    assert "hunter2" not in str(caught.value)
