"""The content of a request to a server of the tests."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler


def content_of(request: BaseHTTPRequestHandler) -> bytes:
    """The bytes that were sent, whether their number was announced or they came in chunks."""
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)
