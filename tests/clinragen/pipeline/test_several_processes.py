"""Commands that `torchrun` starts in several processes: one owns the output, and all share the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinragen.pipeline import train
from clinragen.pipeline.stage import Stage, StageKind
from clinragen.pipeline.synthesize import SynthesizeConfig
from dataset_builder.storage.files import read_json
from dataset_builder.storage.processes import Processes, processes_of
from modeling_clinragen.errors import SettingsError, StageError

LAUNCH = Path(__file__).parents[3] / "recipes" / "launch"
PROCESSES = 2
PROBE = "PROBED_WEIGHTS"


TORCHRUN = (
    *("torch.distributed.run", "--nproc-per-node", PROCESSES, "--rdzv-backend", "c10d"),
    *("--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
)
# The shipped file of data parallel training, as far as there can be without a GPU.
ACCELERATE = (
    *("accelerate.commands.launch", "--config_file", LAUNCH / "ddp.yaml", "--num_processes", PROCESSES),
    *("--cpu", "--mixed_precision", "no", "--main_process_port", 0),
)


def torchrun(*words: object, expected: int = 0, launcher: Sequence[object] = TORCHRUN, **environment: str) -> str:
    """Run this file's `main` in two processes; returns what they wrote to standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, (*launcher, __file__, *words))],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode != 0) == (expected != 0), done.stdout[-3000:]
    return done.stdout


def alone(*words: object) -> None:
    """Run the command in one process, which computes with as many threads as each of the two."""
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_phase_trained_by_two_processes_is_one_model(tiny_run: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "note"
    words = (
        *("train", "note", "--cohort", tiny_run / "rationales", "--config", tiny_recipe.parent / "phase.yaml"),
        *("--parent", tiny_run / "train" / "backbone", "--output", output),
    )
    said = torchrun(*words, **{PROBE: str(tmp_path)})
    # The first process alone speaks.
    assert said.count(f"train note: {output}") == 1
    assert names(output) == names(tiny_run / "train" / "note")
    assert names(tmp_path) == ["0.safetensors", "1.safetensors", "note", *(f"note/{name}" for name in names(output))]
    saved = load_file(output / "model.safetensors")
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(PROCESSES))
    before = load_file(tiny_run / "train" / "backbone" / "model.safetensors")
    for name, value in saved.items():
        assert torch.equal(first[name], value)
        assert torch.equal(second[name], value)
    assert any(not torch.equal(value, before[name]) for name, value in saved.items())
    assert [point["step"] for point in read_json(output / "curve.json") if "loss" in point] == [1, 2, 3, 4]
    # What is up to date is not trained again, however the processes are started.
    again = torchrun(*words, launcher=ACCELERATE, **{PROBE: str(tmp_path / "none")})
    assert again.count(f"train note: {output}") == 1


def test_a_test_set_that_two_processes_share_gives_the_same_results(tiny_run: Path, tmp_path: Path) -> None:
    trained = tiny_run / "train"
    words = (
        *("evaluate", "--cohort", tiny_run / "rationales", "--full", trained / "multimodal"),
        *("--labs-only", trained / "lab", "--batch-size", 4, "--baselines", "light"),
    )
    torchrun(*words, "--output", tmp_path / "two")
    alone(*words, "--output", tmp_path / "one")
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in ("metrics.json", "predictions.json", "patient.json", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_an_error_of_one_process_ends_both_with_one_line(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "phase.yaml").write_text("max_steps: 1\n")
    said = torchrun(
        *("train", "multimodal", "--cohort", tiny_run / "rationales", "--config", tmp_path / "phase.yaml"),
        *("--parent", tiny_run / "train" / "backbone", "--output", tmp_path / "out"),
        expected=1,
    )
    lines = [line for line in said.splitlines() if "starts from 'lab', but this checkpoint's last phase" in line]
    assert lines
    assert all(line.startswith("clinragen: ") for line in lines)
    assert not (tmp_path / "out").exists()


def test_a_stage_that_is_not_shared_runs_once(tmp_path: Path) -> None:
    said = torchrun("synthesize", "--patients", 5, "--output", tmp_path / "hospital")
    assert said.count("synthesize: ") == 1
    assert names(tmp_path) == ["hospital", *(f"hospital/{name}" for name in names(tmp_path / "hospital"))]


# --- without torchrun


class Store:
    """A store within one process."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def set(self, name: str, value: str) -> None:
        self.held[name] = value.encode()

    def get(self, name: str) -> bytes:
        return self.held[name]

    def check(self, names: list[str]) -> bool:
        return all(name in self.held for name in names)

    def add(self, name: str, amount: int) -> int:
        self.set(name, str(int(self.held.get(name, b"0")) + amount))
        return int(self.held[name])

    def delete_key(self, name: str) -> None:
        del self.held[name]


def test_the_others_hear_of_an_error_and_it_is_the_one_that_is_raised() -> None:
    store = Store()
    first, second = (Processes(rank, 2, store=store) for rank in range(2))
    with pytest.raises(ZeroDivisionError), first.together():
        raise ZeroDivisionError
    with pytest.raises(StageError, match="another of the processes"), second.together():
        second.share()


def test_a_follower_does_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(train, "run", lambda config, inputs, output, report, processes: seen.append(output))
    store = Store()
    for number, said in ((1, {"folder": str(tmp_path)}), (2, {"ran": True})):
        store.set(f"{number}/0", json.dumps(said))
    kind = StageKind("a", SynthesizeConfig, train.__name__, together=True)
    stage = Stage(kind, SynthesizeConfig(), {}, tmp_path / "out", processes=Processes(1, 2, store=store))
    assert stage.run()
    assert seen == [tmp_path]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ""},
    ],
)
def test_half_a_launch_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="as torchrun sets them"):
        processes_of(environment)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {"RANK": "0"}])
def test_one_process_is_alone(environment: dict[str, str]) -> None:
    processes = processes_of(environment)
    assert (processes.first, processes.count, processes.share({"a": (1,)})) == (True, 1, {"a": (1,)})


def main(command: Callable[[], Any]) -> None:
    """The command line; a training leaves every process's weights in the folder that `PROBE` names."""
    if PROBE in os.environ:
        from trainers import run_phase

        calibrate = run_phase.calibrate_head

        def probed(model: Any, *values: Any, **settings: Any) -> None:
            calibrate(model, *values, **settings)
            weights = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
            save_file(weights, Path(os.environ[PROBE]) / f"{os.environ['RANK']}.safetensors")

        run_phase.calibrate_head = probed
    command()


if __name__ == "__main__":
    from clinragen.cli.main import main as command_line

    main(command_line)
