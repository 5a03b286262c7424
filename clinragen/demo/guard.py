"""Stands before every route of a page: answers only whom `Access` lets in, limits what is sent, and logs neither.

The log has the kind of route, the status and nothing that was sent: no query (the token is there), no file name, no
other part of a path that somebody could write a patient's name into.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from clinragen.demo.access import Access, Refusal
from clinragen.demo.faults import log_fault
from clinragen.demo.limits import LARGEST_BODY

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

TOO_LARGE = Refusal(413, f"refused: more than {LARGEST_BODY:,} bytes; give the note and values of one stay", "size")
BROKEN = Refusal(500, "internal error; the terminal of the page names its place", "fault")
# Parts of paths that are the page's, or the service's, own words. Any other is not logged.
WORDS = frozenset(
    [
        "assets",
        "call",
        "cancel",
        "check",
        "config",
        "data",
        "explain",
        "favicon.ico",
        "gradio_api",
        "healthz",
        "heartbeat",
        "info",
        "join",
        "manifest.json",
        "openapi.json",
        "queue",
        "run",
        "startup-events",
        "static",
        "svelte",
        "theme.css",
        "upload",
        "upload_progress",
    ]
)
# Files of the page itself, the same for every patient and page: the browser may keep them, the log need not have them.
LASTING = ("/assets/", "/static/", "/svelte/")
# No other machine can be asked for anything, no frame can put the page under somebody else's, no address goes on.
_OWN_ONLY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
PRIVATE_HEADERS = {
    **HEADERS,
    "content-security-policy": _OWN_ONLY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """An ASGI application around a page's.

    Args:
        app: The page.
        access: Who may use it.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, _Exchange(receive, send, self._headers(scope)))
        else:
            # The page has no web sockets.
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: MutableMapping[str, Any], exchange: _Exchange) -> None:
        refusal = self._access.refusal(scope) or (TOO_LARGE if _length(scope) > LARGEST_BODY else None)
        if refusal is not None:
            await exchange.refuse(refusal)
        else:
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except BaseException as error:
                # The server is silent: its message would have the error's own, which may quote the patient.
                if isinstance(error, Exception) and not exchange.reason:
                    log_fault(logger, error)
                    await exchange.refuse(BROKEN)
                raise
        if exchange.reason or not str(scope["path"]).startswith(LASTING):
            logger.info("%s %s %s", scope["method"], route(scope["path"]), exchange.outcome)

    def _headers(self, scope: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
        headers = dict(HEADERS if self._access.token is None else PRIVATE_HEADERS)
        if scope["type"] == "http" and not str(scope["path"]).startswith(LASTING):
            headers["cache-control"] = "no-store"
        if scope["type"] == "http" and self._access.refusal(scope) is None:
            cookie = self._access.cookie_for(scope)
            headers |= {} if cookie is None else {"set-cookie": cookie}
        return [(name.encode(), value.encode()) for name, value in headers.items()]


@dataclass
class _Exchange:
    """One request and its answer; after a refusal nothing else is read or sent."""

    inner_receive: Receive
    inner_send: Send
    headers: list[tuple[bytes, bytes]]
    read: int = 0
    status: int | None = None
    reason: str = ""

    @property
    def outcome(self) -> str:
        """Status and, where it was refused, the word why."""
        return f"{self.status or '-'} {self.reason}".rstrip()

    async def receive(self) -> Message:
        """The next part of the request; a client that sends too much is as good as gone."""
        if self.reason:
            return {"type": "http.disconnect"}
        message = await self.inner_receive()
        self.read += len(message.get("body", b""))
        if self.read > LARGEST_BODY:
            await self.refuse(TOO_LARGE)
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """A part of the page's answer."""
        if self.reason:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            replaced = {name for name, _ in self.headers} - {b"set-cookie"}
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in replaced and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *self.headers]}
        await self.inner_send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with one line, unless the answer has begun."""
        begun = self.status is not None
        self.reason = refusal.reason
        if begun:
            return
        self.status = refusal.status
        body = f"{refusal.message}\n".encode()
        about = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            # What was not read of the request must not be taken for the next one.
            (b"connection", b"close"),
        ]
        start = {"type": "http.response.start", "status": refusal.status, "headers": [*about, *self.headers]}
        await self.inner_send(start)
        await self.inner_send({"type": "http.response.body", "body": body})


def route(path: str) -> str:
    """The part of a path that says which route it is, and nothing of what a person wrote."""
    parts = [part if part in WORDS else "*" for part in path.split("/")[1:4] if part]
    return "/" + "/".join(parts)


def _length(scope: MutableMapping[str, Any]) -> int:
    """The length of the body as announced: 0 where it is not, for the bytes are counted as well."""
    given = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return max((int(value) for value in given if value.isdigit()), default=0)
