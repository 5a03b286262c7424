"""Launch configurations, and what of them is refused: models divided without GPUs, and a precision of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file
from tiny_training import arguments, fitting

from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.errors import SettingsError
from trainers import precision
from trainers.division import BY_LAUNCHER, require_division_possible
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.run_phase import train_phase

LAUNCH = Path(__file__).parents[2] / "recipes" / "launch"
KINDS = {
    "ddp": DistributedType.MULTI_GPU,
    "fsdp": DistributedType.FSDP,
    "zero2": DistributedType.DEEPSPEED,
    "zero3": DistributedType.DEEPSPEED,
}


def test_each_shipped_configuration_is_one_that_accelerate_reads() -> None:
    assert {path.stem for path in LAUNCH.iterdir()} == set(KINDS)
    for name, kind in KINDS.items():
        # An unknown key is refused by accelerate.
        config = load_config_from_file(str(LAUNCH / f"{name}.yaml"))
        assert config.distributed_type == kind
        # The phase's to say.
        assert config.mixed_precision is None
        if name.startswith("zero"):
            assert config.deepspeed_config["zero_stage"] == int(name[-1])
        # What is saved at the end is the whole model.
        assert config.fsdp_config.get("fsdp_state_dict_type", "FULL_STATE_DICT") == "FULL_STATE_DICT"
        assert config.deepspeed_config.get("zero3_save_16bit_model", True)


@pytest.mark.parametrize("name", BY_LAUNCHER)
def test_a_launcher_that_would_divide_a_model_without_gpus_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args: Any = arguments(NoteConfig, tmp_path)
    require_division_possible(args)
    monkeypatch.setenv(name, "true")
    with pytest.raises(SettingsError, match="several GPUs"):
        require_division_possible(args)


@pytest.mark.parametrize(
    ("launcher", "phase"), [("bf16", {}), ("fp8", {}), ("fp16", {"bf16": True}), ("fp8", {"bf16": True})]
)
def test_a_launcher_of_another_precision_than_the_phase_is_refused(
    launcher: str,
    phase: dict[str, Any],
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(precision.BY_LAUNCHER, launcher)
    args = arguments(NoteConfig, tmp_path, **phase)
    if not phase:
        # Nothing in the settings says so, and transformers would compute in it.
        assert args.mixed_precision == launcher
    with pytest.raises(SettingsError, match=f"launcher's mixed_precision is {launcher}, but") as caught:
        NoteTrainer(built[0], args, cohort["train"], **fitting(built[1], cohort))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("launcher", "phase", "used"),
    [("no", {}, "no"), ("no", {"bf16": True}, "bf16"), ("bf16", {"bf16": True}, "bf16"), (None, {}, "no")],
)
def test_a_phase_computes_in_its_own_precision(
    launcher: str | None,
    phase: dict[str, Any],
    used: str,
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if launcher is None:
        monkeypatch.delenv(precision.BY_LAUNCHER, raising=False)
    else:
        monkeypatch.setenv(precision.BY_LAUNCHER, launcher)
    args = arguments(NoteConfig, tmp_path, **phase)
    trainer = NoteTrainer(built[0], args, cohort["train"], **fitting(built[1], cohort))
    assert trainer.accelerator.mixed_precision == used


def test_the_refused_precision_is_said_before_a_model_is_read(
    cohort: CohortSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "note.yaml").write_text("max_steps: 1\n")
    monkeypatch.setenv(precision.BY_LAUNCHER, "fp16")
    with pytest.raises(SettingsError, match=r"note.yaml: the launcher's mixed_precision is fp16"):
        train_phase("note", tmp_path / "out", cohort=cohort, start=tmp_path / "none", config=tmp_path / "note.yaml")
    assert not (tmp_path / "out").exists()
