"""How fast the page answers and what memory it takes: a first look, 50 requests in a row, and four users at once.

    python benchmarks/page_load.py runs/quickstart

Runs the page of a run's model as `clinragen demo` does, on two threads. In a real browser it measures how long after
the click the first part of an answer is seen, and the whole. Through gradio_client it then asks about one patient
after the other, and about four at once, and reads the process's memory before and behind. Writes
benchmarks/results/page.json. Needs chromium and chromedriver, and an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gradio_client import Client
from machine import commit, processor
from page_browser import RunningPage, browser, running_page, wait_until

from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import write_json

RESULT = Path(__file__).parent / "results" / "page.json"
REQUESTS, USERS, PATIENTS, LOOKS = 50, 4, 10, 5
THREADS = 2
# Seconds since the click at which the first part of the answer, and the whole, are seen.
TIMED = """
const done = arguments[0];
const began = performance.now();
let first = null;
const look = () => {
    if (first === null && document.querySelector("#answer .cr-answer")) first = performance.now() - began;
    if (document.querySelector("#answer .cr-whole")) done([first / 1000, (performance.now() - began) / 1000]);
    else requestAnimationFrame(look);
};
document.getElementById("explain").click();
requestAnimationFrame(look);
"""


def resident(page: RunningPage) -> int:
    """Bytes of memory that the page's process holds."""
    status = Path(f"/proc/{page.process.pid}/status").read_text()
    (line,) = (one for one in status.splitlines() if one.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def seen(page: RunningPage) -> list[list[float]]:
    """Seconds to the first part and to the whole answer, at a fresh page and then again and again."""
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder), 1280, 1000) as opened:
        opened.set_script_timeout(120)
        times = []
        for _ in range(LOOKS):
            opened.get(page.opened)
            wait_until(lambda: opened.execute_script("return !!document.querySelector('#view .cr-note')"))
            times.append(opened.execute_async_script(TIMED))
        return times


def asked(client: Client, patient: str) -> float:
    """Seconds that an answer takes a program."""
    began = time.monotonic()
    client.predict(patient, api_name="/explain")
    return time.monotonic() - began


def summary(times: list[float]) -> dict[str, float]:
    """Median and longest of some times."""
    return {"median": round(statistics.median(times), 3), "longest": round(max(times), 3)}


def measure(run: Path) -> dict[str, Any]:
    """All measurements of the page of a run."""
    rows = load_examples(run / "rationales")["test"]
    names = [f"Patient {number + 1}: {rows[number]['example_id']}" for number in range(min(PATIENTS, len(rows)))]
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    with running_page(run / "model") as page:
        first, *others = seen(page)
        client = Client(page.address, token=page.token, verbose=False, analytics_enabled=False)
        for name in names:
            asked(client, name)
        before = resident(page)
        in_row = [asked(client, names[number % len(names)]) for number in range(REQUESTS)]
        behind = resident(page)
        clients = [
            Client(page.address, token=page.token, verbose=False, analytics_enabled=False) for _ in range(USERS)
        ]
        with ThreadPoolExecutor(USERS) as pool:
            at_once = list(pool.map(asked, clients * 5, (names * 5)[: USERS * 5]))
        last = resident(page)
    return {
        "seconds_to_first_part": {"first_look": round(first[0], 3), **summary([one[0] for one in others])},
        "seconds_to_whole_answer": {"first_look": round(first[1], 3), **summary([one[1] for one in others])},
        "seconds_in_a_row": {"requests": REQUESTS, **summary(in_row)},
        "seconds_at_once": {"users": USERS, "requests": USERS * 5, **summary(at_once)},
        "megabytes": {
            name: value // 2**20
            for name, value in zip(("before", "row", "users"), (before, behind, last), strict=True)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run, which has a model and its cohort")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    found = {**measure(given.run), "threads": THREADS, "commit": commit(), "processor": processor()}
    write_json(given.output, found)
    print(found)


if __name__ == "__main__":
    main()
