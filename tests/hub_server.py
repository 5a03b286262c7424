"""A Hub on this machine: repositories, uploads by LFS, commits and downloads, as the Hub's client asks for them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from http_content import content_of

TOKEN = "hf_of_the_test"
CUT_AFTER = 10_000
BY_LFS = (".safetensors", ".parquet")
_API = re.compile(r"/api/(?P<kind>model|dataset|space)s/(?P<id>[\w.-]+/[\w.-]+)/(?P<what>\w+)/(?P<rest>.+)")
_BATCH = re.compile(r"/(?:(?P<kind>dataset|space)s/)?(?P<id>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch")
_FILE = re.compile(r"/(?:(?P<kind>dataset|space)s/)?(?P<id>[\w.-]+/[\w.-]+)/resolve/(?P<revision>\w+)/(?P<path>.+)")


@dataclass
class Repository:
    """A repository: its files after each commit."""

    about: dict[str, Any]
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the last commit."""
        return self.commits[-1]

    @property
    def sha(self) -> str:
        """The id of the last commit."""
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


class HubServer(ThreadingHTTPServer):
    """Keeps what it is sent.

    Attributes:
        repositories: By kind and id.
        asked: Method and path of every request.
        cut_pushes: How many pushes lose their connection, each after `CUT_AFTER` bytes of a large file.
        stored: Large files that have arrived whole, by SHA-256.
        put: SHA-256 of every large file that has arrived, as often as it did.
        verified: Those that the client had checked.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.asked: list[str] = []
        self.cut_pushes = 0
        self.stored: dict[str, bytes] = {}
        self.put: list[str] = []
        self.verified: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Any, token: str | None = TOKEN) -> dict[str, str]:
        """What makes a process's client talk to this Hub, by LFS, with a home of its own."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HUB_OFFLINE": "0",
            # Its native protocol would be asked for otherwise; a push does not depend on which one it is.
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(home),
            **({} if token is None else {"HF_TOKEN": token}),
        }


@contextmanager
def hub() -> Iterator[HubServer]:
    """A Hub, while the block runs."""
    server = HubServer()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_POST(self) -> None:
        path = self._begin()
        content = content_of(self)
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path == "/lfs/verify":
            self.server.verified.append(json.loads(content)["oid"])
            self._json({})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(content))
        elif found := _BATCH.fullmatch(path):
            self._json({"transfer": "basic", "objects": [self._action(one) for one in json.loads(content)["objects"]]})
        elif (found := _API.fullmatch(path)) and found["what"] == "preupload":
            files = json.loads(content)["files"]
            self._json({"files": [self._mode(found, one["path"]) for one in files]})
        elif found and found["what"] == "commit":
            self._commit(found, [json.loads(line) for line in content.splitlines()])
        else:
            self._json({"error": "unknown"}, 404)

    def do_PUT(self) -> None:
        oid = self._begin().removeprefix("/lfs/")
        size = int(self.headers["Content-Length"])
        # A push begins by creating its repository.
        if self.server.asked.count("POST /api/repos/create") <= self.server.cut_pushes:
            self.rfile.read(min(CUT_AFTER, size - 1))
            # Closed with unread bytes and no time to linger: the client sees a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        content = self.rfile.read(size)
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.stored[oid] = content
        self.server.put.append(oid)
        self._json({})

    def do_GET(self) -> None:
        path = self._begin()
        if found := _API.fullmatch(path):
            repository = self._repository(found)
            if repository is None:
                self._json({"error": "Repository not found"}, 404)
            elif found["what"] == "tree":
                self._json([_entry(name, content) for name, content in sorted(repository.files.items())])
            else:
                siblings = [{"rfilename": name} for name in sorted(repository.files)]
                self._json({"id": found["id"], "sha": repository.sha, "siblings": siblings, "tags": []})
        elif found := _FILE.fullmatch(path):
            repository = self._repository(found)
            content = None if repository is None else repository.files.get(unquote(found["path"]))
            self._file(content, "" if repository is None else repository.sha)
        else:
            self._json({"error": "unknown"}, 404)

    do_HEAD = do_GET  # noqa: N815 (the server calls it so)

    def _begin(self) -> str:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        return path

    def _create(self, asked: dict[str, Any]) -> None:
        key = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
        known = key in self.server.repositories
        self.server.repositories.setdefault(key, Repository(asked))
        prefix = "" if key[0] == "model" else f"{key[0]}s/"
        answer = {"url": f"{self.server.address}/{prefix}{key[1]}", "id": key[1]}
        self._json({"error": "You already created this repo", **answer} if known else answer, 409 if known else 200)

    def _repository(self, found: re.Match[str]) -> Repository | None:
        return self.server.repositories.get((found["kind"] or "model", found["id"]))

    def _mode(self, found: re.Match[str], path: str) -> dict[str, Any]:
        repository = self._repository(found)
        assert repository is not None
        content, mode = repository.files.get(path), "lfs" if path.endswith(BY_LFS) else "regular"
        oid = None
        if content is not None:
            blob = b"blob %d\0" % len(content) + content
            oid = (hashlib.sha256(content) if mode == "lfs" else hashlib.sha1(blob)).hexdigest()
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _action(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.server.stored:
            return one
        here = self.server.address
        actions = {"upload": {"href": f"{here}/lfs/{one['oid']}"}, "verify": {"href": f"{here}/lfs/verify"}}
        return {**one, "actions": actions}

    def _commit(self, found: re.Match[str], lines: list[dict[str, Any]]) -> None:
        repository = self._repository(found)
        assert repository is not None
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert value["oid"] in self.server.verified
                files[value["path"]] = self.server.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository.commits.append(files)
        url = f"{self.server.address}/{found['id']}/commit/{repository.sha}"
        self._json({"success": True, "commitUrl": url, "commitOid": repository.sha})

    def _file(self, content: bytes | None, sha: str) -> None:
        if content is None:
            self._json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(content).hexdigest()
        self._send(content, 200, **{"X-Repo-Commit": sha, "ETag": f'"{etag}"'})

    def _json(self, content: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(content).encode(), status, **{"Content-Type": "application/json", **headers})

    def _send(self, body: bytes, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
