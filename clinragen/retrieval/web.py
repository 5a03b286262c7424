"""Retries of web requests: which failures are temporary, and when to give up with a message that helps."""

from __future__ import annotations

import http.client
import logging
import ssl
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dataset_builder.storage.http import TRANSIENT_STATUSES, RetryPolicy, retry_after
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TemporaryError(Exception):
    """A request failed in a way that may pass; the text says how.

    Args:
        problem: How it failed.
        retry_after_s: The wait that the server asks for, in seconds.
    """

    def __init__(self, problem: str, retry_after_s: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


def with_retries(request: Callable[[], T], what: str, policy: RetryPolicy) -> T:
    """Call `request` until it succeeds, with a pause after each temporary failure.

    Args:
        request: Every error of urllib that it raises is handled; it raises `TemporaryError` itself for content that
            must be requested again.
        what: What is requested, for messages.
        policy: Number of attempts and pauses. A server that asks for a longer wait than `max_retry_after_s` ends the
            attempts.

    Raises:
        InputDataError: The server refuses, or the last attempt failed as well.
    """
    for attempt in range(1, policy.attempts + 1):
        try:
            with _urllib_errors_named(what):
                return request()
        except TemporaryError as problem:
            failed = f"{what}: {problem}"
            wanted = problem.retry_after_s
        if attempt == policy.attempts:
            break
        if wanted is not None and wanted > policy.max_retry_after_s:
            raise InputDataError(f"{failed} and asks to wait {wanted:.0f} s; run the same command again after that")
        pause = policy.pause_s(attempt, wanted)
        logger.info("%s; trying again in %.1f s", failed, pause)
        time.sleep(pause)
    raise InputDataError(
        f"{failed}, {policy.attempts} times in a row; check the network and run the same command again: what was "
        "retrieved before is kept"
    )


@contextmanager
def _urllib_errors_named(what: str) -> Iterator[None]:
    """Replace errors of urllib, whose messages may contain a URL with a key, by errors without one."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in TRANSIENT_STATUSES or error.code >= 500:
            raise TemporaryError(
                f"the server answered {error.code}", retry_after(error.headers.get("Retry-After"))
            ) from None
        if 300 <= error.code < 400:
            raise InputDataError(f"{what}: redirected ({error.code}); give the server's new address") from None
        raise InputDataError(
            f"{what}: the server refuses ({error.code}); check its address, the query and the API key"
        ) from None
    except TimeoutError:
        raise TemporaryError("no answer in time") from None
    except (http.client.HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise InputDataError(f"{what}: the server's certificate is not valid; check the address") from None
        if isinstance(reason, TimeoutError):
            raise TemporaryError("no answer in time") from None
        raise TemporaryError("the server cannot be reached, or it closed the connection") from None
