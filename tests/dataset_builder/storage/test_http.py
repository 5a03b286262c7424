"""Retries: growing pauses, bounded waits; addresses: none that would show a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dataset_builder.storage.http import RetryPolicy, check_base_url, origin_of, retry_after
from modeling_clinragen.errors import SettingsError


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_pause_s=0.5, max_pause_s=3)
    assert [policy.pause_s(failures) for failures in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]
    assert policy.pause_s(10_000) == 3


def test_a_server_s_wish_counts_within_bounds() -> None:
    policy = RetryPolicy(first_pause_s=1, max_retry_after_s=300)
    assert policy.pause_s(3, 0.0) == 0
    assert policy.pause_s(1, 77) == 77
    assert policy.pause_s(1, 4000) == 300


def test_requests_that_failed_together_do_not_return_together() -> None:
    policy = RetryPolicy(first_pause_s=8, max_pause_s=16)
    drawn = {policy.pause_s(2, jitter=True) for _ in range(50)}
    assert len(drawn) > 40
    assert all(0 <= pause <= 16 for pause in drawn)
    assert all(100 <= policy.pause_s(2, 100, jitter=True) <= 116 for _ in range(50))


@pytest.mark.parametrize(
    "settings", [{"attempts": 0}, {"connect_s": 0}, {"read_s": -1}, {"first_pause_s": float("nan")}, {"attempts": "2"}]
)
def test_an_impossible_policy_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"^{next(iter(settings))}: expected"):
        RetryPolicy(**settings)  # type: ignore[arg-type]


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("12") == 12
    assert retry_after(" 1.5 ") == 1.5
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after(soon) == pytest.approx(60, abs=3)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    for header in (None, "", "soon", "-5", "1e3", "٣"):
        assert retry_after(header) is None


def test_a_base_url_ends_with_a_slash() -> None:
    assert check_base_url("https://host/a", credentialed=True) == "https://host/a/"
    assert check_base_url("http://127.0.0.1:8000//", credentialed=True) == "http://127.0.0.1:8000/"
    assert check_base_url("http://mirror.example", credentialed=False) == "http://mirror.example/"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/", "is not a plain http or https address"),
        ("host/files", "is not a plain http or https address"),
        ("https://host/?key=hunter2", "is not a plain http or https address"),
        ("https://host:hunter2/", "is not a plain http or https address"),
        ("https://[host/", "is not a plain http or https address"),
        ("https://me:hunter2@host/", "contains a user name or password; give them elsewhere"),
        ("http://mirror.example/", "mirror.example: a password would travel there unencrypted"),
    ],
)
def test_an_address_that_would_show_a_password_is_refused_and_not_repeated(address: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        check_base_url(address, credentialed=True, cure="give them elsewhere")
    assert "hunter2" not in str(caught.value)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://host/a") == origin_of("https://host:443/b") == ("https", "host", 443)
    assert origin_of("http://host/a") != origin_of("https://host/a")
