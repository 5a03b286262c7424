"""The settings of phases and models: every fault of a file is named before anything is built or trained."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.storage.config_fields import setting_types
from modeling_clinragen.errors import SettingsError
from trainers.model_config import ModelConfig, check_model_config, load_model_config
from trainers.phase_config import NOT_FOR_A_PHASE, PhaseConfig, check_phase_config, parse_phase_config
from trainers.phases import PHASES

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes" / "tiny-t5"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("learning_rat: 1\n", r"unknown setting 'learning_rat'; did you mean learning_rate\b.*\d+ settings"),
        ("attention: eager\n", r"unknown setting 'attention'.*see docs/settings.md"),
        ("max_steps: ten\n", "max_steps: expected a whole number, got 'ten'"),
        ("train_backbone: perhaps\n", "train_backbone: expected true or false, got 'perhaps'"),
        ("learning_rate: -0.1\n", "learning_rate: expected a number of at least 0, got -0.1"),
        ("per_device_train_batch_size: 0\n", r"expected a whole number of at least 1 \(examples\), got 0"),
        ("env: {PATH: x}\n", "env: leave it out; a phase sets no environment variables"),
        ("attn_implementation: kernels-community/flash-attn\n", "attn_implementation: expected one of eager"),
        ("- 1\n", "expected settings"),
        ("", "expected settings .*, got nothing"),
        ("max_steps: [1", "not a readable YAML file"),
        ("max_steps: 1\nmax_steps: 2\n", r"'max_steps' is given twice \(line 2\); keep one"),
        ("seed: 3\n", "seed: leave it out; give the run's seed as --seed"),
        ("output_dir: here\n", "output_dir: leave it out; the stage decides"),
        ("report_to: foo\n", "report_to: expected none, or .*; got 'foo'"),
        ("attn_implementation: foo\n", "attn_implementation: expected one of eager, .*sdpa.*, got 'foo'"),
        ("label_smoothing_factor: 0.1\n", "label_smoothing_factor: needs logits"),
        ("learning_rate: .nan\n", "learning_rate: expected a number of at least 0, got 'nan'"),
        ("load_best_model_at_end: true\n", "requires the save and eval strategy to match"),
        (
            "per_device_eval_batch_size: 0\n",
            "per_device_eval_batch_size: expected a whole number of at least 1, got 0",
        ),
        ("gradient_accumulation_steps: 0\n", "gradient_accumulation_steps: expected a whole number of at least 1"),
        ("adam_beta1: 1\n", "adam_beta1: expected a number of at least 0, below 1, got 1"),
        ("max_grad_norm: .nan\n", "max_grad_norm: expected a number"),
        ("num_train_epochs: .inf\n", "num_train_epochs: expected a number"),
        (
            "resume_from_checkpoint: old\n",
            "resume_from_checkpoint: leave it out; the same command, run again, resumes",
        ),
        ("do_train: false\n", "do_train: leave it out; a phase always trains"),
        ("predict_with_generate: true\n", "predict_with_generate: leave it out; .*`clinragen evaluate` scores"),
        ("push_to_hub: true\n", "push_to_hub: leave it out; .*push the finished model"),
        ("metric_for_best_model: f1\n", "metric_for_best_model: expected loss, .*got 'f1'"),
        ("deepspeed: none.json\n", "deepspeed is not installed"),
        ("accelerator_config: none.json\n", r"none\.json cannot be read"),
    ],
)
def test_a_faulty_phase_file_is_named(content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(content)
    with pytest.raises(SettingsError, match=rf"(?s)odd\.yaml.*{fault}"):
        check_phase_config("note", tmp_path / "odd.yaml")


def test_whatever_would_be_ignored_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    for name, cure in NOT_FOR_A_PHASE.items():
        # A name that transformers no longer has would never be asked for.
        assert name == "env" or name in setting_types(PhaseConfig)
        (tmp_path / "odd.yaml").write_text(f"{name}: 1\n")
        with pytest.raises(SettingsError, match=rf"odd\.yaml: {name}: leave it out; {re.escape(cure)}$"):
            check_phase_config("note", tmp_path / "odd.yaml")


def test_a_missing_file_and_an_unknown_phase_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: is missing"):
        check_phase_config("note", tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match=r"none\.yaml: is missing"):
        check_model_config(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="unknown phase 'fourth'; choose one of backbone, note, lab, multimodal"):
        check_phase_config("fourth", tmp_path / "none.yaml")


def test_overrides_win_over_the_file_and_fixed_values_over_both(tmp_path: Path) -> None:
    (tmp_path / "note.yaml").write_text("max_steps: 3\nlearning_rate: 1e-4\nreport_to: none\n")
    overrides = ["--max-steps", "7", "--train_backbone", "--attn-implementation=sdpa"]
    config = parse_phase_config(tmp_path / "note.yaml", overrides, output_dir=tmp_path / "out", use_cpu=True, seed=9)
    assert (config.max_steps, config.learning_rate, config.seed, config.train_backbone) == (7, 1e-4, 9, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["--max_steps", "ten"], "--max_steps: expected a whole number, got 'ten'"),
        (["--max-steps=ten"], "--max-steps: expected a whole number, got 'ten'"),
        (["--learning-rate", "-5"], "--learning-rate: expected a number of at least 0, got -5.0"),
        (["--learning-rat", "1"], "--learning-rat: no option of train .*did you mean --learning-rate"),
        (["--parnet", "1"], "--parnet: no option of train .*see docs/settings.md"),
        (["--output-dir", "x"], "--output-dir: leave it out; the stage decides"),
        (["--resume-from-checkpoint=x"], "--resume-from-checkpoint: leave it out; the same command, run again"),
        (["--report-to", "foo"], "--report-to: expected none, or"),
        (["--max-steps"], "--max-steps: expected one argument"),
        (["7"], "'7' is not an option"),
    ],
)
def test_a_faulty_override_is_named_as_it_was_typed(overrides: list[str], fault: str, tmp_path: Path) -> None:
    (tmp_path / "note.yaml").write_text("max_steps: 3\n")
    with pytest.raises(SettingsError, match=f"^{fault}"):
        parse_phase_config(tmp_path / "note.yaml", overrides, output_dir=tmp_path, use_cpu=True, bf16=False)


def test_checking_a_shipped_recipe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for phase in PHASES:
        check_phase_config(phase.name, RECIPES / f"{phase.name}.yaml")
    check_model_config(RECIPES / "model.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("scratch: t5.json\nlab_width: wide\n", "lab_width: expected a whole number from 1 to 65536, got 'wide'"),
        (
            "scratch: t5.json\nlab_width: 10000000\n",
            "lab_width: expected a whole number from 1 to 65536, got 10000000",
        ),
        ("scratch: t5.json\nlora_r: 1000000\n", "lora_r: expected a whole number from 1 to 65536, got 1000000"),
        ("scratch: t5.json\nvocab_size: 1000000000\n", "vocab_size: expected a whole number from 1 to 1000000, got"),
        ("scratch: t5.json\nlora_dropout: 2\n", "lora_dropout: expected a number from 0 to 1, got 2"),
        ("scratch: t5.json\nlayout: sideways\n", "layout: expected one of diagnosis-first, rationale-first"),
        ("scratch: t5.json\nlora_targets: q\n", "lora_targets: expected a list of texts or all-linear, got 'q'"),
        ("scratch: t5.json\nlab_with: 8\n", "unknown setting 'lab_with'"),
        ("scratch: t5.json\nlab_width: 33\n", "lab_width: 33 is not an even multiple of the 4 of lab_heads"),
        ("scratch: t5.json\nlab_width: 9\nlab_heads: 3\n", "lab_width: 9 .* for example 12"),
        ("scratch: t5.json\n", r"t5\.json: is missing"),
        ("scratch: empty.json\n", r"empty\.json: expected a language model's config with its model_type"),
        ("backbone: google/flan-t5-small\n", r"odd\.yaml: backbone: google/flan-t5-small: there is no such folder"),
        ("backbone: hf:flan\n", "write hf://owner/name"),
        ("lab_width: 8\n", "either a backbone or a scratch"),
    ],
)
def test_a_faulty_model_file_is_named(content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(content)
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(SettingsError, match=fault) as caught:
        check_model_config(tmp_path / "odd.yaml")
    assert str(tmp_path) in str(caught.value)


def test_a_scratch_file_is_resolved_beside_its_model_file(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("scratch: t5.json\n")
    assert load_model_config(tmp_path / "model.yaml").scratch == tmp_path / "t5.json"


def test_a_model_config_made_in_python_is_checked() -> None:
    with pytest.raises(SettingsError, match="either a backbone or a scratch"):
        ModelConfig()
    with pytest.raises(SettingsError, match="lab_heads: expected a whole number from 1 to 1024, got 0"):
        ModelConfig(backbone="t5-small", lab_heads=0)
    with pytest.raises(SettingsError, match="diagnosis_weight: expected a number of at least 0, got -1"):
        PhaseConfig(output_dir="unused", use_cpu=True, diagnosis_weight=-1.0)


@pytest.mark.parametrize("kind", [ModelConfig, PhaseConfig])
def test_every_setting_of_ours_has_a_help_sentence(kind: Any) -> None:
    own = [field for field in fields(kind) if field.name in kind.__annotations__]
    assert len(own) >= 10
    assert all(field.metadata["help"].endswith((".", ".)")) for field in own)
