"""Who may use a page: decided from a request's headers alone, before anything of it is read or stored.

A page on 127.0.0.1 can be reached by every account of the machine, by every page that the browser has open, and, where
a name is made to point to 127.0.0.1, by a website as if it were its own. So a request must be addressed to this page
(Host), must not come from another page (Origin, Sec-Fetch-Site), and must know the token of this page's address.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

LOOPBACK = "127.0.0.1"
OF_THIS_MACHINE = (LOOPBACK, "localhost")
HTTP_PORT = 80


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: the status of the answer, its one line, and the word for the access log."""

    status: int
    message: str
    reason: str


@dataclass(frozen=True)
class Access:
    """Who may use a page.

    Args:
        origins: The page's addresses, such as `http://127.0.0.1:7860`.
        token: What the address must have; None where everybody may use the page.
        cookie: Name of the cookie that has the token once the address was opened.
    """

    origins: frozenset[str]
    token: str | None = None
    cookie: str = "clinragen"

    @classmethod
    def of_this_machine(cls, port: int) -> Access:
        """A page on the loopback address, with a new token."""
        ends = {f":{port}"} | ({""} if port == HTTP_PORT else set())
        origins = frozenset(f"http://{name}{end}" for name in OF_THIS_MACHINE for end in ends)
        # Cookies do not know ports: two pages of one machine need two names.
        return cls(origins, secrets.token_urlsafe(32), f"clinragen-{port}")

    @classmethod
    def of_everybody(cls, hosts: Iterable[str]) -> Access:
        """A public page behind a proxy that speaks HTTPS, under these host names."""
        return cls(frozenset(f"https://{host}" for host in hosts))

    def refusal(self, scope: Mapping[str, Any]) -> Refusal | None:
        """Why the request of an ASGI scope is refused; None where it may be answered."""
        origin = self._addressed(scope)
        if origin is None:
            return Refusal(403, "refused: this address is not the page's; open the one that was printed", "host")
        if any(value != origin.encode() for value in _values(scope, b"origin")) or _from_another_page(scope):
            return Refusal(403, "refused: the request comes from another page", "origin")
        if self.token is not None and not any(map(self._is_token, self._given(scope))):
            return Refusal(403, "refused: without the token; open the address that was printed, whole", "token")
        return None

    def cookie_for(self, scope: Mapping[str, Any]) -> str | None:
        """The cookie to set, where the request brought the token in its address."""
        if self.token is None or not any(map(self._is_token, _of_query(scope))):
            return None
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def _addressed(self, scope: Mapping[str, Any]) -> str | None:
        """The page's address that the request names as its host."""
        hosts = _values(scope, b"host")
        found = [origin for origin in self.origins if hosts == [origin.partition("://")[2].encode()]]
        return found[0] if found else None

    def _given(self, scope: Mapping[str, Any]) -> Iterator[str]:
        yield from _of_query(scope)
        # The second is what gradio_client makes of its `token`.
        for name in (b"authorization", b"x-hf-authorization"):
            for value in _values(scope, name):
                kind, _, token = value.decode("latin-1").partition(" ")
                if kind.lower() in ("bearer", "token"):
                    yield token.strip()
        for value in _values(scope, b"cookie"):
            # By hand: a cookie that another server of this machine set must not hide ours, whatever is in it.
            for one in value.decode("latin-1").split(";"):
                name_of_one, _, token = one.strip().partition("=")
                if name_of_one == self.cookie:
                    yield token

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())


def _values(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _of_query(scope: Mapping[str, Any]) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])


def _from_another_page(scope: Mapping[str, Any]) -> bool:
    """Whether a browser says that another page asks, other than by a link that was followed."""
    sites = _values(scope, b"sec-fetch-site")
    followed = scope.get("method") in ("GET", "HEAD") and _values(scope, b"sec-fetch-mode") == [b"navigate"]
    return not followed and any(site not in (b"same-origin", b"none") for site in sites)
