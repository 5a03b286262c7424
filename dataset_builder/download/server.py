"""One server over HTTP: files that are resumed, retried and verified, and a password that no other host gets."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from dataset_builder.download.credentials import HOW_TO_GIVE, Credentials
from dataset_builder.storage.files import PARTIAL, PRIVATE_FILE, disk_errors_named, file_digest
from dataset_builder.storage.http import TRANSIENT_STATUSES, RetryPolicy, origin_of, retry_after
from dataset_builder.storage.progress import Progress, Report
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16  # a kill loses at most these
MAX_REDIRECTS = 5
MAX_TEXT_BYTES = 16 << 20


class _TransferError(Exception):
    """The transfer failed in a way that may pass; the text says how, `wait_s` is what the server asked for."""

    def __init__(self, problem: str, wait_s: float | None = None) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class _Header(AuthBase):
    # An explicit "no password" too: without one, requests would look into ~/.netrc by itself.
    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._credentials is not None:
            pair = f"{self._credentials.user}:{self._credentials.password}".encode()
            request.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        return request


class Server:
    """Files below one address, for which the agreement is signed at `page`.

    `credentials` are only sent to the address's own scheme, host and port, whatever a redirect says. A file is tried
    again as often as `retry` says without a single new byte.
    """

    def __init__(
        self, address: str, *, page: str, user_agent: str, credentials: Credentials | None, retry: RetryPolicy
    ) -> None:
        self.address = address
        self._page = page
        self._credentials = credentials
        self._retry = retry
        self._session = requests.Session()
        # No transfer encoding: a compressed table must arrive as the bytes whose sum is listed.
        self._session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def read_text(self, path: str) -> str:
        """A small text file. Raises `InputDataError` as `fetch` does."""
        url = self._url(path)
        chunks = b""
        for attempt in range(1, self._retry.attempts + 1):
            try:
                with self._open(url, {}) as response:
                    chunks = b""
                    for chunk in self._stream(response):
                        chunks += chunk
                        if len(chunks) > MAX_TEXT_BYTES:
                            raise InputDataError(f"{url}: is far larger than expected; check the base URL")
                return chunks.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputDataError(f"{url}: is not text; check the base URL and the version") from error
            except _TransferError as problem:
                self._wait(attempt, url, problem)
        raise AssertionError("the last attempt raises")

    def fetch(self, path: str, target: Path, digest: str, *, private: bool, report: Report) -> None:
        """Download a file to `target`, continuing what an interrupted run left, and verify its SHA-256.

        It stays beside `target` until its sum is right; a file with a wrong one is downloaded once more.
        Raises `InputDataError` for a server that cannot be reached or refuses, a wrong sum and a full disk.
        """
        url = self._url(path)
        partial = target.with_name(target.name + PARTIAL)
        with disk_errors_named(target):
            for _ in range(2):
                self._complete(url, partial, private=private, report=report, path=path)
                if file_digest(partial) == digest:
                    partial.replace(target)
                    _sync_folder(target.parent)
                    return
                partial.unlink()
                logger.warning("%s: the sum was wrong; the file was removed", url)
        raise InputDataError(
            f"{url}: does not have the SHA-256 sum in SHA256SUMS.txt; nothing was kept, try again later"
        )

    def _url(self, path: str) -> str:
        return urljoin(self.address, quote(path))

    def _wait(self, failures: int, url: str, problem: _TransferError) -> None:
        if failures >= self._retry.attempts:
            raise InputDataError(
                f"{url}: {problem}, {self._retry.attempts} times in a row; check the network and run the same "
                "command again: it continues where it stopped"
            ) from problem
        pause = self._retry.pause_s(failures, problem.wait_s)
        logger.info("%s: %s; trying again in %.0f s", url, problem, pause)
        time.sleep(pause)

    def _complete(self, url: str, partial: Path, *, private: bool, report: Report, path: str) -> None:
        most, failures = _size(partial), 0
        while True:
            try:
                return self._append(url, partial, private=private, report=report, path=path)
            except _TransferError as problem:
                now = _size(partial)
                failures = 1 if now > most else failures + 1
                most = max(most, now)
                self._wait(failures, url, problem)

    def _append(self, url: str, partial: Path, *, private: bool, report: Report, path: str) -> None:
        have = _size(partial)
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have:
                    return  # there is nothing beyond what is here; the sum decides whether that is right
                raise InputDataError(f"{url}: the server answered 416; try again later")
            part = response.status_code == requests.codes.partial_content
            start = have if part else 0
            given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if part and (given is None or int(given.group(1)) != start):
                partial.unlink(missing_ok=True)
                raise _TransferError("the server sent another part than was requested")
            length = response.headers.get("Content-Length", "")
            rest = int(length) if length.isdecimal() else None
            _refuse_too_large(partial, rest, freed=have - start)
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if start else os.O_TRUNC)
            with os.fdopen(os.open(partial, flags, PRIVATE_FILE if private else 0o666), "wb") as stream:
                done, total = start, None if rest is None else start + rest
                report(Progress(done, total, "bytes", path))
                for chunk in self._stream(response):
                    stream.write(chunk)
                    done += len(chunk)
                    report(Progress(done, total, "bytes", path))
                stream.flush()
                os.fsync(stream.fileno())

    def _open(self, url: str, headers: dict[str, str]) -> contextlib.closing[requests.Response]:
        """Request a URL and follow redirects. Raises `_TransferError` for a passing fault, else `InputDataError`."""
        asked = url
        own = origin_of(self.address)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self._session.get(
                    url,
                    headers=headers,
                    auth=_Header(self._credentials if origin_of(url) == own else None),
                    stream=True,
                    allow_redirects=False,
                    timeout=(self._retry.connect_s, self._retry.read_s),
                )
            except requests.exceptions.SSLError as error:
                raise InputDataError(f"{asked}: its server's certificate is not valid; check the host") from error
            except requests.exceptions.Timeout as error:
                raise _TransferError("no answer came in time") from error
            except requests.exceptions.ConnectionError as error:
                raise _TransferError("the server cannot be reached, or it hung up") from error
            except (requests.exceptions.RequestException, ValueError) as error:
                raise InputDataError(f"{asked}: cannot be requested; check the base URL") from error
            if not response.is_redirect:
                self._refuse_errors(asked, response)
                return contextlib.closing(response)
            response.close()
            try:
                target = urljoin(url, response.headers["location"])
            except ValueError as error:
                raise InputDataError(f"{asked}: is redirected to an invalid address; check the base URL") from error
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise InputDataError(f"{asked}: is redirected to an unencrypted address; do not trust this server")
            url = target
        raise InputDataError(f"{asked}: is redirected again and again; check the base URL")

    def _refuse_errors(self, url: str, response: requests.Response) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        response.close()
        if status in TRANSIENT_STATUSES or status >= 500:
            raise _TransferError(f"the server answered {status}", retry_after(response.headers.get("Retry-After")))
        if status == requests.codes.unauthorized:
            raise InputDataError(
                f"{url}: the server does not accept this user name and password (401); {HOW_TO_GIVE}, for an account "
                f"that has signed the data use agreement at {self._page}"
            )
        if status == requests.codes.forbidden:
            raise InputDataError(
                f"{url}: access is refused (403); sign the data use agreement at {self._page} (below the list of "
                f"files) and {HOW_TO_GIVE}. If it is signed, the server may take passwords from other programs only: "
                f"run `wget -r -N -c -np --user NAME --ask-password {self.address}` instead"
            )
        if status in (404, 410):
            raise InputDataError(f"{url}: does not exist ({status}); check the version and the base URL")
        raise InputDataError(f"{url}: the server answered {status}; check the base URL")

    def _stream(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.raw.stream(CHUNK_BYTES, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _TransferError(f"nothing came for {self._retry.read_s:.0f} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise _TransferError("the connection broke off") from error


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
