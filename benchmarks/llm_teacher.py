"""A language model as teacher, behind a server of its own: what it writes, what the checker keeps, what it costs.

    python benchmarks/llm_teacher.py MODEL --work runs/llm-teacher [--patients 200]

MODEL is a folder (`clinragen backbone smollm2 --output FOLDER`), which `transformers serve` serves, or a GGUF file,
which llama.cpp's server does (`pip install 'llama-cpp-python[server]'`) in a fraction of the time: it keeps what is
the same before every patient. Builds patients of the synthetic hospital, starts the server on 127.0.0.1, and runs the
stage `rationales` with it: R_m, R_t, and one repair where the checker contradicts something. Interrupted, the same
command goes on: all answers are in a journal. Beside it the rule teacher writes about the same patients. Below 50 kept
rationales nothing could be learned from them. Writes benchmarks/results/llm_teacher.json: rates by reason, before and
after the repair, tokens and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import BIN, commit, processor, run

from clinragen.llm.journal import read_journal
from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "llm_teacher.json"
LEAST_KEPT = 50
MAX_TOKENS = 200  # of an answer; the worked examples have 60 to 90
START_SECONDS = 120
CACHE_BYTES = 1_000_000_000
"""Of the states that llama.cpp's server keeps; it does not count their scores, as much again."""


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The base URL of a server with a model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if model.is_file():
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--n_ctx", "8192", *where]
        command += ["--n_threads", "1", "--n_threads_batch", "1", "--verbose", "false"]
        # The prompts of R_m and R_t take turns, and each is kept. Scores of a prompt's own tokens are not asked for.
        command += ["--cache", "true", "--cache_size", str(CACHE_BYTES), "--logits_all", "false"]
        health = f"http://127.0.0.1:{port}/v1/models"
    else:
        command = [str(BIN / "transformers"), "serve", str(model), *where, "--device", "cpu", "--dtype", "bfloat16"]
        health = f"http://127.0.0.1:{port}/health"
    process = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(health, timeout=5):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[0]} did not start") from None
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Write, judge, and record."""
    parser = argparse.ArgumentParser(description="A language model as teacher, behind a server of its own.")
    parser.add_argument("model", type=Path, help="folder of the model, or a GGUF file")
    parser.add_argument("--work", type=Path, required=True, help="folder of cohort, rationales and journal")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    run("synthesize", "--patients", str(given.patients), "--seed", str(given.seed), "--output", work / "hospital")
    build = ("--note-policy", "admission", "--window", "first-48h", "--grid", "event", "--range-set", "clinical")
    run("build", "mimic-iv", "--root", work / "hospital" / "tables", "--output", work / "cohort", *build)
    run("rationales", "--cohort", work / "cohort", "--output", work / "rules")
    llm = ("--teacher", "llm", "--model-name", str(given.model.resolve()), "--max-tokens", str(MAX_TOKENS))
    llm += ("--concurrency", "1", "--timeout", "1200")
    start = time.monotonic()
    with served(given.model) as url:
        run("rationales", "--cohort", work / "cohort", "--output", work / "llm", *llm, "--base-url", url)
    report, rules = (read_json(work / teacher / "rationales.json") for teacher in ("llm", "rules"))
    (journal,) = (work / "llm.journal").glob("*.jsonl")
    answers = read_journal(journal)[0].values()
    seconds = [answer.seconds for answer in answers]
    kept = report["kept"]
    packages = ["torch", "transformers", *(["llama_cpp_python"] if given.model.is_file() else [])]
    result: dict[str, Any] = {
        "command": "python benchmarks/llm_teacher.py MODEL --work FOLDER",
        "commit": commit(),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in packages},
        "model": report["teacher"].rpartition("/")[2],
        "seed": given.seed,
        "examples": report["examples"],
        "kept": kept,
        "filter": _nameless(report["filter"]),
        "words": report["words"],
        "usage": report["usage"],
        "max_tokens": MAX_TOKENS,
        "cut_off": sum(answer.finish_reason == "length" for answer in answers),
        "seconds": {"of_answers": round(sum(seconds), 1), "of_this_run": round(time.monotonic() - start, 1)},
        "rules": {"kept": rules["kept"], "filter": _nameless(rules["filter"]), "words": rules["words"]},
        "enough_to_learn_from": kept >= LEAST_KEPT,
    }
    write_json(RESULT, result)
    print(json.dumps({name: result[name] for name in ("examples", "kept", "usage", "seconds")}, indent=1))


def _nameless(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The filter's reports without the teacher's name, which has the model's path on this machine."""
    return {step: {name: value for name, value in one.items() if name != "teacher"} for step, one in steps.items()}


if __name__ == "__main__":
    main()
