"""Errors of libraries: those that a user can cause become one line with a cure, all others keep their traceback."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT, SCRIPT, fails_with_one_line, in_process

from clinragen.cli import main as program
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.library_errors import TABLE, library_errors_named, raised_in, user_error

Case = Callable[..., list[Any]]


@pytest.fixture
def training(tiny_run: Path, tiny_recipe: Path, tmp_path: Path) -> Case:
    """The words that train a phase with changed settings of the phase; or of a new model."""

    def words(changed: dict[str, Any], *, model: bool = False, output: Path | None = None) -> list[Any]:
        for name in ("phase.yaml", "model.yaml", "t5.json"):
            (tmp_path / name).write_bytes((tiny_recipe.parent / name).read_bytes())
        file = tmp_path / ("model.yaml" if model else "phase.yaml")
        content = {**yaml.safe_load(file.read_text()), **changed}
        file.write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
        start = ["--model", tmp_path / "model.yaml", "--knowledge", tiny_run / "knowledge"]
        return [
            *("train", "backbone" if model else "note", "--config", tmp_path / "phase.yaml"),
            *("--cohort", tiny_run / "rationales", "--output", output or tmp_path / "out"),
            *(start if model else ("--parent", tiny_run / "train" / "backbone")),
        ]

    return words


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"report_to": "wandb"}, ("report_to", "wandb")),
        ({"report_to": "mlflow"}, ("report_to", "mlflow")),
        ({"deepspeed": "ds.json"}, ("deepspeed is not installed",)),
        ({"optim": "galore_adamw"}, ("galore_torch is not installed",)),
        ({"use_liger_kernel": True}, ("liger-kernel is not installed",)),
        ({"learning_rate": float("nan")}, ("learning_rate", "of at least 0")),
        ({"learning_rate": -1}, ("learning_rate", "-1")),
        ({"per_device_train_batch_size": 0}, ("per_device_train_batch_size", "at least 1")),
        ({"per_device_eval_batch_size": 0}, ("per_device_eval_batch_size", "at least 1")),
        ({"gradient_accumulation_steps": 0}, ("gradient_accumulation_steps", "at least 1")),
        ({"dataloader_num_workers": -1}, ("dataloader_num_workers", "at least 0")),
        ({"fsdp": "full_shard"}, ("fsdp", "torchrun")),
        ({"accelerator_config": "none.json"}, ("none.json", "check the path")),
        ({"generation_config": "nobody/nothing"}, ("generation_config", "leave it out")),
        ({"lr_scheduler_kwargs": '{"curve": 1}'}, ("lr_scheduler_kwargs", "curve")),
        (
            {"metric_for_best_model": "beauty", "load_best_model_at_end": True},
            ("metric_for_best_model", "expected loss", "got 'beauty'"),
        ),
        (
            {"activation_checkpointing": True, "activation_checkpointing_kwargs": '{"speed": 1}'},
            ("activation_checkpointing_kwargs", "speed"),
        ),
    ],
)
def test_a_phase_that_cannot_work(training: Case, changed: dict[str, Any], parts: tuple[str, ...]) -> None:
    fails_with_one_line(in_process(*training(changed)), "phase.yaml", *parts)


def test_a_phase_that_would_push_says_so(training: Case) -> None:
    fails_with_one_line(in_process(*training({"push_to_hub": True})), "push_to_hub", "leave it out")


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"lab_width": 33, "lab_heads": 4}, ("model.yaml", "lab_width: 33", "lab_heads", "32")),
        ({"lab_width": 9, "lab_heads": 3}, ("model.yaml", "even multiple", "12")),
        ({"scratch": None, "backbone": "none"}, ("backbone", "none", "no such folder")),
        ({"knowledge_heads": 10**9}, ("model.yaml", "knowledge_heads", "from 1 to 1024")),
    ],
)
def test_a_model_that_cannot_be(training: Case, changed: dict[str, Any], parts: tuple[str, ...]) -> None:
    fails_with_one_line(in_process(*training(changed, model=True)), *parts)


@pytest.mark.parametrize("kilobytes", [60, 700])
def test_a_disk_that_is_full_while_a_checkpoint_is_written(training: Case, tmp_path: Path, kilobytes: int) -> None:
    small = tmp_path / "small"
    small.mkdir()
    size = f"size={kilobytes}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        fails_with_one_line(in_process(*training({}, output=small / "out")), str(small), "disk is full")
        assert not (small / "out").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_checkpoint_that_is_larger_than_a_file_may_be(training: Case, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(SCRIPT), *map(str, training({}))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    fails_with_one_line(done, "out", "larger than", "ulimit -f")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["header", "page"])
def test_a_cohort_whose_bytes_are_damaged(tiny_run: Path, tmp_path: Path, place: str) -> None:
    cohort = tmp_path / "cohort"
    (cohort / "data").mkdir(parents=True)
    for path in (tiny_run / "build").rglob("*"):
        if path.is_file():
            (cohort / path.relative_to(tiny_run / "build")).write_bytes(path.read_bytes())
    file = cohort / "data" / "train.parquet"
    content = bytearray(file.read_bytes())
    # The end holds the layout, the rest compressed pages, which are read only when they are reached.
    start = len(content) - 600 if place == "header" else 200
    content[start : start + 400] = bytes(byte ^ 0x5A for byte in content[start : start + 400])
    file.write_bytes(content)
    done = in_process("rationales", "--cohort", cohort, "--output", tmp_path / "out")
    fails_with_one_line(done, str(file), "not a readable parquet file", "build the cohort again")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "processor_config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", ["[]", "null", '"a"', '{"a": ', "[" * 100_000])
def test_a_damaged_file_of_a_model_is_named(tiny_run: Path, tmp_path: Path, name: str, content: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in (tiny_run / "model").iterdir():
        (model / path.name).symlink_to(path)
    (model / name).unlink()
    (model / name).write_text(content)
    (tmp_path / "note.txt").write_text("Fever.")
    fault = (str(model / name), "not a readable JSON object")
    fails_with_one_line(in_process("predict", model, "--note", tmp_path / "note.txt"), *fault)
    evaluation = ("evaluate", "--cohort", tiny_run / "rationales", "--full", model, "--output", tmp_path / "out")
    fails_with_one_line(in_process(*evaluation), *fault)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_of_a_model_that_says_nothing_is_no_traceback(tiny_run: Path, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in (tiny_run / "model").iterdir():
        (model / path.name).symlink_to(path)
    (model / name).unlink()
    (model / name).write_text("{}")
    evaluation = ("evaluate", "--cohort", tiny_run / "rationales", "--full", model, "--output", tmp_path / "out")
    fails_with_one_line(in_process(*evaluation), "tokenizer" if name.startswith("tokenizer_") else str(model))


def test_a_database_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg.conninfo", None)
    words = ("build", "mimic-iv", "--note-policy", "full", "--root", "postgresql://localhost/mimic")
    fails_with_one_line(in_process(*words, "--output", tmp_path / "out"), "pip install 'clinragen[postgres]'")


def test_what_is_not_known_as_a_user_s_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> int:
        raise ZeroDivisionError("a fault of the program")

    monkeypatch.setattr(program, "app", broken)
    with pytest.raises(ZeroDivisionError):
        program.main()


def test_only_known_errors_are_told_and_only_from_where_they_come() -> None:
    for error in (ValueError("no"), KeyError("no"), OSError(errno.ENOENT, "gone", "x"), RuntimeError("CUDA")):
        assert user_error(error) is None
    # The text of torch's, but raised here.
    mine = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1 vs 0")
    try:
        raise mine
    except RuntimeError:
        assert user_error(mine) is None
        assert raised_in(mine, __name__)
    told = user_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.bin"))
    assert str(told) == "a.bin: the disk is full; free some space and run again"
    kept = InputDataError("as it is")
    assert user_error(kept) is kept
    assert all(";" in known.message for known in TABLE)


def test_an_error_is_named_after_what_it_is_about() -> None:
    folder, file = Path("out"), Path("phase.yaml")
    with pytest.raises(InputDataError, match=r"^out: the disk is full"), library_errors_named(folder, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputDataError, match=r"^out/a\.bin: the disk is full"), library_errors_named(folder, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here.bin", None, "out/a.bin")
    missing = ImportError("No module named 'gradio'")
    with (
        pytest.raises(SettingsError, match=r"^phase\.yaml: gradio is not installed"),
        library_errors_named(folder, file),
    ):
        raise missing
    with pytest.raises(ZeroDivisionError), library_errors_named(folder, file):
        raise ZeroDivisionError


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    done = in_process("recipe", "check", tmp_path / "a\x1b[2Jb\nc\u202e.yaml")
    fails_with_one_line(done, "\ufffd[2Jb c\ufffd.yaml")


def test_a_number_of_any_length_is_told(tiny_recipe: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(tiny_recipe.read_text())
    content["synthesize"]["patients"] = 10**400
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    done = in_process("recipe", "check", tmp_path / "recipe.yaml")
    fails_with_one_line(done, "synthesize: patients: expected a whole number from 1 to")
