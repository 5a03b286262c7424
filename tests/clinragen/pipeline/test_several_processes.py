"""Commands in several processes, as `torchrun` starts them: one owns the output, and all share the work."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import fails_with_one_line, in_process
from safetensors.torch import load_file, save_file

from dataset_builder.storage.files import PARTIAL, read_json

ROOT = Path(__file__).parents[3]
PROCESSES = 2
# For `main` below: the folder for every process's weights, and the process that is killed in the middle of a step.
PROBE = "PROBED_WEIGHTS"
KILLED = "KILLED_PROCESS"
KILLED_AFTER = 3


TORCHRUN = (
    *("torch.distributed.run", "--nproc-per-node", PROCESSES, "--rdzv-backend", "c10d"),
    *("--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
)
# One thread each, the loopback address, and where this file's imports are, in pytest's order.
LOCAL = {
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
}


def torchrun(*words: object, expected: int = 0, **environment: str) -> str:
    """Run this file's `main` in two processes; returns what they wrote to standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, (*TORCHRUN, __file__, *words))],
        env={**os.environ, **LOCAL, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode != 0) == (expected != 0), done.stdout[-3000:]
    return done.stdout


def one_process(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this file's `main` in a process of its own."""
    return subprocess.run(
        [sys.executable, __file__, *map(str, words)],
        env={**os.environ, **LOCAL, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def alone(*words: object) -> None:
    """Run the command in one process, which computes with as many threads as each of the two."""
    done = one_process(*words)
    assert done.returncode == 0, done.stderr[-3000:]


def without_launcher(*words: object, **environment: str) -> list[subprocess.CompletedProcess[str]]:
    """Run this file's `main` in two processes that nothing watches over; returns how each ended, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}

    def start(rank: int) -> subprocess.CompletedProcess[str]:
        return one_process(*words, **{**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank), **environment})

    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(start, range(PROCESSES)))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def losses(folder: Path) -> dict[float, float]:
    """The losses of a training, by step."""
    return {point["step"]: point["loss"] for point in read_json(folder / "curve.json") if "loss" in point}


def note_phase(tiny_run: Path, config: Path, output: Path) -> tuple[object, ...]:
    return (
        *("train", "note", "--cohort", tiny_run / "rationales", "--config", config),
        *("--parent", tiny_run / "train" / "backbone", "--output", output),
    )


@pytest.fixture(scope="module")
def halved(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny phase with half of the batch for each of two processes."""
    content = yaml.safe_load((tiny_recipe.parent / "phase.yaml").read_text())
    content["per_device_train_batch_size"] //= PROCESSES
    path = tmp_path_factory.mktemp("halved") / "phase.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def straight(tiny_run: Path, halved: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder "note" that two processes trained without an interruption, and what they said; their own weights are
    beside it.
    """
    folder = tmp_path_factory.mktemp("straight")
    said = torchrun(*note_phase(tiny_run, halved, folder / "note"), **{PROBE: str(folder)})
    return folder / "note", said


def test_a_phase_trained_by_two_processes_is_one_model(tiny_run: Path, halved: Path, straight: Any) -> None:
    output, said = straight
    folder = output.parent
    # The first process alone speaks.
    assert said.count(f"train note: {output}") == 1
    alone = tiny_run / "train" / "note"
    assert names(output) == names(alone)
    assert names(folder) == ["0.safetensors", "1.safetensors", "note", *(f"note/{name}" for name in names(output))]
    saved = load_file(output / "model.safetensors")
    first, second = (load_file(folder / f"{rank}.safetensors") for rank in range(PROCESSES))
    before = load_file(tiny_run / "train" / "backbone" / "model.safetensors")
    for name, value in saved.items():
        assert torch.equal(first[name], value)
        assert torch.equal(second[name], value)
    assert any(not torch.equal(value, before[name]) for name, value in saved.items())
    assert list(losses(output)) == [1, 2, 3, 4]
    assert losses(output) == pytest.approx(losses(alone), rel=1e-5)
    # What is up to date is not trained again, however the processes are started.
    written = (output / "model.safetensors").stat().st_mtime_ns
    assert in_process(*note_phase(tiny_run, halved, output)).returncode == 0
    assert (output / "model.safetensors").stat().st_mtime_ns == written


def test_a_training_that_lost_a_process_goes_on_with_as_many_or_one(
    tiny_run: Path,
    tiny_recipe: Path,
    halved: Path,
    straight: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    lost, left = without_launcher(*note_phase(tiny_run, halved, two), **{KILLED: "0"})
    assert lost.returncode == -signal.SIGKILL
    fails_with_one_line(left, "another of the processes that run this together has ended")
    checkpoints = two.with_name(two.name + PARTIAL) / "checkpoints"
    assert not two.exists()
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-2"]
    shutil.copytree(checkpoints.parent, one.with_name(one.name + PARTIAL))

    said = torchrun(*note_phase(tiny_run, halved, two))
    assert said.count(f"train note: {two}") == 1
    assert names(two) == names(straight[0])
    assert losses(two) == losses(straight[0])
    weights, straight_weights = (load_file(folder / "model.safetensors") for folder in (two, straight[0]))
    torch.testing.assert_close(weights, straight_weights, rtol=0, atol=0)

    # One process must have the whole batch.
    refused = in_process(*note_phase(tiny_run, halved, one))
    fails_with_one_line(refused, "checkpoint-2: was trained with 8 examples a step, and these settings give 4")
    with caplog.at_level(logging.INFO, "trainers.checkpoints"):
        assert in_process(*note_phase(tiny_run, tiny_recipe.parent / "phase.yaml", one)).returncode == 0
    assert "Resuming from checkpoint-2" in caplog.text
    assert losses(one) == pytest.approx(losses(straight[0]), rel=1e-5)


def test_a_test_set_that_two_processes_share_gives_the_same_results(tiny_run: Path, tmp_path: Path) -> None:
    trained = tiny_run / "train"
    words = (
        *("evaluate", "--cohort", tiny_run / "rationales", "--full", trained / "multimodal"),
        *("--labs-only", trained / "lab", "--batch-size", 2, "--texts", 4, "--baselines", "light"),
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


def main(command: Callable[[], Any]) -> None:
    """The command line; a training leaves every process's weights in the folder that `PROBE` names, and the process
    that `KILLED` names is killed in it.
    """
    if os.environ.get(KILLED) == os.environ.get("RANK", ""):
        from trainers.phase_trainer import PhaseTrainer

        training_step = PhaseTrainer.training_step

        def killed(trainer: Any, *values: Any, **settings: Any) -> Any:
            if trainer.state.global_step == KILLED_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)
            return training_step(trainer, *values, **settings)

        PhaseTrainer.training_step = killed
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
