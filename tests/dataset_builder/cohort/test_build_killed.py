"""A build that is killed at any moment shows nothing half-written, and the next one gives the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_mimic import crowd, digests, make_cohort

from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import InputDataError

# Forks a build per line "POINT OUTPUT" and tells its process id, then how it ended. Before the move or removal of a
# folder or file with the number POINT (Python announces each to its audit hooks) the build kills itself; -1 for never.
WORKER = """
import os, signal, sys
from pathlib import Path
import datasets  # once, not in every child
from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig

def die_at(point):
    moves = 0
    def watch(event, details):
        nonlocal moves
        if event in ("os.rename", "shutil.rmtree"):
            if moves == point:
                os.kill(os.getpid(), signal.SIGKILL)
            moves += 1
    sys.addaudithook(watch)

for line in sys.stdin:
    point, output = line.split()
    child = os.fork()
    if child == 0:
        die_at(int(point))
        config = CohortConfig(note_policy="full", window="first-24h")
        build_cohort("mimic-iv", Path(sys.argv[1]), Path(output), config)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


# The digests of the output's files before the killed builds, and those that they are to write.
Cohorts = tuple[dict[str, str], dict[str, str]]


class Worker:
    """Starts builds in processes of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, output: Path, point: int = -1) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{point} {output}\n")
        self._process.stdin.flush()
        return self._read()

    def ended(self) -> int:
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crowd(20, events=100).write(tmp_path_factory.mktemp("killed") / "tables")


@pytest.fixture(scope="module")
def worker(tables: Path) -> Iterator[Worker]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER, str(tables)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        yield Worker(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def earlier(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that lies where the killed builds write theirs."""
    folder = tmp_path_factory.mktemp("earlier") / "cohort"
    make_cohort("mimic-iv", tables, folder, note_policy="full")
    return folder


@pytest.fixture(scope="module")
def cohorts(tables: Path, earlier: Path) -> Cohorts:
    later = earlier.with_name("later")
    make_cohort("mimic-iv", tables, later, note_policy="full", window="first-24h")
    before, after = digests(earlier), digests(later)
    assert before != after
    return before, after


def is_whole(output: Path, cohorts: Cohorts) -> bool:
    """Whether there is an output; what there is must be whole, and readable."""
    if not output.exists():
        return False
    assert digests(output) in cohorts
    names = {"README.md", "data", "groups.parquet", "provenance.json", "vocabulary.json"}
    assert {path.name for path in output.iterdir()} == names
    load_examples(output)
    return True


def finish(tables: Path, output: Path, expected: dict[str, str]) -> None:
    """The next build gives the expected bytes and leaves nothing of the killed one."""
    make_cohort("mimic-iv", tables, output, note_policy="full", window="first-24h")
    assert digests(output) == expected
    assert [path.name for path in output.parent.iterdir()] == [output.name]


@pytest.mark.parametrize(
    ("appeared", "later"),
    [("scratch", 0), ("scratch", 0.1), ("data/train.parquet", 0), ("provenance.json", 0)],
)
def test_killed_while_it_reads_and_writes(
    worker: Worker,
    tables: Path,
    cohorts: Cohorts,
    tmp_path: Path,
    appeared: str,
    later: float,
) -> None:
    output = tmp_path / "out" / "cohort"
    output.parent.mkdir()
    build = worker.start(output)
    waited = output.parent / "cohort.partial" / appeared
    while not waited.exists():
        time.sleep(0.0005)
    time.sleep(later)
    os.kill(build, signal.SIGKILL)
    assert worker.ended() == -signal.SIGKILL
    assert not output.exists()
    finish(tables, output, cohorts[1])


def test_killed_before_every_move_and_removal(
    worker: Worker, tables: Path, earlier: Path, cohorts: Cohorts, tmp_path: Path
) -> None:
    output, seen = tmp_path / "out" / "cohort", []
    damaged = shutil.copytree(tables, tmp_path / "damaged")
    (damaged / "icu" / "icustays.csv.gz").write_bytes(b"")
    for point in range(100):
        shutil.copytree(earlier, output)
        worker.start(output, point)
        if worker.ended() == 0:
            break
        seen.append(digests(output) if is_whole(output, cohorts) else None)
        if seen[-1] is None:  # killed between the two moves: the earlier cohort comes back, whatever happens next
            with pytest.raises(InputDataError):
                make_cohort("mimic-iv", damaged, output, note_policy="full")
            assert digests(output) == cohorts[0]
        finish(tables, output, cohorts[1])
        shutil.rmtree(output)
    # The earlier cohort is there until it is moved away, and the new one from then on.
    moved = seen.index(None)
    assert seen == [cohorts[0]] * moved + [None] + [cohorts[1]] * (len(seen) - moved - 1)
    assert moved >= 3
    assert len(seen) >= moved + 2
