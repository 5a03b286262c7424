"""Credentialed examples stay on this machine: no trick in an address passes, and a service needs three statements."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_provenance import CLOSED, OPEN

from dataset_builder.storage.governance import (
    ServiceAcknowledgement,
    require_local,
)
from modeling_clinragen.errors import GovernanceError

PROMISES = ServiceAcknowledgement(keeps_nothing=True, trains_on_nothing=True, nobody_reads=True)


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


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
