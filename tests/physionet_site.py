"""A server on this machine with PhysioNet's layout and logins, which refuses, drops, stalls and lies when told to."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "re-searcher", "pä$$ wörd:hunter2"

Behaviour = Callable[["Handler", bytes], bool]
"""Does something odd in place of an answer and returns True, or returns False for the usual answer."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms
    server: Site

    def do_GET(self) -> None:
        site = self.server
        path = self.path.removeprefix("/files/")
        asked = Request(path, dict(self.headers.items()))
        site.requests.append(asked)
        odd = site.odd.get(path, [])
        body = site.files.get(path)
        if odd and odd.pop(0)(self, body or b""):
            return
        closed = not path.startswith(("mimic-iv-demo/", "mimiciii-demo/", "eicu-crd-demo/"))
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        given = self.headers.get("Authorization")
        if closed and given != login:
            self.answer(401, b"", {"WWW-Authenticate": "Basic"})
        elif closed and path.split("/")[0] not in site.signed:
            self.answer(403, b"")
        elif body is None:
            self.answer(404, b"")
        else:
            self.serve(body, asked)

    def serve(self, body: bytes, asked: Request) -> None:
        wanted = self.headers.get("Range")
        if wanted is None or not self.server.ranges:
            self.answer(200, body, sent=asked)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], {"Content-Range": span}, sent=asked)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, sent: Request | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body), 1 << 15):
            piece = body[start : start + (1 << 15)]
            self.wfile.write(piece)
            if sent is not None:
                sent.sent += len(piece)
            if self.server.pause:
                time.sleep(self.server.pause)

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@dataclasses.dataclass
class Request:
    path: str
    headers: dict[str, str]
    sent: int = 0


class Site(ThreadingHTTPServer):
    """A server with PhysioNet's layout. `odd` has, per path, what happens to its next requests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.files: dict[str, bytes] = {}
        self.odd: dict[str, list[Behaviour]] = {}
        self.requests: list[Request] = []
        self.signed = {"mimiciv", "mimic-iv-note"}
        self.ranges = True
        self.pause = 0.0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/"

    def publish(self, slug: str, version: str, files: dict[str, bytes]) -> None:
        sums = "".join(f"{hashlib.sha256(body).hexdigest()} {path}\n" for path, body in sorted(files.items()))
        for path, body in {**files, "SHA256SUMS.txt": sums.encode()}.items():
            self.files[f"{slug}/{version}/{path}"] = body

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path.endswith(path)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


def drop_after(count: int) -> Behaviour:
    """Promise the whole rest, send `count` bytes of it and hang up."""

    def act(handler: Handler, body: bytes) -> bool:
        wanted = handler.headers.get("Range") if handler.server.ranges else None
        start = int(wanted[6:-1]) if wanted else 0
        handler.send_response(206 if wanted else 200)
        handler.send_header("Content-Length", str(len(body) - start))
        if wanted:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.end_headers()
        handler.wfile.write(body[start : start + count])
        handler.wfile.flush()
        handler.server.requests[-1].sent += count
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    return act


def stall(handler: Handler, body: bytes) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:100])
    handler.wfile.flush()
    time.sleep(1.5)
    handler.close_connection = True
    return True


def status(code: int, headers: dict[str, str] | None = None) -> Behaviour:
    def act(handler: Handler, body: bytes) -> bool:
        handler.answer(code, b"no", headers)
        return True

    return act


def wrong_bytes(handler: Handler, body: bytes) -> bool:
    handler.answer(200, bytes(len(body)))
    return True


def usual(handler: Handler, body: bytes) -> bool:
    return False
