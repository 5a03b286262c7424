"""Many requests: a server that fails, a client that is killed, and nothing lost, repeated or disclosed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from chat_server import FAULTS, ChatServer, chat_server, reply_to

from clinragen.llm.client import ClientStatus, LLMClient, Prices
from clinragen.llm.journal import Journal, read_journal
from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.types import Answer, Message, Request
from dataset_builder.storage.http import RetryPolicy
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError

OPEN = {"credentialed": False}
NOTE = "74F admitted with dyspnea"

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def running() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def server(running: ChatServer) -> ChatServer:
    running.behave()
    return running


@pytest.fixture
def run(server: ChatServer, tmp_path: Path) -> Run:
    """Await `work(client)` with a client of the server whose journal is in the test's folder."""

    def call(work: Callable[[LLMClient], Any], timeout: float = 20.0, attempts: int = 8, **settings: Any) -> Any:
        async def work_with(journal: Journal) -> Any:
            model = OpenAIServer(server.url, "tiny", OPEN, timeout=timeout)
            retry = RetryPolicy(attempts=attempts, first_pause_s=0.05)
            async with LLMClient(model, journal, **{"retry": retry, **settings}) as client:
                return await work(client)

        with Journal(tmp_path) as journal:
            return asyncio.run(work_with(journal))

    return call


@pytest.fixture
def ask(run: Run) -> Callable[..., tuple[list[Answer], ClientStatus]]:
    """The answers to requests, or what was raised, and the client's status."""

    def call(requests: list[Request], **settings: Any) -> tuple[list[Answer], ClientStatus]:
        async def all_of_them(client: LLMClient) -> tuple[list[Answer], ClientStatus]:
            answers = await asyncio.gather(*map(client.complete, requests), return_exceptions=True)
            return answers, client.status  # type: ignore[return-value]

        return run(all_of_them, **settings)

    return call


def question(number: int, **fields: Any) -> Request:
    return Request((Message("system", "Explain."), Message("user", f"{NOTE} {number}")), 50, **fields)


def test_two_thousand_requests_to_a_server_with_every_fault_are_all_answered_once(
    server: ChatServer, ask: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.behave(faulty=0.2, faults=[*FAULTS, "500", "cut", "garbage"], headers={"Retry-After": "1"})
    requests = [question(number, key=f"request-{number}") for number in range(2000)]
    answers, status = ask(requests, timeout=1.0, attempts=12)
    assert [answer.text for answer in answers] == [reply_to(request.messages[-1].content) for request in requests]
    kept = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert sorted(entry["key"] for entry in kept) == sorted(request.key for request in requests)
    assert len({entry["fingerprint"] for entry in kept}) == 2000
    counts = server.counts()
    assert set(counts["faults"]) == set(FAULTS)
    assert sum(counts["faults"].values()) > 300
    assert status.failures["not JSON"] == counts["faults"]["garbage"]
    assert status.failures["too many requests"] == counts["faults"]["429"]
    assert sum(status.failures.values()) == sum(answer.attempts - 1 for answer in answers)
    assert counts["most_busy"] <= 32
    assert NOTE not in caplog.text
    assert reply_to(f"{NOTE} 0") not in caplog.text


def test_what_the_journal_has_is_not_requested_again(server: ChatServer, ask: Run) -> None:
    first, _ = ask([question(number) for number in range(5)])
    again, status = ask([question(number, key="other name") for number in range(5)])
    assert again == first
    assert (status.from_journal, status.answered, status.prompt_tokens) == (5, 0, 0)
    assert sum(server.counts()["asked"].values()) == 5
    ask([question(0, seed=3), question(0, temperature=0.5), question(0, json_schema={"type": "object"})])
    assert server.counts()["asked"][f"{NOTE} 0"] == 4


def test_usage_is_of_every_answer_that_was_given_whoever_gave_it_and_when(
    server: ChatServer, run: Run, tmp_path: Path
) -> None:
    async def ask_for(client: LLMClient, *numbers: int) -> tuple[dict[str, Any], Any]:
        for number in numbers:
            await client.complete(question(number))
        return client.usage, client.services

    here = {"host": "127.0.0.1", "local": True, "acknowledgement": None}
    usage, services = run(lambda client: ask_for(client, 0, 1))
    assert usage == {"answers": 2, "prompt_tokens": 20, "completion_tokens": 10, "cost": None}
    assert services == [here]
    # As if the first two had come from another machine's service.
    path = tmp_path / "answers.jsonl"
    path.write_text(
        path.read_text().replace("127.0.0.1", "llm.hospital.org").replace('"local": true', '"local": false')
    )
    usage, services = run(lambda client: ask_for(client, 1, 1, 2), prices=Prices(prompt=2.0, completion=8.0))
    assert usage == {"answers": 2, "prompt_tokens": 20, "completion_tokens": 10, "cost": pytest.approx(12e-5)}
    assert services == [{**here, "host": "llm.hospital.org", "local": False}, here]


def test_identical_requests_are_sent_once(server: ChatServer, ask: Run) -> None:
    server.behave(latency=0.2)
    answers, _ = ask([question(1, key=str(number)) for number in range(10)])
    assert len(set(answers)) == 1
    assert server.counts()["asked"] == {f"{NOTE} 1": 1}


def test_an_answer_that_nobody_waits_for_any_more_is_kept(server: ChatServer, run: Run, tmp_path: Path) -> None:
    server.behave(latency=0.3)

    async def lose_interest(client: LLMClient) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.complete(question(1)), 0.1)
        async with asyncio.timeout(20):
            while not read_journal(tmp_path / "answers.jsonl")[0]:
                await asyncio.sleep(0.05)

    run(lose_interest)
    assert server.counts()["answered"] == {f"{NOTE} 1": 1}


def test_what_arrived_before_an_interruption_is_kept(server: ChatServer, run: Run, tmp_path: Path) -> None:
    async def interrupted(client: LLMClient) -> None:
        asking = [asyncio.create_task(client.complete(question(number))) for number in range(200)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, concurrency=8)
    kept, size = read_journal(tmp_path / "answers.jsonl")
    assert size == (tmp_path / "answers.jsonl").stat().st_size
    assert sum(server.counts()["answered"].values()) - len(kept) <= 8
    assert 0 < len(kept) < 200


def test_the_status_has_tokens_cost_rate_and_the_time_that_remains(server: ChatServer, run: Run) -> None:
    server.behave(latency=0.1)
    reported: list[Progress] = []

    async def three(client: LLMClient) -> ClientStatus:
        for number in range(3):
            await client.complete(question(number))
        return client.status

    last = run(three, prices=Prices(prompt=2.0, completion=8.0), expected=12, report=reported.append)
    assert [(progress.done, progress.total, progress.unit) for progress in reported] == [
        (1, 12, "answers"),
        (2, 12, "answers"),
        (3, 12, "answers"),
    ]
    assert re.fullmatch(r"\d+\.\d answers/s, 0\.00 M tokens, cost 0\.00", reported[-1].remark)
    assert (last.answered, last.from_journal) == (3, 0)
    assert (last.prompt_tokens, last.completion_tokens) == (30, 15)
    assert last.cost == pytest.approx((30 * 2 + 15 * 8) / 1e6)
    assert last.per_second == pytest.approx(3 / last.seconds)
    assert last.remaining == pytest.approx(9 * last.seconds / 3)
    assert 0.3 <= last.seconds < 3


# Each line of its input starts a process that sends all requests; it then prints that process's exit status.
CLIENT = """
import asyncio, os, sys
from pathlib import Path
import openai
from clinragen.llm.client import LLMClient
from clinragen.llm.journal import Journal
from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.types import Message, Request
from dataset_builder.storage.http import RetryPolicy

async def main(journal):
    model = OpenAIServer(sys.argv[1], "tiny", {"credentialed": True})
    requests = (Request((Message("user", str(n)),), 9) for n in range(int(sys.argv[3])))
    retry = RetryPolicy(attempts=8, first_pause_s=0.05)
    async with LLMClient(model, journal, concurrency=int(sys.argv[4]), retry=retry) as client:
        await asyncio.gather(*map(client.complete, requests))

for line in sys.stdin:
    asking = os.fork()
    if not asking:
        with Journal(Path(sys.argv[2])) as journal:
            asyncio.run(main(journal))
        os._exit(0)
    print(asking, flush=True)
    print(os.waitpid(asking, 0)[1], flush=True)
"""


def test_killed_at_any_moment_and_started_again_nothing_is_lost_and_little_repeated(
    server: ChatServer, tmp_path: Path
) -> None:
    count, concurrency, kills = 400, 16, 6
    server.behave(latency=0.03, faulty=0.1, faults=["500", "cut"])
    command = [sys.executable, "-c", CLIENT, server.url, str(tmp_path), str(count), str(concurrency)]
    path = tmp_path / "answers.jsonl"
    kept: dict[str, Answer] = {}
    dice = random.Random(1)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for kill in range(kills):
            client.stdin.write("start\n")
            asking = int(client.stdout.readline())
            moment = dice.uniform(0.1, 0.9) / kills * count + kill / kills * count
            while sum(server.counts()["answered"].values()) < moment:
                time.sleep(dice.uniform(0, 0.02))
            os.kill(asking, signal.SIGKILL)
            assert client.stdout.readline() == f"{signal.SIGKILL.value}\n"
            answered = sum(server.counts()["answered"].values())
            now, _ = read_journal(path)
            assert kept.items() <= now.items()
            assert answered - len(now) <= (kill + 1) * concurrency
            kept = now
        assert 0 < len(kept) < count
        ended, _ = client.communicate("start\n", timeout=60)
        assert ended.endswith("\n0\n")
    final, size = read_journal(path)
    assert len(final) == count
    assert size == path.stat().st_size
    assert kept.items() <= final.items()
    counts = server.counts()
    assert len(counts["answered"]) == count
    assert sum(counts["answered"].values()) <= count + kills * concurrency


def test_the_client_keeps_a_slow_server_busy(server: ChatServer, ask: Run) -> None:
    rounds, concurrency = 6, 32
    reached = []
    ask([question(0)])  # the library makes its types when it is first used
    # On a busy machine the client's own work matters less the longer the server takes.
    for latency in (0.5, 1.5, 4.0):
        server.behave(latency=latency)
        requests = [question(number, seed=round(latency * 10)) for number in range(rounds * concurrency)]
        _, status = ask(requests, concurrency=concurrency)
        assert server.counts()["most_busy"] == concurrency
        reached.append(rounds * latency / status.seconds)
        if reached[-1] >= 0.9:
            break
    assert max(reached) >= 0.9, reached


@pytest.mark.parametrize("after", ["1", lambda: formatdate(time.time() + 2, usegmt=True)], ids=["seconds", "date"])
def test_the_servers_own_wish_is_kept(server: ChatServer, ask: Run, after: Any) -> None:
    server.behave(script=["429"], headers={"Retry-After": after if isinstance(after, str) else after()})
    (answer,), status = ask([question(0)], retry=RetryPolicy(first_pause_s=0.01))
    assert answer.attempts == 2
    assert 0.9 <= status.seconds <= 5


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("stall", "timeout"),
        ("drip", "timeout"),
        ("cut", "connection"),
        ("garbage", "not JSON"),
        ("nested", "not JSON"),
        ("no choices", "no choices"),
        ("no text", "no choices"),
        ("503", "status 503"),
    ],
)
def test_what_never_works_ends_with_the_address_and_how_it_failed(
    server: ChatServer, ask: Run, fault: str, kind: str
) -> None:
    server.behave(faulty=1.0, faults=[fault])
    (error,), _ = ask([question(0)], timeout=0.3, attempts=2)
    assert isinstance(error, InputDataError)
    assert f"{server.url}: no answer in 2 attempts (the last failed with: {kind})" in str(error)
    assert sum(server.counts()["asked"].values()) == 2


def test_a_refusal_of_everything_stops_everything(server: ChatServer, ask: Run) -> None:
    server.behave(faulty=1.0, faults=["401"], latency=0.05)
    outcomes, _ = ask([question(number) for number in range(100)], concurrency=4)
    assert {type(outcome) for outcome in outcomes} == {SettingsError}
    assert sum(server.counts()["asked"].values()) <= 8


def test_a_request_that_cannot_be_answered_stops_nothing(server: ChatServer, ask: Run) -> None:
    server.behave(script=["400"], error={"code": "context_length_exceeded"})
    outcomes, _ = ask([question(number, key=f"request-{number}") for number in range(10)], concurrency=1)
    assert [type(outcome) for outcome in outcomes] == [ModelInputError] + [Answer] * 9
    assert "request-0: too long for tiny" in str(outcomes[0])


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"attempts": 0}])
def test_settings_that_send_nothing_are_refused(ask: Run, settings: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        ask([], **settings)
