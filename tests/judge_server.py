"""A server with the OpenAI chat protocol on the loopback address, whose model is a function of the conversation."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Decide = Callable[[list[dict[str, str]]], str]


class JudgeServer:
    """A running server.

    Args:
        decide: From the messages of a request to the model's text.
        script: Statuses that the first requests get instead of an answer.
    """

    def __init__(self, decide: Decide, script: list[int]) -> None:
        self.decide = decide
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.refused = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, reply = server.answer(body)
                written = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(written)))
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(written)

            def log_message(self, *_: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        with self._lock:
            if self.script:
                self.refused += 1
                return self.script.pop(0), {"error": {"message": body["messages"][-1]["content"]}}
            self.asked.append(body)
        message = {"role": "assistant", "content": self.decide(body["messages"])}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return 200, {"model": body["model"], "choices": choices, "usage": usage}


@contextmanager
def judge_server(decide: Decide, script: list[int] | None = None) -> Iterator[JudgeServer]:
    """A running server."""
    server = JudgeServer(decide, script or [])
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def rationales_in(question: str) -> list[list[str]]:
    """The sentences of every rationale in a judge's question, in order."""
    blocks = re.findall(r"# Rationale \d+\nListed diseases: [^\n]*\n(.*?)(?=\n\n# )", question, re.DOTALL)
    return [re.findall(r"^\d+\. (.+)$", block, re.MULTILINE) for block in blocks]


def honest(messages: list[dict[str, str]]) -> str:
    """A judge that reads: what says that the heart rate is low is wrong, and its rationale has no yes."""
    question = messages[1]["content"]
    keys = re.findall(r'^"([a-z]+\.[a-z-]+)": ', question, re.MULTILINE)
    found = []
    for number, sentences in enumerate(rationales_in(question), start=1):
        wrong = [place for place, words in enumerate(sentences, start=1) if " low " in words]
        found.append(
            {
                "number": number,
                "checks": dict.fromkeys(keys, not wrong),
                "overall": "wrong" if wrong else "correct",
                "wrong_sentences": wrong,
                "omissions": len(wrong),
                "omitted_diseases": ["Shock"] if wrong else [],
            }
        )
    return json.dumps({"rationales": found})


def prefers_the_first(messages: list[dict[str, str]]) -> str:
    """A judge that does not read: the first rationale is right, every other one wrong."""
    content = json.loads(honest(messages))
    for one in content["rationales"]:
        first = one["number"] == 1
        one |= {"checks": dict.fromkeys(one["checks"], first), "overall": "correct" if first else "wrong"}
    return json.dumps(content)
