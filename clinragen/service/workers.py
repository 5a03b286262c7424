"""Explanations by several processes at once, each with a model of its own.

Writing under constraints and checking are Python's work, of which one process does no more than one core can.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from clinragen.claims.sentences import Patient
from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer, Explanation
from dataset_builder.storage.air_gap import close_air_gap, without_telemetry
from modeling_clinragen.errors import StageError
from modeling_clinragen.loading_clinragen import air_gapped
from trainers.device import cpu_threads

_log = logging.getLogger(__name__)


class Workers:
    """Explains batches in this process and in others, each of which gets an even share of the patients.

    Args:
        explainer: The model of this process.
        model: Where the others load it from.
        config: How patients are explained, by all of them.
        count: Processes in all, this one among them.

    Raises:
        StageError: Another process ended while it loaded the model.
    """

    def __init__(self, explainer: Explainer, model: Path, config: ExplainConfig, count: int) -> None:
        self._explainer = explainer
        self._given = (model, config)
        self._threads = max(1, torch.get_num_threads() // count)
        self._others = [self._started() for _ in range(count - 1)]
        try:
            for ready in [other.submit(_explain, *self._given, ()) for other in self._others]:
                ready.result()
        except BrokenProcessPool as error:
            self.close()
            raise StageError(
                f"{model}: a process ended while it loaded the model; {count} models may need more memory than there "
                "is: give fewer --processes"
            ) from error
        _keep_what_is_loaded()

    def explain_many(self, patients: Sequence[Patient]) -> list[Explanation]:
        """As `Explainer.explain_many`, the patients in order.

        Raises:
            BrokenProcessPool: Another process ended, such as for want of memory, and so did the one in its place.
        """
        own, *others = _shares(patients, 1 + len(self._others))
        asked = [self._asked(place, share) for place, share in enumerate(others)]
        with cpu_threads(self._threads):
            found = self._explainer.explain_many(own)
        for place, share in enumerate(others):
            try:
                found += asked[place].result()
            except BrokenProcessPool:
                found += self._asked(place, share).result()
        return found

    def close(self) -> None:
        """End the other processes."""
        while self._others:
            self._others.pop().shutdown(cancel_futures=True)

    def _asked(self, place: int, share: Sequence[Patient]) -> Future[list[Explanation]]:
        try:
            return self._others[place].submit(_explain, *self._given, share)
        except BrokenProcessPool:
            _log.error("a process of the service has ended; a new one loads the model")
            self._others[place] = self._started()
            return self._others[place].submit(_explain, *self._given, share)

    def _started(self) -> ProcessPoolExecutor:
        # Not a fork, which would inherit locks from threads that it does not have.
        return ProcessPoolExecutor(1, get_context("spawn"), _begin, (self._threads, air_gapped()))


def _shares(patients: Sequence[Patient], count: int) -> list[Sequence[Patient]]:
    """At most so many consecutive parts, none of them empty, whose sizes differ by one at most."""
    parts = np.array_split(np.arange(len(patients)), max(1, min(count, len(patients))))
    return [[patients[place] for place in part] for part in parts]


def _begin(threads: int, gap_closed: bool) -> None:
    """Make another process what the first one is."""
    # Ctrl-C reaches all processes of a terminal; the first one tells the others when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    without_telemetry()
    if gap_closed:
        close_air_gap()
    torch.set_num_threads(threads)
    disable_progress_bar()


def _end_with_the_first() -> None:
    first = parent_process()
    if first is not None:
        first.join()
        os._exit(1)


def _keep_what_is_loaded() -> None:
    # Otherwise a collection walks through the libraries and the model every now and then, for about a second.
    gc.collect()
    gc.freeze()


@lru_cache(maxsize=1)
def _loaded(model: Path, config: ExplainConfig) -> Explainer:
    explainer = Explainer.from_pretrained(model, config)
    _keep_what_is_loaded()
    return explainer


def _explain(model: Path, config: ExplainConfig, patients: Sequence[Patient]) -> list[Explanation]:
    explainer = _loaded(model, config)
    return explainer.explain_many(patients) if patients else []
