"""Throughput and latency of `clinragen serve` beside the same work without a service, and beside plain `generate`.

    python benchmarks/serve_load.py runs/quickstart [--clients 1 8 32] [--runs 5] [--waves 6] [--seed 0] [--threads 2]

A service is started as users start it, and N programs ask it for one held-out patient after the other. In every run
the three ways take turns on the same patients, so that ratios hold on a busy machine:

- service: N clients, each with one request under way (JSON in, JSON out);
- explain_many: `Explainer.explain_many` in this process, in batches of N: the same explanations, without a service;
- generate: the model's plain generation (`write_targets`) in batches of N: free text, nothing constrained, checked or
  written again. Another work than the service's, and given for comparison only.

Writes benchmarks/results/serve.json: patients a second and processor seconds a patient of each way, the service's
latency, and the ratios of each run; medians over the runs. Whether the answers are the same is counted too. With
`--clients 8` alone, the numbers for 8 clients are replaced and the others kept.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "serve.json"
CLINRAGEN = Path(sys.executable).parent / "clinragen"
TOKEN = "token-of-the-load-test"
WAYS = ("service", "explain_many", "generate")
# As the command line sets them for its own process.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Taken:
    """What one way took for all patients."""

    seconds: float
    processor_seconds: float
    latencies: Sequence[float] = ()


class Service:
    """A running `clinragen serve`."""

    def __init__(self, model: Path, folder: Path) -> None:
        token = folder / "token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        words = [str(CLINRAGEN), "serve", str(model), "--port", "0", "--token-file", str(token)]
        with (folder / "log.txt").open("w") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        found = re.match(r"Serving http://127\.0\.0\.1:(\d+) ", self.process.stdout.readline())
        if found is None:
            raise SystemExit((folder / "log.txt").read_text())
        self._port = int(found[1])

    def processor_seconds(self) -> float:
        """What its process has used until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, bodies: Sequence[str], clients: int) -> tuple[Taken, list[Any]]:
        """Have patients explained, by so many clients at once; also returns the answers, in order."""
        left: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(len(bodies)):
            left.put(place)
        answers: list[Any] = [None] * len(bodies)
        latencies = [0.0] * len(bodies)

        def client() -> None:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=600)
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            while True:
                try:
                    place = left.get_nowait()
                except queue.Empty:
                    break
                began = time.perf_counter()
                connection.request("POST", "/explain", bodies[place], headers)
                answer = connection.getresponse()
                content = answer.read()
                latencies[place] = time.perf_counter() - began
                if answer.status != 200:
                    raise RuntimeError(f"status {answer.status}")
                answers[place] = content
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        used, began = self.processor_seconds(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, used = time.perf_counter() - began, self.processor_seconds() - used
        return Taken(seconds, used, latencies), [json.loads(one)["explanations"][0] for one in answers]


def timed(work: Callable[[Sequence[Any]], Any], items: Sequence[Any], size: int) -> Taken:
    """What some work takes in batches, in this process."""
    used, began = time.process_time(), time.perf_counter()
    for start in range(0, len(items), size):
        work(items[start : start + size])
    return Taken(time.perf_counter() - began, time.process_time() - used)


def read_patients(explainer: Any, cohort: Path, seed: int) -> list[Any]:
    """The held-out patients of a cohort, in random order."""
    import numpy as np

    from dataset_builder.contract.lab_series import LabSeries
    from dataset_builder.contract.schema import load_examples

    rows = load_examples(cohort)["test"]
    vocabulary = explainer.vocabulary
    order = np.random.default_rng(seed).permutation(len(rows))
    drawn = (rows[int(place)] for place in order)
    return [explainer.patient(row["note"], LabSeries.from_example(vocabulary, row)) for row in drawn]


def body_of(patient: Any) -> str:
    """A patient as a request."""
    series = patient.series
    columns = [
        [None if value != value else round(value, 6) for value in column] for column in series.values.T.tolist()
    ]
    labs = {"hours": series.hours.tolist(), **dict(zip(series.vocabulary.variable_keys, columns, strict=True))}
    return json.dumps({"patients": [{"note": patient.note, "labs": labs}]})


def compare(service: Service, explainer: Any, patients: Sequence[Any], clients: int, runs: int) -> dict[str, Any]:
    """All three ways in every run, in turn."""
    from clinragen.export.result import explanation_result
    from modeling_clinragen.diagnosing_clinragen import write_targets

    bodies = [body_of(patient) for patient in patients]

    def generate(batch: Sequence[Any]) -> None:
        given = [(one.note, {"hours": one.series.hours, "values": one.series.values}) for one in batch]
        write_targets(explainer.model, explainer.processor, given, do_sample=False, num_beams=1)

    expected = [json.loads(json.dumps(explanation_result(one))) for one in explainer.explain_many(patients[:clients])]
    found: dict[str, list[Taken]] = {way: [] for way in WAYS}
    same = 0
    # The first batches of a shape are slow in either process.
    service.ask(bodies[:clients], clients)
    generate(patients[:clients])
    for run in range(runs):
        served, answers = service.ask(bodies, clients)
        same = sum(a["text"] == b["text"] for a, b in zip(answers, expected, strict=False))
        taken = (served, timed(explainer.explain_many, patients, clients), timed(generate, patients, clients))
        for way, one in zip(WAYS, taken, strict=True):
            found[way].append(one)
        shown = ", ".join(f"{way} {one.seconds:.1f} s" for way, one in zip(WAYS, taken, strict=True))
        print(f"{clients} clients, run {run}: {shown}", flush=True)
    return summary(found, len(patients)) | {"same_text": f"{same} of {len(expected)}"}


def summary(found: dict[str, list[Taken]], patients: int) -> dict[str, Any]:
    """Medians over the runs, and of the ratios within each run."""
    ways = {
        way: {
            "patients_per_second": _median([patients / one.seconds for one in taken]),
            "processor_seconds_per_patient": _median([one.processor_seconds / patients for one in taken]),
        }
        for way, taken in found.items()
    }
    latencies = [statistics.quantiles(one.latencies, n=20) for one in found["service"]]
    ratios = {
        f"service_to_{way}": {
            "throughput": _median([b.seconds / a.seconds for a, b in zip(found["service"], found[way], strict=True)]),
            "processor_time": _median(
                [b.processor_seconds / a.processor_seconds for a, b in zip(found["service"], found[way], strict=True)]
            ),
        }
        for way in WAYS[1:]
    }
    return {
        "patients": patients,
        "ways": ways,
        "latency_seconds": {
            "median": _median([one[9] for one in latencies]),
            "p95": _median([one[18] for one in latencies]),
        },
        "ratios": ratios,
    }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 4)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="Folder of a finished run, with model/ and build/.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--waves", type=int, default=6, help="Requests of each client, at least 8 in all.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(given.threads))
    from machine import commit, processor

    from clinragen.inference import Explainer
    from dataset_builder.storage.files import read_json, write_json

    model = given.run / "model"
    explainer = Explainer.from_pretrained(model)
    drawn = read_patients(explainer, given.run / "build", given.seed)
    entries = read_json(given.output)["clients"] if given.output.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(model, Path(folder))
        try:
            for clients in given.clients:
                patients = drawn[: max(8, given.waves * clients)]
                # Those that are kept from an earlier call stay what they were measured with.
                about = {"commit": commit(), "seed": given.seed, "runs": given.runs, "threads": given.threads}
                entries[str(clients)] = about | compare(service, explainer, patients, clients, given.runs)
        finally:
            service.process.terminate()
            service.process.wait(60)
    result = {
        "command": "python benchmarks/serve_load.py RUN",
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformers", "fastapi", "uvicorn")},
        "clients": dict(sorted(entries.items(), key=lambda entry: int(entry[0]))),
    }
    write_json(given.output, result)
    print(json.dumps(result["clients"], indent=2))


if __name__ == "__main__":
    main()
