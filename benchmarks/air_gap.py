"""Runs the quickstart and its page behind the air gap, and counts what asked for another machine.

    python benchmarks/air_gap.py

A witness of its own (a Python audit hook, in every process that the commands start, before any of their code) records
each socket that is connected, each datagram, each port that is opened and each name that is resolved beyond 127.0.0.1.
Then the page of the trained model explains a patient over HTTP. Writes benchmarks/results/air_gap.json: the number of
attempts, which is 0, and what was run. Exit status 1 where there is an attempt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "air_gap.json"
CLINRAGEN = Path(sys.executable).parent / "clinragen"
NOTE = "Dyspnea and fever since two days. History of hypertension."
# Python imports a module of this name at its start.
WITNESS = """
import os
import sys

FOLDER = os.environ["AIR_GAP_WITNESS"]


def note(text):
    with open(os.path.join(FOLDER, f"{os.getpid()}.txt"), "a") as file:
        file.write(text + chr(10))


def see(event, given):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        address = given[1]
        # Of files (text) and of the kernel (numbers) nothing leaves.
        if isinstance(address, tuple) and isinstance(address[0], str) and address[0] not in ("127.0.0.1", "::1"):
            note(f"{event} {address[0]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if given[0] not in ("127.0.0.1", "::1", "localhost", None):
            note(f"{event} {given[0]}")


note("seen from its start")
sys.addaudithook(see)
"""


@dataclass(frozen=True)
class Seen:
    """What a witness saw: processes that it was in, and attempts to reach another machine."""

    processes: int
    attempts: list[str]


@dataclass(frozen=True)
class Witness:
    """Records what the processes that are started with its environment ask for.

    Args:
        folder: An empty folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "seen").mkdir(parents=True)
        (self.folder / "sitecustomize.py").write_text(WITNESS)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the processes; nothing in it says that they are offline."""
        kept = {name: value for name, value in os.environ.items() if "OFFLINE" not in name and "TELEMETRY" not in name}
        path = os.pathsep.join([str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**kept, "PYTHONPATH": path, "AIR_GAP_WITNESS": str(self.folder / "seen")}

    def seen(self) -> Seen:
        """What was seen until now."""
        files = sorted((self.folder / "seen").glob("*.txt"))
        lines = [line for file in files for line in file.read_text().splitlines()]
        return Seen(len(files), [line for line in lines if line.startswith("socket.")])


def run_quickstart(witness: Witness, output: Path, recipe: Path | None = None) -> None:
    """Run the quickstart behind the air gap. Raises `CalledProcessError` where it fails."""
    words = [
        "--air-gap",
        "quickstart",
        "--output",
        str(output),
        *(() if recipe is None else ("--recipe", str(recipe))),
    ]
    subprocess.run([str(CLINRAGEN), *words], env=witness.environment, check=True, stdout=subprocess.DEVNULL)


def use_page(witness: Witness, output: Path) -> str:
    """Serve the page of a run behind the air gap and have a note explained; returns the text."""
    from gradio_client import Client

    from clinragen.demo.patient import OWN

    words = [str(CLINRAGEN), "--air-gap", "demo", str(output / "model"), "--port", "0"]
    process = subprocess.Popen(words, env=witness.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address, _, token = process.stdout.readline().removeprefix("Open ").strip().partition("?token=")
        client = Client(address, token=token, verbose=False, analytics_enabled=False)
        return str(client.predict(OWN, NOTE, api_name="/explain"))
    finally:
        process.terminate()
        process.wait(60)


def main() -> int:
    """Run, count, record; returns the exit status."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        witness = Witness(Path(folder) / "witness")
        run_quickstart(witness, Path(folder) / "quickstart")
        shown = use_page(witness, Path(folder) / "quickstart")
        seen = witness.seen()
    ran = ["clinragen --air-gap quickstart", "clinragen --air-gap demo (one note explained)"]
    result = {**asdict(seen), "ran": ran, "characters_shown": len(shown)}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(f"{len(seen.attempts)} attempts in {seen.processes} processes, {time.monotonic() - started:.0f} s")
    return 1 if seen.attempts else 0


if __name__ == "__main__":
    sys.exit(main())
