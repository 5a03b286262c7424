"""The memory of a training step that is counted without a model is that of a real step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_steps import SIZES, lora_config, phase_settings, real_batch, real_model

from trainers.model_size import laid_out
from trainers.phases import phase_named
from trainers.step_memory import CountedModel, LiveBytes, Sizes, ample_activations, held_in_phase

BOTH = phase_named("multimodal")


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_memory_is_within_a_tenth_of_that_of_a_real_step(kind: str, make_model: Any, tmp_path: Path) -> None:
    chosen = lora_config(make_model, kind, disease_head=True)
    found = CountedModel(laid_out(chosen)).memory(BOTH, phase_settings(tmp_path), SIZES, fused=False)
    model, batch, live = real_model(chosen, "multimodal"), real_batch(chosen), LiveBytes()
    # Without any padding transformers makes no masks.
    batch["attention_mask"][0, -2:] = 0
    live.forget([*model.parameters(), *model.buffers(), *batch.values()])
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
    with live:
        model(**batch).loss.backward()
    optimizer.step()
    assert found.activations == pytest.approx(live.peak, rel=0.1)
    held, learning = found.held, [one for one in model.parameters() if one.requires_grad]
    assert held.weights == sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
    assert held.learned == sum(one.numel() for one in learning)
    assert held.gradients == sum(one.grad.nbytes for one in learning if one.grad is not None)
    # Beside two numbers a weight AdamW counts its steps, once for each tensor.
    kept = sum(value.nbytes for state in optimizer.state.values() for value in state.values() if value.ndim)
    assert held.optimizer == kept
    assert found.whole == held.weights + held.optimizer + found.activations


def test_what_an_optimizer_keeps_is_counted(make_model: Any, tmp_path: Path) -> None:
    layout = laid_out(lora_config(make_model, "t5"))

    def kept(**values: Any) -> float:
        held = held_in_phase(layout, BOTH, phase_settings(tmp_path, **values))
        return held.optimizer / held.learned

    assert kept() == 8
    assert kept(average_share=0.5) == 12
    assert kept(optim="sgd") == 0
    assert 4 < kept(muon_learning_rate=0.01, train_backbone=True) < 8


def test_what_needs_less_memory_is_counted_so(make_model: Any, tmp_path: Path) -> None:
    counted = CountedModel(laid_out(lora_config(make_model, "llama")))
    plain = counted.memory(BOTH, phase_settings(tmp_path), SIZES)
    assert (
        counted.memory(BOTH, phase_settings(tmp_path, activation_checkpointing=True), SIZES).activations
        < 0.8 * plain.activations
    )
    assert counted.memory(BOTH, phase_settings(tmp_path, bf16=True), SIZES).activations < plain.activations
    one = counted.memory(BOTH, phase_settings(tmp_path), Sizes(1, SIZES.source, SIZES.patches, SIZES.target))
    assert 3 < plain.activations / one.activations <= 4


@pytest.mark.parametrize("kind", ["t5", "bart", "t5gemma", "opt", "qwen3"])
def test_what_is_ample_is_more_than_is_counted(kind: str, make_model: Any, tmp_path: Path) -> None:
    layout = laid_out(lora_config(make_model, kind, disease_head=True, lab_summary=True))
    chosen = phase_settings(tmp_path, attn_implementation="eager", train_backbone=True)
    ample = ample_activations(layout, SIZES)
    counted = CountedModel(layout).memory(BOTH, chosen, SIZES)
    assert counted.activations < ample < 20 * counted.activations


def test_live_bytes_are_those_of_the_tensors_that_live() -> None:
    start = torch.zeros(256)
    live = LiveBytes()
    live.forget([start])
    with live:
        first = start + 1
        second = first * 2
        assert live.now == 2 * start.nbytes
        view = second[:10]
        del second
        assert live.now == 2 * start.nbytes
        del view, first
        assert live.now == 0
        torch.ones(8)
    assert live.peak == 2 * start.nbytes
