"""A chat server in a separate process, which answers after a latency, counts requests, and fails on demand.

    python tests/chat_server.py

It prints its port as its first line and ends with its standard input. Its answer to a question is a digest of the
question, so that a client can verify that it got its own; or, with a `pattern`, `reply` expanded from the match in the
question.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

STALL = 30.0  # seconds
FAULTS = ("429", "500", "cut", "garbage", "stall")


def reply_to(question: str) -> str:
    return "answer " + hashlib.sha256(question.encode()).hexdigest()


@dataclass
class Behaviour:
    """How the server answers: first as `script` says, then a share `faulty` of the requests gets one of `faults`."""

    latency: float = 0.0
    faulty: float = 0.0
    faults: list[str] = field(default_factory=lambda: list(FAULTS))
    script: list[str] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    pattern: str = ""
    reply: str = ""

    def says(self, question: str) -> str:
        found = re.search(self.pattern, question, re.DOTALL) if self.pattern else None
        return reply_to(question) if found is None else found.expand(self.reply)


class Server:
    """The side of the process. `asked` and `answered` count per question."""

    def __init__(self) -> None:
        self.reset(Behaviour())

    def reset(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.last: dict[str, Any] = {}
        self.busy = self.most_busy = 0
        self.random = random.Random(0)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                path = first.split()[1]
                if path == "/control":
                    self.reset(Behaviour(**body))
                    await self.send(writer, 200, {})
                elif path == "/counts":
                    await self.send(writer, 200, self.counts())
                else:
                    self.last = {"path": path, "headers": headers, "body": body}
                    await self.answer(writer, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def counts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("asked", "answered", "faults", "most_busy", "last")}

    async def answer(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        behaviour = self.behaviour
        question = body["messages"][-1]["content"]
        self.asked[question] += 1
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(behaviour.latency)
        self.busy -= 1
        if behaviour.script:
            fault = behaviour.script.pop(0)
        else:
            fault = self.random.choice(behaviour.faults) if self.random.random() < behaviour.faulty else ""
        if fault:
            self.faults[fault] += 1
        message = {"role": "assistant", "content": behaviour.says(question)}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        whole = {"model": body["model"], "choices": choices, "usage": usage}
        if fault == "":
            self.answered[question] += 1
            await self.send(writer, 200, whole)
        elif fault == "no choices":
            await self.send(writer, 200, {**whole, "choices": []})
        elif fault == "no text":
            await self.send(writer, 200, {**whole, "choices": [{**choices[0], "message": "?"}]})
        elif fault == "odd":
            odd = {**choices[0], "message": {"content": "\ud800 half"}, "finish_reason": None}
            await self.send(writer, 200, {"choices": [odd], "usage": {"prompt_tokens": "many"}})
        elif fault == "garbage":
            await self.send(writer, 200, b'{"choices": [{"mess<html>' + question.encode())
        elif fault == "nested":
            await self.send(writer, 200, b"[" * 100_000)
        elif fault == "stall":
            await asyncio.sleep(STALL)
        elif fault == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(round(STALL * 20)):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif fault == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            await writer.drain()
            writer.transport.abort()
        else:
            await self.send(writer, int(fault), {"error": {"message": question, **behaviour.error}}, behaviour.headers)

    async def send(
        self, writer: asyncio.StreamWriter, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Content-Type": "application/json", "Content-Length": len(data), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data)
        await writer.drain()


async def serve() -> None:
    listening = await asyncio.start_server(Server().connected, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@dataclass
class ChatServer:
    """The side of the tests: a running server at `port`."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def behave(self, **behaviour: Any) -> None:
        """Reset all counts and use this behaviour from now on."""
        self._call("POST", "/control", behaviour)

    def counts(self) -> dict[str, Any]:
        return self._call("GET", "/counts", {})

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A running server in a separate process."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield ChatServer(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve())
