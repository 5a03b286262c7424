"""Throughput and latency of `clinragen serve` beside the same work without a service, and beside plain `generate`.

    python benchmarks/serve_load.py runs/quickstart [--clients 1 8 32] [--runs 5] [--waves 6] [--seed 0] [--threads 2]
        [--processes 2]

A service is started as users start it, and N programs ask it for one held-out patient after the other. In every run
the four ways take turns on the same patients, so that ratios hold on a busy machine:

- service: N clients, each with one request under way (JSON in, JSON out);
- processes: the same of a service with `--processes`, one for each core;
- explain_many: `Explainer.explain_many` in this process, in batches of N: the same explanations, without a service;
- generate: the model's plain generation (`write_targets`) in batches of N: free text, nothing constrained, checked or
  written again. Another work than the service's, and given for comparison only.

Writes benchmarks/results/serve.json: patients a second and processor seconds a patient of each way, the services'
latency and memory, and the ratios of each run; medians over the runs. Whether the answers are the same is counted too.
With `--clients 8` alone, the numbers for 8 clients are replaced and the others kept.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "serve.json"
CLINRAGEN = Path(sys.executable).parent / "clinragen"
TOKEN = "token-of-the-load-test"
SERVICES = ("service", "processes")
WITHOUT = ("explain_many", "generate")
WAYS = (*SERVICES, *WITHOUT)
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

    def __init__(self, model: Path, folder: Path, processes: int) -> None:
        folder.mkdir()
        token = folder / "token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        words = [str(CLINRAGEN), "serve", str(model), "--port", "0", "--token-file", str(token)]
        words += ["--processes", str(processes)]
        with (folder / "log.txt").open("w") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        found = re.match(r"Serving http://127\.0\.0\.1:(\d+) ", self.process.stdout.readline())
        if found is None:
            raise SystemExit((folder / "log.txt").read_text())
        self._port = int(found[1])

    @property
    def _processes(self) -> list[Path]:
        own = Path(f"/proc/{self.process.pid}")
        others = (own / "task" / own.name / "children").read_text().split()
        return [own, *(Path("/proc") / one for one in others)]

    def processor_seconds(self) -> float:
        """What its processes have used until now."""
        fields = [(one / "stat").read_text().rpartition(")")[2].split() for one in self._processes]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> int:
        """Memory of its processes; what they share counts once."""
        lines = "\n".join((one / "smaps_rollup").read_text() for one in self._processes)
        return round(sum(int(found) for found in re.findall(r"^Pss: +(\d+) kB", lines, re.MULTILINE)) / 1024)

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(60)

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


def compare(
    services: Mapping[str, Service], explainer: Any, patients: Sequence[Any], clients: int, runs: int
) -> dict[str, Any]:
    """All ways in every run, in turn."""
    from clinragen.export.result import explanation_result
    from modeling_clinragen.diagnosing_clinragen import write_targets

    bodies = [body_of(patient) for patient in patients]

    def generate(batch: Sequence[Any]) -> None:
        given = [(one.note, {"hours": one.series.hours, "values": one.series.values}) for one in batch]
        write_targets(explainer.model, explainer.processor, given, do_sample=False, num_beams=1)

    expected = [json.loads(json.dumps(explanation_result(one))) for one in explainer.explain_many(patients[:clients])]
    found: dict[str, list[Taken]] = {way: [] for way in WAYS}
    same: dict[str, str] = {}
    # The first batches of a shape are slow in either process.
    for service in services.values():
        service.ask(bodies[:clients], clients)
    generate(patients[:clients])
    for run in range(runs):
        for way, service in services.items():
            served, answers = service.ask(bodies, clients)
            found[way].append(served)
            equal = sum(a["text"] == b["text"] for a, b in zip(answers, expected, strict=False))
            same[way] = f"{equal} of {len(expected)}"
        found["explain_many"].append(timed(explainer.explain_many, patients, clients))
        found["generate"].append(timed(generate, patients, clients))
        shown = ", ".join(f"{way} {taken[-1].seconds:.1f} s" for way, taken in found.items())
        print(f"{clients} clients, run {run}: {shown}", flush=True)
    memory = {way: service.megabytes() for way, service in services.items()}
    return summary(found, len(patients)) | {"same_text": same, "megabytes": memory}


def summary(found: dict[str, list[Taken]], patients: int) -> dict[str, Any]:
    """Medians over the runs, and of the ratios within each run."""
    ways = {
        way: {
            "patients_per_second": _median([patients / one.seconds for one in taken]),
            "processor_seconds_per_patient": _median([one.processor_seconds / patients for one in taken]),
        }
        for way, taken in found.items()
    }
    return {
        "patients": patients,
        "ways": ways,
        "latency_seconds": {way: _latency(found[way]) for way in SERVICES},
        "ratios": {f"{way}_to_{other}": _ratios(found[way], found[other]) for way in SERVICES for other in WITHOUT},
    }


def _latency(taken: Sequence[Taken]) -> dict[str, float]:
    parts = [statistics.quantiles(one.latencies, n=20) for one in taken]
    return {"median": _median([one[9] for one in parts]), "p95": _median([one[18] for one in parts])}


def _ratios(taken: Sequence[Taken], others: Sequence[Taken]) -> dict[str, float]:
    pairs = list(zip(taken, others, strict=True))
    return {
        "throughput": _median([other.seconds / one.seconds for one, other in pairs]),
        "processor_time": _median([other.processor_seconds / one.processor_seconds for one, other in pairs]),
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
    parser.add_argument("--processes", type=int, default=os.cpu_count())
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
    about = {
        "commit": commit(),
        "seed": given.seed,
        "runs": given.runs,
        "threads": given.threads,
        "processes": given.processes,
    }
    services: dict[str, Service] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for way, processes in zip(SERVICES, (1, given.processes), strict=True):
                services[way] = Service(model, Path(folder) / way, processes)
            for clients in given.clients:
                patients = drawn[: max(8, given.waves * clients)]
                # Those that are kept from an earlier call stay what they were measured with.
                entries[str(clients)] = about | compare(services, explainer, patients, clients, given.runs)
        finally:
            for service in services.values():
                service.end()
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
