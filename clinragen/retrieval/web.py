"""Patience with servers: which faults may pass, how long to wait, and when to give up with a line that helps."""

from __future__ import annotations

import http.client
import logging
import ssl
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dataset_builder.download import Patience
from dataset_builder.storage.retry_after import retry_after
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRANSIENT = (408, 425, 429)
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 300.0


class InterruptionError(Exception):
    """An answer failed in a way that may pass; the text says how, `wait` is the server's wish in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


def patiently(ask: Callable[[], T], what: str, patience: Patience) -> T:
    """The result of `ask`, which is called again after a pause when what goes wrong may pass.

    Every fault of urllib is taken care of; `ask` raises `InterruptionError` for content that must be asked for again.
    The pause doubles each time, or is what a Retry-After header asks for. `what` begins the error's line.

    Raises:
        InputDataError: The server refuses, or the last attempt failed as well.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            with _faults_named(what):
                return ask()
        except InterruptionError as problem:
            failed = f"{what}: {problem}"
            wait = problem.wait
        if attempt == patience.attempts:
            break
        if wait is None:
            wait = min(patience.first_pause * 2 ** (attempt - 1), LONGEST_PAUSE)
        if wait > LONGEST_WAIT:
            raise InputDataError(f"{failed} and asks to wait {wait:.0f} s; run the same command again after that")
        logger.info("%s; trying again in %.1f s", failed, wait)
        time.sleep(wait)
    raise InputDataError(
        f"{failed}, {patience.attempts} times in a row; check the network and run the same command again: what was "
        "retrieved before is kept"
    )


@contextmanager
def _faults_named(what: str) -> Iterator[None]:
    """Turn the faults of urllib, whose messages can hold a URL with a key in it, into errors that hold none."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in TRANSIENT or error.code >= 500:
            raise InterruptionError(
                f"the server answered {error.code}", retry_after(error.headers.get("Retry-After"))
            ) from None
        if 300 <= error.code < 400:
            raise InputDataError(f"{what}: is redirected ({error.code}); give the server's new address") from None
        raise InputDataError(
            f"{what}: the server refuses ({error.code}); check its address, the query and the API key"
        ) from None
    except TimeoutError:
        raise InterruptionError("no answer came in time") from None
    except (http.client.HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise InputDataError(f"{what}: the server's certificate is not valid; check the address") from None
        if isinstance(reason, TimeoutError):
            raise InterruptionError("no answer came in time") from None
        raise InterruptionError("the server cannot be reached, or it hung up") from None
