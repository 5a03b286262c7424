"""What learns and what is learned, changed by settings: parts, targets, the draw of examples, an early end."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_training import arguments, changed, fitting, snapshot

from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.modeling_clinragen import IGNORED
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.phase_config import parse_phase_config
from trainers.sampling import EpochSeededWeightedSampler, balanced_weights

NAMES = {
    "language_model": "lora_",
    "lab_encoder": "lab_encoder.",
    "knowledge_attention": "knowledge_attention.",
}


@pytest.mark.parametrize(
    "parts", [["lab_encoder"], ["language_model"], ["knowledge_attention", "lab_encoder"], [*NAMES]]
)
def test_exactly_the_parts_that_are_named_learn(
    parts: list[str],
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
) -> None:
    model, processor = built
    before = snapshot(model)
    args = arguments(MultimodalConfig, tmp_path, learns=parts, allow_skipped_phases=True)
    MultimodalTrainer(model, args, cohort["train"], **fitting(processor, cohort)).train()
    moved = changed(model, before)
    assert {part for part, name in NAMES.items() if any(name in one for one in moved)} == set(parts)
    assert all(any(NAMES[part] in name for part in parts) for name in moved)


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"learns.*expected one of language_model, lab_encoder.*'encoder'"):
        arguments(MultimodalConfig, tmp_path, learns=["encoder"])


def test_without_rationales_a_target_is_the_list_and_needs_no_rationale(
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
) -> None:
    model, processor = built
    untaught = cohort["train"].map(lambda row: {**row, "rationale_note": ""})
    args = arguments(NoteConfig, tmp_path, rationale=False)
    trainer = NoteTrainer(model, args, untaught, untaught, **fitting(processor, cohort))
    for loader in (trainer.get_train_dataloader(), trainer.get_eval_dataloader()):
        for batch in loader:
            for labels in batch["labels"]:
                parsed = processor.parse(
                    processor.tokenizer.decode(labels[labels != IGNORED], skip_special_tokens=True)
                )
                assert parsed.rationale == ""
                assert parsed.problem is None or "rationale" in parsed.problem
    assert trainer.train().global_step == 3


def test_a_training_ends_early_with_the_best_model(
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
) -> None:
    model, processor = built
    args = arguments(
        NoteConfig,
        tmp_path,
        max_steps=40,
        train_backbone=True,
        learning_rate=0.3,
        lr_scheduler_type="constant",
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        early_stopping=2,
    )
    trainer = NoteTrainer(model, args, cohort["train"], cohort["validation"], **fitting(processor, cohort))
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert len(losses) == best + 3 < 40
    kept = load_file(tmp_path / "out" / f"checkpoint-{best + 1}" / "model.safetensors")
    state = model.state_dict()
    assert set(kept) <= set(state)
    for name, value in kept.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0, msg=name)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[best])


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ({"early_stopping": 1}, "eval strategy"),
        (
            {"early_stopping": 1, "eval_strategy": "steps", "save_strategy": "steps", "average_share": 0.5},
            "mean of many",
        ),
        (
            {"class_balance": 0.5, "train_sampling_strategy": "group_by_length"},
            "class_balance: draws examples by their",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(setting: dict[str, Any], fault: str, tmp_path: Path) -> None:
    lines = [*(f"{name}: {value}" for name, value in setting.items())]
    (tmp_path / "phase.yaml").write_text("\n".join(lines) + "\n")
    with pytest.raises(SettingsError, match=f"(?i){fault}"):
        parse_phase_config(tmp_path / "phase.yaml", output_dir=tmp_path / "out", use_cpu=True)


def test_a_diverged_training_names_step_rate_and_examples_and_no_patient(
    built: tuple[Any, Any],
    cohort: CohortSplits,
    tmp_path: Path,
) -> None:
    model, processor = built
    args = arguments(NoteConfig, tmp_path, max_steps=2, lr_scheduler_type="constant", warmup_steps=0)
    train = cohort["train"].select(range(8))
    trainer = NoteTrainer(model, args, train, **fitting(processor, cohort))
    rows = [batch["rows"].tolist() for batch in trainer.get_train_dataloader()]
    assert sorted(chain.from_iterable(rows)) == list(range(8))
    adapter = next(value for name, value in model.named_parameters() if "lora_B" in name)
    with torch.no_grad():
        adapter.fill_(float("nan"))
    with pytest.raises(StageError) as caught:
        trainer.train()
    said = re.search(
        r"loss of step 1 is nan \(learning rate 0.01, rows ([\d, ]+) of the training split\)", str(caught.value)
    )
    assert said is not None, str(caught.value)
    assert len(said[1].split(", ")) == 4
    ids = {str(value) for name in ("subject_id", "stay_id") if name in train.column_names for value in train[name]}
    assert not ids & set(re.findall(r"\w+", str(caught.value))) - {str(row) for row in range(8)}


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12), st.floats(0, 1))
def test_weights_follow_the_rarest_disease(labels: list[list[bool]], power: float) -> None:
    weights = balanced_weights(torch.tensor(labels, dtype=torch.float32), power).tolist()
    counts = Counter(place for row in labels for place, has in enumerate(row) if has)
    most = max(counts.values(), default=1)
    expected = [
        max((most / counts[place] for place, has in enumerate(row) if has), default=1.0) ** power for row in labels
    ]
    mean = sum(expected) / len(expected)
    assert weights == pytest.approx([one / mean for one in expected], rel=1e-4)


def test_rare_diseases_are_drawn_more_often_and_an_epoch_is_repeatable() -> None:
    labels = torch.zeros(1000, 2)
    labels[:, 0] = 1
    labels[:50, 1] = 1
    shares = []
    for power in (0.0, 0.5, 1.0):
        sampler = EpochSeededWeightedSampler(balanced_weights(labels, power), seed=3)
        first = list(sampler)
        assert first == list(sampler)
        assert len(first) == len(sampler) == 1000
        sampler.set_epoch(1)
        assert first != list(sampler)
        shares.append(sum(place < 50 for place in first) / 1000)
    assert shares[0] < 0.08 < shares[1] < 0.25 < 0.4 < shares[2] < 0.6


def test_the_trainer_draws_with_balance(built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path) -> None:
    model, processor = built
    args = arguments(NoteConfig, tmp_path, class_balance=1.0)
    trainer = NoteTrainer(model, args, cohort["train"], **fitting(processor, cohort))
    assert isinstance(trainer.get_train_dataloader().batch_sampler.sampler, EpochSeededWeightedSampler)
    trainer.train()
