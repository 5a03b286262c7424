"""A demo page on a real port, started as a user starts it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, example_schema
from dataset_builder.storage.files import write_json
from modeling_clinragen.vocabulary_clinragen import Vocabulary

# A page without a model, which starts in seconds: one event, which takes its time.
LIGHT = """
import time
from clinragen.demo.access import Access
from clinragen.demo.page import build_page
from clinragen.demo.serve import listening_socket, run_page
from clinragen.demo.tab import Tab
from clinragen.demo.uploads import private_uploads

def build(gr, page, state):
    gr.Button().click(lambda: time.sleep(25), api_name="sleep")

with listening_socket("127.0.0.1", 0) as taken, private_uploads() as uploads:
    access = Access.of_this_machine(taken.getsockname()[1])
    run_page(build_page(None, [Tab("Sleeps", build)]), access, taken, uploads)
"""
COMMAND = "from clinragen.cli.main import main; main()"
PATIENT = "Patient 1: made-up-1"


@dataclass
class Served:
    """A running page.

    Args:
        process: Its process.
        address: Where it is, without its token.
        token: Its token.
        temporary: The folder that its temporary files lie in.
        errors: The file that its standard error goes to.
    """

    process: subprocess.Popen[str]
    address: str
    token: str
    temporary: Path
    errors: Path

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.address.rpartition(":")[2])

    @property
    def opened(self) -> str:
        """The address as printed."""
        return f"{self.address}/?token={self.token}"

    def folders(self) -> list[Path]:
        """The folders of uploads that exist."""
        return sorted(self.temporary.glob("clinragen-page-*"))

    def uploads(self) -> list[Path]:
        """Everything that lies in them and is a file, without the lock."""
        found = (path for folder in self.folders() for path in folder.rglob("*"))
        return [path for path in found if path.is_file() and path.name != ".lock"]

    def end(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def served(
    words: list[str],
    folder: Path,
    *,
    code: str = COMMAND,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-P",),
) -> Iterator[Served]:
    """Run `clinragen demo` with these words, or another `code`, until the block ends; `flags` are Python's own."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "errors.txt"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", code, *words],
            env={**os.environ, "TMPDIR": str(folder), **(environment or {})},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            # Under nohup, which tests may run under, it would be deaf to one.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"Open (http://[\d.]+:\d+)/(?:\?token=(\S+))?\n", line)
        assert match is not None, (line, errors.read_text()[-2000:])
        yield Served(process, match[1], match[2] or "", folder, errors)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def request(
    page: Served, path: str, *, method: str = "GET", token: bool = True, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    """One request with exactly these headers; `_` stands for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    sent = {"Host": f"127.0.0.1:{page.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        sent["Authorization"] = f"Bearer {page.token}"
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in sent and "Transfer-Encoding" not in sent:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    # Who is refused is answered before the body was read: its rest meets a closed line, and the answer is there.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(body or b"")
    answer = connection.getresponse()
    answer.content = answer.read() if answer.headers.get_content_type() != "text/event-stream" else b""
    connection.close()
    return answer


def multipart(name: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and headers of an upload."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--x--\r\n", {"Content_Type": "multipart/form-data; boundary=x"}


def write_cohort(folder: Path, vocabulary: Vocabulary, *, credentialed: bool = False) -> Path:
    """A cohort folder with one patient in the test split, whose heart rate is 110 and 118 bpm."""
    column = vocabulary.variable_keys.index("heart_rate")
    row = {
        "example_id": "made-up-1",
        "subject_id": 1,
        "hadm_id": 1,
        "stay_id": 1,
        "source": "made-up",
        "note": "Dyspnea.\nHistory of hypertension.",
        "note_policy": "structured",
        "lab_hours": [0.0, 5.0],
        "lab_values": [
            [rate if index == column else None for index in range(len(vocabulary.variables))]
            for rate in (110.0, 118.0)
        ],
        "lab_observed": [[index == column for index in range(len(vocabulary.variables))]] * 2,
        "lab_summary": "heart rate is higher than normal two times.",
        "labels": [0] * len(vocabulary.diseases),
        "diagnoses": [],
        "rationale_note": "",
        "rationale_lab": "",
        "prediction_time": 48.0,
    }
    (folder / "data").mkdir(parents=True)
    schema = example_schema(vocabulary)
    for split in SPLITS:
        rows = pa.Table.from_pylist([row] if split == "test" else [], schema=schema)
        pq.write_table(rows, folder / "data" / f"{split}.parquet")
    about: Any = [{one.key: {} for one in listed} for listed in (vocabulary.variables, vocabulary.diseases)]
    write_definitions(folder, Definitions(vocabulary, *about))
    write_json(folder / "provenance.json", {"credentialed": credentialed, "title": "Made up"})
    return folder


def wait_until(holds: Any, seconds: float = 60) -> None:
    """Wait until `holds()` is true."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.05)
