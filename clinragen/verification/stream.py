"""One patient's checked rationale while it is written: what is certain comes at once, and stays."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event

from clinragen.claims.sentences import Patient
from clinragen.verification.generate import Verifier
from clinragen.verification.result import VerifiedRationale


class _GivenUpError(Exception):
    """Nobody waits for the rest."""


def stream_verified(verifier: Verifier, patient: Patient) -> Iterator[VerifiedRationale]:
    """Yield the result of one patient as it grows; the last one is what `Verifier.generate` gives.

    The sentences of each begin with those of the one before. The model writes in a thread of its own, which stops at
    its next sentence where the iteration is given up.
    """
    parts: SimpleQueue[VerifiedRationale | None] = SimpleQueue()
    given_up = Event()

    def seen(part: VerifiedRationale) -> None:
        if given_up.is_set():
            raise _GivenUpError
        parts.put(part)

    pool = ThreadPoolExecutor(1, "clinragen-stream")
    written = pool.submit(verifier.generate, [patient], seen=seen)
    written.add_done_callback(lambda _: parts.put(None))
    pool.shutdown(wait=False)
    try:
        while (part := parts.get()) is not None:
            yield part
        yield written.result()[0]
    finally:
        given_up.set()


__all__ = ["stream_verified"]
