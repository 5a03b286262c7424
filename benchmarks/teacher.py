"""Throughput of the language model client, relative to the server's limit, and the cost of faults.

    python benchmarks/teacher.py [--concurrency 32] [--latency 0.25 1] [--runs 5]

The server is tests/chat_server.py, a separate process that answers every request after its latency. With n requests in
flight it allows n / latency answers per second; `ratio` is the share of that which was reached, journal on disk
included. `faults` is 2,000 requests of which a fifth meets a 429 (Retry-After: 1), a 500, a cut connection, garbage or
a stall of 30 s with a timeout of 1 s. Medians go to benchmarks/results/teacher.json. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit

from clinragen.llm.client import ClientStatus, LLMClient
from clinragen.llm.journal import Journal
from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.types import Message, Request
from dataset_builder.storage.files import write_json
from dataset_builder.storage.http import RetryPolicy

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "teacher.json"
sys.path.insert(0, str(ROOT / "tests"))

from chat_server import ChatServer, chat_server  # noqa: E402 (tests are not a package)

ROUNDS = 30  # answers per slot
PROMPT = "A note of some thousand characters. " * 170


def send_all(server: ChatServer, count: int, concurrency: int, timeout: float) -> tuple[float, ClientStatus]:
    """Wall seconds for `count` different requests with an empty journal, and the client's status at the end."""

    async def work(journal: Journal) -> ClientStatus:
        model = OpenAIServer(server.url, "none", {"credentialed": True}, timeout=timeout)
        retry = RetryPolicy(attempts=12, first_pause_s=0.5)
        async with LLMClient(model, journal, concurrency=concurrency, retry=retry) as client:
            requests = (Request((Message("user", f"{number} {PROMPT}"),), 400) for number in range(count))
            await asyncio.gather(*map(client.complete, requests))
            return client.status

    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder)) as journal:
        start = time.perf_counter()
        status = asyncio.run(work(journal))
        return time.perf_counter() - start, status


def measure_latency(server: ChatServer, latency: float, concurrency: int, runs: int) -> dict[str, Any]:
    """The share of the server's rate in each run."""
    ratios = []
    for _ in range(runs):
        server.behave(latency=latency)
        seconds, _ = send_all(server, ROUNDS * concurrency, concurrency, timeout=60.0)
        ratios.append(ROUNDS * latency / seconds)
    return {
        "latency_seconds": latency,
        "requests": ROUNDS * concurrency,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 4),
    }


def measure_faults(server: ChatServer, concurrency: int) -> dict[str, Any]:
    """2,000 requests, a fifth of them faulty."""
    server.behave(faulty=0.2, headers={"Retry-After": "1"})
    seconds, status = send_all(server, 2000, concurrency, timeout=1.0)
    counts = server.counts()
    return {
        "requests": 2000,
        "answered": status.answered,
        "paid_twice": sum(counts["answered"].values()) - len(counts["answered"]),
        "faults": counts["faults"],
        "failures": status.failures,
        "seconds": round(seconds, 1),
    }


def run(concurrency: int, latencies: Sequence[float], runs: int) -> dict[str, Any]:
    """All measurements."""
    with chat_server() as server:
        server.behave()
        send_all(server, 1, 1, timeout=60.0)  # loads the library before anything is timed
        return {
            "latencies": [measure_latency(server, latency, concurrency, runs) for latency in latencies],
            "faults": measure_faults(server, concurrency),
        }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.25, 1.0], help="seconds")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    measured = run(chosen.concurrency, chosen.latency, chosen.runs)
    latencies = " ".join(f"{latency:g}" for latency in chosen.latency)
    result = {
        "command": f"python benchmarks/teacher.py --concurrency {chosen.concurrency} --latency {latencies} "
        f"--runs {chosen.runs}",
        "commit": commit(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "openai": version("openai"),
        "concurrency": chosen.concurrency,
        **measured,
    }
    write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
