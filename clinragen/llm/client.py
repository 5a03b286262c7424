"""Asks a language model a great many things: a few at a time, again where it failed, and nothing twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clinragen.llm.journal import Journal
from clinragen.llm.types import Answer, LanguageModel, Request, TransientError
from modeling_clinragen.errors import InputDataError, SettingsError

LONGEST_WISH = 300.0  # seconds; a server that wants to be left alone for longer is asked before


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in whatever currency."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class Progress:
    """What an asker has done so far. Tokens and cost are of this run's answers; a failed attempt's are not known.

    `per_second` is answers of the model, `remaining` the seconds to the end; both None as long as nobody can tell.
    """

    answered: int
    from_journal: int
    failures: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float
    per_second: float | None
    remaining: float | None


class Asker:
    """Asks `model`; an async context manager, for one event loop.

    A request that is answered in the journal costs nothing. Every other holds one of `concurrency` places until its
    answer is in the journal, also while it waits to be sent again: a server that refuses gets fewer requests, and a
    process killed at any moment repeats at most `concurrency` of them.

    Args:
        model: Who answers. It is closed at the end.
        journal: Where the answers are kept; open.
        concurrency: Requests at a time.
        max_attempts: How often one request is sent before the run gives up.
        first_pause: Longest pause before the second attempt (seconds). It doubles up to `longest_pause`, and each
            pause is drawn between none and that, so that requests that failed together do not return together.
        prices: For the cost.
        expected: How many requests there will be, as far as is known; for the time that remains.
        on_progress: Called with the `Progress` after every answer.
    """

    def __init__(
        self,
        model: LanguageModel,
        journal: Journal,
        *,
        concurrency: int = 32,
        max_attempts: int = 8,
        first_pause: float = 0.5,
        longest_pause: float = 30.0,
        prices: Prices | None = None,
        expected: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if concurrency < 1 or max_attempts < 1:
            raise SettingsError("concurrency and attempts are at least 1 each; raise them")
        self.model = model
        self._journal = journal
        self._places = asyncio.Semaphore(concurrency)
        self._max_attempts = max_attempts
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._prices = prices
        self._expected = expected
        self._on_progress = on_progress
        self._settings = model.settings
        self._in_flight: dict[str, asyncio.Task[Answer]] = {}
        self._given: dict[str, Answer] = {}
        self._stopped: SettingsError | None = None
        self._started: float | None = None
        self._answered = self._from_journal = self._prompt_tokens = self._completion_tokens = 0
        self._failures: Counter[str] = Counter()

    async def __aenter__(self) -> Asker:
        return self

    async def __aexit__(self, *exception: object) -> None:
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.model.close()

    async def ask(self, request: Request) -> Answer:
        """The answer, which is in the journal by then. Requests alike in all but their key are asked once.

        Raises `ModelInputError` where the model cannot take this request; `InputDataError` when every attempt failed;
        `SettingsError`, from then on for everything that is asked, when the model can answer nothing as it is set up.
        """
        fingerprint = request.fingerprint(self._settings)
        known = self._journal.find(fingerprint)
        if known is not None:
            self._given[fingerprint] = known
            self._from_journal += 1
            self._report()
            return known
        task = self._in_flight.get(fingerprint)
        if task is None:
            task = asyncio.create_task(self._fetch(fingerprint, request))
            self._in_flight[fingerprint] = task
            task.add_done_callback(lambda done: self._landed(fingerprint, done))
        # Whoever asked may lose interest; the answer is paid for and goes to the journal all the same.
        return await asyncio.shield(task)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        seconds = 0.0 if self._started is None else asyncio.get_running_loop().time() - self._started
        rate = self._answered / seconds if self._answered and seconds else None
        remaining = None
        if self._expected is not None and rate is not None:
            remaining = max(self._expected - self._answered - self._from_journal, 0) / rate
        return Progress(
            answered=self._answered,
            from_journal=self._from_journal,
            failures=dict(self._failures),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cost=None if self._prices is None else self._prices.of(self._prompt_tokens, self._completion_tokens),
            seconds=seconds,
            per_second=rate,
            remaining=remaining,
        )

    @property
    def services(self) -> list[Mapping[str, Any]]:
        """What was recorded of every service that gave one of the answers, those of the journal included."""
        found: list[Mapping[str, Any]] = []
        for answer in self._given.values():
            if answer.service is not None and answer.service not in found:
                found.append(answer.service)
        return found

    @property
    def usage(self) -> dict[str, Any]:
        """The answers that were given, each counted once, their tokens and cost, those of the journal included."""
        answers = self._given.values()
        prompt_tokens = sum(answer.prompt_tokens or 0 for answer in answers)
        completion_tokens = sum(answer.completion_tokens or 0 for answer in answers)
        return {
            "answers": len(answers),
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "cost": None if self._prices is None else self._prices.of(prompt_tokens, completion_tokens),
        }

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress)

    def _landed(self, fingerprint: str, task: asyncio.Task[Answer]) -> None:
        del self._in_flight[fingerprint]
        if not task.cancelled():
            # Looked at: a failure that nobody waits for any more is no news.
            task.exception()

    async def _fetch(self, fingerprint: str, request: Request) -> Answer:
        async with self._places:
            if self._started is None:
                self._started = asyncio.get_running_loop().time()
            answer = await self._attempts(request)
            await self._journal.keep(fingerprint, request, answer)
        self._given[fingerprint] = answer
        self._answered += 1
        self._prompt_tokens += answer.prompt_tokens or 0
        self._completion_tokens += answer.completion_tokens or 0
        self._report()
        return answer

    async def _attempts(self, request: Request) -> Answer:
        now = asyncio.get_running_loop().time
        for attempt in range(1, self._max_attempts + 1):
            if self._stopped is not None:
                raise self._stopped
            started = now()
            try:
                answer = await self.model.answer(request)
                return replace(answer, attempts=attempt, seconds=now() - started, service=self.model.governance)
            except TransientError as failure:
                self._failures[failure.kind] += 1
                kind, pause = failure.kind, self._pause(attempt, failure.retry_after)
            except SettingsError as error:
                self._stopped = error
                raise
            if attempt < self._max_attempts:
                await asyncio.sleep(pause)
        where = self.model.address or self.model.name
        raise InputDataError(
            f"{where}: gave no answer in {self._max_attempts} attempts (at last: {kind}); see that it works and run "
            "again, the answers so far are kept"
        )

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        longest = min(self._first_pause * 2 ** (attempt - 1), self._longest_pause)
        return min(retry_after or 0.0, LONGEST_WISH) + random.uniform(0.0, longest)
