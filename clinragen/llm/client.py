"""Sends many requests to a language model: several in flight, retried after failures, and none answered twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clinragen.llm.journal import Journal
from clinragen.llm.types import Answer, LanguageModel, Request, TransientError
from dataset_builder.storage.http import RetryPolicy
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

DEFAULT_RETRY = RetryPolicy(attempts=8, first_pause_s=0.5)


@dataclass(frozen=True)
class Prices:
    """Costs of a million tokens of prompts and of answers, in any currency."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost of so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class ClientStatus:
    """Answers, failures, tokens and cost of a client so far. Tokens and cost exclude failed attempts.

    Args:
        answered: Answers of the model.
        from_journal: Answers that the journal already had.
        failures: Number of failed attempts by kind.
        prompt_tokens, completion_tokens: Tokens of this run's answers.
        cost: Their cost; None without prices.
        seconds: Time since the first request to the model.
        per_second: Answers of the model per second; None while unknown.
        remaining: Seconds to the end; None while unknown.
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

    @property
    def remark(self) -> str:
        """Rate, tokens, cost and failures in words, for a progress bar."""
        parts = [] if self.per_second is None else [f"{self.per_second:.1f} answers/s"]
        parts.append(f"{(self.prompt_tokens + self.completion_tokens) / 1e6:.2f} M tokens")
        if self.cost is not None:
            parts.append(f"cost {self.cost:.2f}")
        if self.failures:
            parts.append(f"{sum(self.failures.values())} attempts failed")
        return ", ".join(parts)


class LLMClient:
    """Sends requests to `model`; an async context manager, for one event loop.

    A request whose answer is in the journal costs nothing. Every other one holds one of `concurrency` slots until its
    answer is in the journal, also while it waits for its next attempt: a server that refuses gets fewer requests, and
    a process killed at any moment repeats at most `concurrency` of them.

    Args:
        model: Answers the requests; closed at the end.
        journal: Keeps the answers; open.
        concurrency: Requests in flight at the same time.
        retry: Attempts and pauses of one request. Pauses are drawn at random between none and the doubled pause, so
            that requests that failed together do not return together.
        prices: For the cost.
        expected: Number of requests, as far as known; for the remaining time.
        report: Called after every answer.
    """

    def __init__(
        self,
        model: LanguageModel,
        journal: Journal,
        *,
        concurrency: int = 32,
        retry: RetryPolicy = DEFAULT_RETRY,
        prices: Prices | None = None,
        expected: int | None = None,
        report: Report = no_report,
    ) -> None:
        if concurrency < 1:
            raise SettingsError(f"concurrency is {concurrency}; it must be at least 1")
        self.model = model
        self._journal = journal
        self._slots = asyncio.Semaphore(concurrency)
        self._retry = retry
        self._prices = prices
        self._expected = expected
        self._report = report
        self._settings = model.settings
        self._in_flight: dict[str, asyncio.Task[Answer]] = {}
        self._returned: dict[str, Answer] = {}
        self._stopped: SettingsError | None = None
        self._started: float | None = None
        self._answered = self._from_journal = self._prompt_tokens = self._completion_tokens = 0
        self._failures: Counter[str] = Counter()

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.model.close()

    async def complete(self, request: Request) -> Answer:
        """The answer, which is in the journal by then. Requests that differ only in their key are sent once.

        Raises:
            ModelInputError: The model cannot process this request.
            InputDataError: Every attempt failed.
            SettingsError: The model can answer nothing with these settings; raised for every later request, too.
        """
        fingerprint = request.fingerprint(self._settings)
        known = self._journal.find(fingerprint)
        if known is not None:
            self._returned[fingerprint] = known
            self._from_journal += 1
            self._report_status()
            return known
        task = self._in_flight.get(fingerprint)
        if task is None:
            task = asyncio.create_task(self._fetch(fingerprint, request))
            self._in_flight[fingerprint] = task
            task.add_done_callback(lambda done: self._landed(fingerprint, done))
        # The caller may stop waiting; the answer is paid for and goes into the journal all the same.
        return await asyncio.shield(task)

    @property
    def status(self) -> ClientStatus:
        """Answers, failures, tokens, cost and rate so far."""
        seconds = 0.0 if self._started is None else asyncio.get_running_loop().time() - self._started
        rate = self._answered / seconds if self._answered and seconds else None
        remaining = None
        if self._expected is not None and rate is not None:
            remaining = max(self._expected - self._answered - self._from_journal, 0) / rate
        return ClientStatus(
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
        """Records of all services that gave one of the answers, those of the journal included."""
        found: list[Mapping[str, Any]] = []
        for answer in self._returned.values():
            if answer.service is not None and answer.service not in found:
                found.append(answer.service)
        return found

    @property
    def usage(self) -> dict[str, Any]:
        """Number, tokens and cost of the returned answers, each counted once, those of the journal included."""
        answers = self._returned.values()
        prompt_tokens = sum(answer.prompt_tokens or 0 for answer in answers)
        completion_tokens = sum(answer.completion_tokens or 0 for answer in answers)
        return {
            "answers": len(answers),
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "cost": None if self._prices is None else self._prices.of(prompt_tokens, completion_tokens),
        }

    def _report_status(self) -> None:
        status = self.status
        self._report(Progress(status.answered + status.from_journal, self._expected, "answers", status.remark))

    def _landed(self, fingerprint: str, task: asyncio.Task[Answer]) -> None:
        del self._in_flight[fingerprint]
        if not task.cancelled():
            # Retrieved, so that asyncio does not log a failure that nobody waits for any more.
            task.exception()

    async def _fetch(self, fingerprint: str, request: Request) -> Answer:
        async with self._slots:
            if self._started is None:
                self._started = asyncio.get_running_loop().time()
            answer = await self._attempt(request)
            await self._journal.keep(fingerprint, request, answer)
        self._returned[fingerprint] = answer
        self._answered += 1
        self._prompt_tokens += answer.prompt_tokens or 0
        self._completion_tokens += answer.completion_tokens or 0
        self._report_status()
        return answer

    async def _attempt(self, request: Request) -> Answer:
        """The answer of the first attempt that succeeds."""
        now = asyncio.get_running_loop().time
        for attempt in range(1, self._retry.attempts + 1):
            if self._stopped is not None:
                raise self._stopped
            started = now()
            try:
                answer = await self.model.answer(request)
                return replace(answer, attempts=attempt, seconds=now() - started, service=self.model.governance)
            except TransientError as failure:
                self._failures[failure.kind] += 1
                kind, pause = failure.kind, self._retry.pause_s(attempt, failure.retry_after, jitter=True)
            except SettingsError as error:
                self._stopped = error
                raise
            if attempt < self._retry.attempts:
                await asyncio.sleep(pause)
        where = self.model.address or self.model.name
        raise InputDataError(
            f"{where}: no answer in {self._retry.attempts} attempts (the last failed with: {kind}); check the server "
            "and run again, the answers so far are kept"
        )
