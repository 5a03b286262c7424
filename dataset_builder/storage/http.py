"""HTTP for every client of ours: when to try again, how long to wait, and which addresses may receive a secret."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from dataset_builder.storage.config_fields import check_values, setting
from modeling_clinragen.errors import SettingsError

# Statuses below 500 that a later attempt may not meet again.
TRANSIENT_STATUSES = (408, 425, 429)
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Timeouts and retries of one client."""

    connect_s: float = setting(
        15.0, help="Longest wait for a connection.", unit="seconds", at_least=0.001, decides=False
    )
    read_s: float = setting(
        60.0, help="Longest wait for the next byte of an answer.", unit="seconds", at_least=0.001, decides=False
    )
    attempts: int = setting(6, help="Attempts in a row before giving up.", at_least=1, decides=False)
    first_pause_s: float = setting(
        1.0, help="Pause before the second attempt; it doubles each time.", unit="seconds", at_least=0, decides=False
    )
    max_pause_s: float = setting(
        30.0, help="Longest pause that doubling leads to.", unit="seconds", at_least=0, decides=False
    )
    max_retry_after_s: float = setting(
        300.0, help="Longest wait that a server may ask for.", unit="seconds", at_least=0, decides=False
    )

    def __post_init__(self) -> None:
        check_values(self)

    def pause_s(self, failures: int, retry_after_s: float | None = None, *, jitter: bool = False) -> float:
        """The pause before the next attempt, in seconds.

        Args:
            failures: Attempts that failed in a row, at least 1.
            retry_after_s: What the server asked for; up to `max_retry_after_s` it replaces the doubled pause. A caller
                that would rather give up than come back too early compares the two itself.
            jitter: Draw the doubled pause between none and itself, and add it to what the server asked for: requests
                that failed together then do not return together.
        """
        # The exponent is bounded: 2.0 ** 1024 overflows, and any pause has reached its maximum long before.
        doubled = min(self.first_pause_s * 2.0 ** min(failures - 1, 64), self.max_pause_s)
        if jitter:
            return min(retry_after_s or 0.0, self.max_retry_after_s) + random.uniform(0.0, doubled)
        return doubled if retry_after_s is None else min(retry_after_s, self.max_retry_after_s)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (0 for a date that is past); None without a readable one."""
    value = (header or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value, re.ASCII):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        # "-0000" is universal time, too.
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def check_base_url(address: str, *, credentialed: bool, cure: str = "leave them out") -> str:
    """`address` with a slash at its end.

    Args:
        address: The base URL that a user gave.
        credentialed: Whether a password or key is sent to it.
        cure: What to do instead of writing a user name or password into the address, for the message.

    Raises:
        SettingsError: It is not an http or https address, contains a password, or a password would travel unencrypted.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname
        origin_of(address)
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise SettingsError("the base URL is not a plain http or https address; write https://host/path/")
    if "@" in parts.netloc:
        raise SettingsError(f"the base URL contains a user name or password; {cure}")
    if credentialed and parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise SettingsError(f"{host}: a password would travel there unencrypted; give an https base URL")
    return address.rstrip("/") + "/"


def origin_of(address: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL. Raises `ValueError` for an address that cannot be read."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
