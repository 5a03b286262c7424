"""The example script of each phase, run one after the other on a tiny cohort."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.storage.files import read_json

EXAMPLES = Path(__file__).parents[2] / "examples"


def script(name: str) -> Callable[..., None]:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable[..., None] = module.main
    return main


def test_the_three_phases_by_their_scripts(
    tiny_run: Path, make_model: Any, tiny_tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tmp_path / "backbone"
    make_model("t5").language_model.save_pretrained(backbone)
    tiny_tokenizer.save_pretrained(backbone)
    cohort = tiny_run / "rationales"
    script("note_trainer")(str(cohort), str(tiny_run / "knowledge"), str(backbone), str(tmp_path / "note"), "2")
    script("lab_trainer")(str(cohort), str(tmp_path / "note"), str(tmp_path / "lab"), "2")
    script("multimodal_trainer")(str(cohort), str(tmp_path / "lab"), str(tmp_path / "both"), "2")
    for name, phase in (("note", "note"), ("lab", "lab"), ("both", "multimodal")):
        assert read_json(tmp_path / name / "config.json")["phase"] == phase
    said = capsys.readouterr().out
    assert "eval_loss" in said
    assert "checkpoint-" in said
