"""Launch configurations for models that are divided between GPUs, and what is refused without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file
from tiny_training import arguments

from modeling_clinragen.errors import SettingsError
from trainers.division import BY_LAUNCHER, require_division_possible
from trainers.note_trainer import NoteConfig

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
        assert config.mixed_precision == "bf16"
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
