"""One server over HTTP: files that are resumed, retried and verified, and a password that no other host gets."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from dataset_builder.download.credentials import HOW_TO_GIVE, Credentials
from dataset_builder.storage.files import PARTIAL, PRIVATE_FILE, disk_errors_named, file_digest
from modeling_clinragen.errors import InputDataError, SettingsError

logger = logging.getLogger(__name__)

OnBytes = Callable[[int, int | None], None]
"""Bytes of a file that are here, and its size (None where the server does not tell)."""

CHUNK = 1 << 16  # bytes at most that a kill loses
REDIRECTS = 5
TEXT_LIMIT = 16 << 20
LONGEST_PAUSE = 30.0
TRANSIENT = (408, 425, 429)
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Patience:
    """How long to wait (seconds), and how often to try again in a row without a single new byte."""

    connect: float = 15.0
    silence: float = 60.0
    attempts: int = 6
    first_pause: float = 1.0


class _TransferError(Exception):
    """The transfer broke off in a way that may pass; the text says how."""


class _Header(AuthBase):
    # An explicit "no password" too: without one, requests would look into ~/.netrc by itself.
    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._credentials is not None:
            pair = f"{self._credentials.user}:{self._credentials.password}".encode()
            request.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        return request


def check_base_url(address: str, *, credentialed: bool) -> str:
    """`address` with a slash at its end. Raises `SettingsError` where a password in it or sent to it could be read."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _origin(address)
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise SettingsError("the base URL is no plain http or https address; write https://host/path/")
    if "@" in parts.netloc:
        raise SettingsError(f"the base URL holds a user name or password; leave them out and {HOW_TO_GIVE}")
    if credentialed and parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise SettingsError(f"{host}: a password would travel there unencrypted; give an https base URL")
    return address.rstrip("/") + "/"


class Server:
    """Files below one address, for which the agreement is signed at `page`.

    `credentials` are sent to the address's own scheme, host and port alone, whatever a redirect says.
    """

    def __init__(
        self, address: str, *, page: str, user_agent: str, credentials: Credentials | None, patience: Patience
    ) -> None:
        self.address = address
        self._page = page
        self._credentials = credentials
        self._patience = patience
        self._session = requests.Session()
        # Asked for as it lies there: a compressed table must arrive as the bytes whose sum is listed.
        self._session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def read_text(self, path: str) -> str:
        """A small text file. Raises `InputDataError` as `fetch` does."""
        url = self._url(path)
        chunks = b""
        for pause in self._pauses():
            try:
                with self._open(url, {}) as response:
                    chunks = b""
                    for chunk in self._stream(response):
                        chunks += chunk
                        if len(chunks) > TEXT_LIMIT:
                            raise InputDataError(f"{url}: is far larger than such a file is; check the base URL")
                return chunks.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputDataError(f"{url}: is no text; check the base URL and the version") from error
            except _TransferError as problem:
                self._wait(pause, url, problem)
        raise AssertionError("the last pause raises")

    def fetch(self, path: str, target: Path, digest: str, *, private: bool, on_bytes: OnBytes) -> None:
        """Bring a file to `target`, going on from what an interrupted run left, and verify its SHA-256.

        It lies beside `target` until its sum is right. A wrong one is fetched anew once.
        Raises `InputDataError` for a server that cannot be reached or refuses, a wrong sum and a full disk.
        """
        url = self._url(path)
        partial = target.with_name(target.name + PARTIAL)
        with disk_errors_named(target):
            for _ in range(2):
                self._complete(url, partial, private, on_bytes)
                if file_digest(partial) == digest:
                    partial.replace(target)
                    _sync_folder(target.parent)
                    return
                partial.unlink()
                logger.warning("%s: the sum was wrong; the file was removed", url)
        raise InputDataError(
            f"{url}: what arrives does not have the SHA-256 sum in SHA256SUMS.txt; nothing was kept, try again later"
        )

    def _url(self, path: str) -> str:
        return urljoin(self.address, quote(path))

    def _pauses(self) -> list[float | None]:
        # None after the last attempt.
        doubling = [self._patience.first_pause * 2**place for place in range(self._patience.attempts - 1)]
        return [*(min(pause, LONGEST_PAUSE) for pause in doubling), None]

    def _wait(self, pause: float | None, url: str, problem: _TransferError) -> None:
        if pause is None:
            raise InputDataError(
                f"{url}: {problem}, {self._patience.attempts} times in a row; check the network and run the same "
                "command again: it goes on where it stopped"
            ) from problem
        logger.info("%s: %s; trying again in %.0f s", url, problem, pause)
        time.sleep(pause)

    def _complete(self, url: str, partial: Path, private: bool, on_bytes: OnBytes) -> None:
        pauses = self._pauses()
        most, failures = _size(partial), 0
        while True:
            try:
                return self._append(url, partial, private, on_bytes)
            except _TransferError as problem:
                now = _size(partial)
                failures = 0 if now > most else failures
                most = max(most, now)
                self._wait(pauses[failures], url, problem)
                failures += 1

    def _append(self, url: str, partial: Path, private: bool, on_bytes: OnBytes) -> None:
        have = _size(partial)
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have:
                    return  # nothing lies beyond what is here; the sum decides what that is
                raise InputDataError(f"{url}: the server answered 416; try again later")
            part = response.status_code == requests.codes.partial_content
            start = have if part else 0
            given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if part and (given is None or int(given.group(1)) != start):
                partial.unlink(missing_ok=True)
                raise _TransferError("the server sent another part than was asked for")
            length = response.headers.get("Content-Length", "")
            rest = int(length) if length.isdecimal() else None
            _refuse_too_large(partial, rest, freed=have - start)
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if start else os.O_TRUNC)
            with os.fdopen(os.open(partial, flags, PRIVATE_FILE if private else 0o666), "wb") as stream:
                done, total = start, None if rest is None else start + rest
                on_bytes(done, total)
                for chunk in self._stream(response):
                    stream.write(chunk)
                    done += len(chunk)
                    on_bytes(done, total)
                stream.flush()
                os.fsync(stream.fileno())

    def _open(self, url: str, headers: dict[str, str]) -> contextlib.closing[requests.Response]:
        """Ask for a URL and follow redirects; what can pass raises `_TransferError`, what cannot `InputDataError`."""
        asked = url
        own = _origin(self.address)
        for _ in range(REDIRECTS + 1):
            try:
                response = self._session.get(
                    url,
                    headers=headers,
                    auth=_Header(self._credentials if _origin(url) == own else None),
                    stream=True,
                    allow_redirects=False,
                    timeout=(self._patience.connect, self._patience.silence),
                )
            except requests.exceptions.SSLError as error:
                raise InputDataError(f"{asked}: its server's certificate is not valid; check the host") from error
            except requests.exceptions.Timeout as error:
                raise _TransferError("no answer came in time") from error
            except requests.exceptions.ConnectionError as error:
                raise _TransferError("the server cannot be reached, or it hung up") from error
            except (requests.exceptions.RequestException, ValueError) as error:
                raise InputDataError(f"{asked}: cannot be asked for; check the base URL") from error
            if not response.is_redirect:
                self._refuse_errors(asked, response)
                return contextlib.closing(response)
            response.close()
            try:
                target = urljoin(url, response.headers["location"])
            except ValueError as error:
                raise InputDataError(f"{asked}: is redirected to no address; check the base URL") from error
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise InputDataError(f"{asked}: is redirected to an unencrypted address; do not trust this server")
            url = target
        raise InputDataError(f"{asked}: is redirected again and again; check the base URL")

    def _refuse_errors(self, url: str, response: requests.Response) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        response.close()
        if status in TRANSIENT or status >= 500:
            raise _TransferError(f"the server answered {status}")
        if status == requests.codes.unauthorized:
            raise InputDataError(
                f"{url}: the server does not accept this user name and password (401); {HOW_TO_GIVE}, of an account "
                f"that has signed the data use agreement at {self._page}"
            )
        if status == requests.codes.forbidden:
            raise InputDataError(
                f"{url}: access is refused (403); sign the data use agreement at {self._page} (below the list of "
                f"files) and {HOW_TO_GIVE}. If it is signed, the server may take passwords from other programs only: "
                f"run `wget -r -N -c -np --user NAME --ask-password {self.address}` instead"
            )
        if status in (404, 410):
            raise InputDataError(f"{url}: is not there ({status}); check the version and the base URL")
        raise InputDataError(f"{url}: the server answered {status}; check the base URL")

    def _stream(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.raw.stream(CHUNK, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _TransferError(f"nothing came for {self._patience.silence:.0f} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise _TransferError("the connection broke off") from error


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _refuse_too_large(partial: Path, rest: int | None, *, freed: int) -> None:
    left = shutil.disk_usage(partial.parent).free + freed
    if rest is not None and rest > left:
        raise InputDataError(
            f"{partial.parent}: the disk is full: {rest / 1e9:.1f} GB are still to come and {left / 1e9:.1f} GB are "
            "free; free some space and run again"
        )


def _sync_folder(folder: Path) -> None:
    # The rename itself must survive a power cut. Windows cannot open a folder for this.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
