"""Several processes that explain together: the same answers, and none outlives the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from command_line import children_of
from demo_server import wait_until
from hypothesis import given
from hypothesis import strategies as st

from clinragen.claims.sentences import Patient
from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer, Explanation
from clinragen.service import workers
from clinragen.service.workers import Workers
from modeling_clinragen.errors import InputDataError, StageError

CONFIG = ExplainConfig()
ONE_OF_TWO = """
import sys, time
from pathlib import Path
from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer
from clinragen.service.workers import Workers
if __name__ == "__main__":
    model = Path(sys.argv[1])
    two = Workers(Explainer.from_pretrained(model), model, ExplainConfig(), 2)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def patients(small_explainer: Explainer) -> list[Patient]:
    return [small_explainer.patient(f"Chief Complaint:\nfever for {days} days\n", None) for days in range(1, 8)]


@pytest.fixture(scope="module")
def two(small_explainer: Explainer, small_model: Path) -> Iterator[Workers]:
    both = Workers(small_explainer, small_model, CONFIG, 2)
    yield both
    both.close()


def process_of(both: Workers) -> int:
    """The other process."""
    (other,) = both._others
    return other.submit(os.getpid).result()


@given(patients=st.lists(st.integers(), max_size=40), count=st.integers(1, 9))
def test_shares_are_all_patients_in_order_and_even(patients: list[int], count: int) -> None:
    shares = workers._shares(patients, count)
    assert [one for share in shares for one in share] == patients
    sizes = [len(share) for share in shares]
    assert len(sizes) <= count
    assert max(sizes) - min(sizes) <= 1
    assert not patients or min(sizes) >= 1


def test_two_processes_explain_as_one_does(two: Workers, small_explainer: Explainer, patients: list[Patient]) -> None:
    assert process_of(two) != os.getpid()
    for some in (patients[:1], patients[:2], patients):
        found, alone = two.explain_many(some), small_explainer.explain_many(some)
        assert [one.text for one in found] == [one.text for one in alone]
        assert [one.diagnoses for one in found] == [one.diagnoses for one in alone]
        assert [one.patient.note for one in found] == [one.note for one in some]
    assert two.explain_many([]) == []


def test_a_process_that_ended_meanwhile_is_replaced(two: Workers, patients: list[Patient]) -> None:
    before = process_of(two)
    os.kill(before, signal.SIGKILL)
    _until_gone(before)
    assert len(two.explain_many(patients)) == len(patients)
    assert process_of(two) != before


def test_what_a_process_was_at_when_it_ended_is_done_by_the_next(
    two: Workers, small_explainer: Explainer, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = two._others
    before = process_of(two)
    busy = other.submit(time.sleep, 600)
    whole = Explainer.explain_many

    def killed_meanwhile(self: Explainer, given: list[Patient]) -> list[Explanation]:
        os.kill(before, signal.SIGKILL)
        return whole(self, given)

    with monkeypatch.context() as changed:
        changed.setattr(Explainer, "explain_many", killed_meanwhile)
        found = two.explain_many(patients)
    assert isinstance(busy.exception(), BrokenProcessPool)
    assert process_of(two) != before
    assert [one.text for one in found] == [one.text for one in small_explainer.explain_many(patients)]


def test_another_process_says_why_it_cannot_load_the_model(small_explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="there is no such folder"):
        Workers(small_explainer, tmp_path / "gone", CONFIG, 2)


def test_too_little_memory_for_so_many_is_one_line(
    small_explainer: Explainer, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python itself ends at once, as where memory is short.
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(StageError, match="2 models may need more memory than there is: give fewer --processes"):
        Workers(small_explainer, small_model, CONFIG, 2)


def test_none_outlives_the_first(small_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ONE_OF_TWO)
    first = subprocess.Popen([sys.executable, str(script), str(small_model)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    others = children_of(first.pid)
    assert others
    first.kill()
    first.wait()
    for other in others:
        _until_gone(other)


def _until_gone(number: int) -> None:
    wait_until(lambda: _over(number), 30)


def _over(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    # Ended, though nobody has asked how.
    return state == "Z"
