"""What recipes take: the counts are those of real steps, and the page says what the result says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import model_flops
import recipe_costs as benchmark
from step_costs import CountedModel, LiveBytes, Sizes

from modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.phase_config import parse_phase_config
from trainers.phases import phase_named

LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}
# As many target tokens as the head is given at once, so that it is given no others.
SIZES = Sizes(batch=4, source=40, patches=16, target=128)


def settings(**values: Any) -> Any:
    return SimpleNamespace(
        **{"bf16": False, "activation_checkpointing": False, "train_backbone": False, "average_share": 0.0, **values}
    )


@pytest.fixture
def config(make_model: Any) -> Any:
    def build(kind: str, **fields: Any) -> Any:
        made = make_model(kind, lora=False, **fields).config
        made.lora, made.credentialed = dict(LORA), False
        return made

    return build


def real_batch(config: Any) -> dict[str, torch.Tensor]:
    steps = SIZES.patches * config.lab_patch_steps
    return {
        "input_ids": torch.randint(60, 200, (SIZES.batch, SIZES.source)),
        "attention_mask": torch.ones(SIZES.batch, SIZES.source, dtype=torch.long),
        "lab_features": torch.randn(SIZES.batch, steps, 11, 4),
        "lab_mask": torch.ones(SIZES.batch, steps, dtype=torch.bool),
        "labels": torch.randint(60, 200, (SIZES.batch, SIZES.target)),
        "disease_targets": torch.zeros(SIZES.batch, len(config.diseases)),
    }


def real_model(config: Any, phase: str) -> ClinRaGenForConditionalGeneration:
    model, learns = ClinRaGenForConditionalGeneration(config), phase_named(phase).learns
    model.set_trainable(
        backbone=False,
        adapter=learns.language_model,
        lab_encoder=learns.lab_encoder,
        knowledge_attention=learns.knowledge_attention,
        disease_head=True,
    )
    return model.train()


@pytest.mark.parametrize("phase", ["note", "multimodal"])
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_operations_are_those_that_a_real_step_has(kind: str, phase: str, config: Any) -> None:
    chosen = config(kind, disease_head=True, knowledge_fusion="gated")
    found = CountedModel(chosen).operations(phase_named(phase), settings(), SIZES)
    model, batch = real_model(chosen, phase), real_batch(chosen)
    if phase == "note":
        del batch["lab_features"], batch["lab_mask"]
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        loss = model(**batch).loss
        forward = counter.get_total_flops()
        loss.backward()
    assert found.forward == forward
    assert found.backward == counter.get_total_flops() - forward
    # The weights are frozen: a whole backward pass would be twice the forward one.
    assert forward < found.backward < 1.8 * forward


def test_operations_of_t5_are_those_that_its_shape_has(config: Any) -> None:
    chosen = config("t5")
    found = CountedModel(chosen).operations(phase_named("note"), settings(), SIZES)
    text = T5Config(**chosen.text_config.to_dict())
    bare = model_flops.forward_flops(text, SIZES.batch, SIZES.source, SIZES.target)
    adapters = found.forward - bare
    assert 0 < adapters < 0.5 * bare


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_memory_is_about_that_of_a_real_step(kind: str, config: Any) -> None:
    chosen = config(kind, disease_head=True)
    phase = phase_named("multimodal")
    found = CountedModel(chosen).memory(phase, settings(), SIZES, fused=False)
    model, batch, live = real_model(chosen, "multimodal"), real_batch(chosen), LiveBytes()
    # Without any padding transformers makes no masks.
    batch["attention_mask"][0, -2:] = 0
    live.forget([*model.parameters(), *model.buffers(), *batch.values()])
    with live:
        model(**batch).loss.backward()
    assert found.activations == pytest.approx(live.peak, rel=0.1)
    assert found.weights == sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
    assert found.learned == sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert found.learning == 8 * found.learned
    assert found.whole == found.weights + found.learning + found.activations
    averaged = CountedModel(chosen).memory(phase, settings(average_share=0.5), SIZES, fused=False)
    assert averaged.learning == 12 * found.learned


def test_what_needs_less_memory_is_counted_so(config: Any) -> None:
    counted, phase = CountedModel(config("llama")), phase_named("multimodal")
    plain = counted.memory(phase, settings(), SIZES)
    again = counted.memory(phase, settings(activation_checkpointing=True), SIZES)
    half = counted.memory(phase, settings(bf16=True), SIZES)
    assert again.activations < 0.8 * plain.activations
    assert half.activations < plain.activations
    one = counted.memory(phase, settings(), Sizes(1, SIZES.source, SIZES.patches, SIZES.target))
    assert 3 < plain.activations / one.activations <= 4
    more = counted.operations(phase, settings(activation_checkpointing=True), SIZES)
    less = counted.operations(phase, settings(), SIZES)
    assert more.forward == less.forward
    # But for the head, which is large in so small a model.
    assert more.backward > less.backward + 0.5 * less.forward


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


def test_usual_sizes_are_those_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SimpleNamespace(
        max_source_tokens=1475, max_target_tokens=500, lab_max_steps=1000, lab_patch_steps=8, lab_layout="patches"
    )
    both, note = phase_named("multimodal"), phase_named("note")
    mixed = benchmark.usual(settings, both, 8, grouped=False)
    alike = benchmark.usual(settings, both, 8, grouped=True)
    one = benchmark.usual(settings, both, 1, grouped=False)
    # The median of the notes is 739 tokens; the longest of eight is longer, one of a group is not.
    assert one.source < alike.source < 1.05 * one.source
    assert mixed.source > 1.5 * one.source
    assert one.target < alike.target == pytest.approx(mixed.target, rel=0.1)
    assert benchmark.usual(settings, note, 8, grouped=False).patches == 0
    settings.lab_layout = "paper"
    assert benchmark.usual(settings, both, 8, grouped=False).patches == 125


def test_the_result_is_of_the_recipes_there_are() -> None:
    result = benchmark.read_json(benchmark.RESULT)
    assert [(one["backbone"], one["recipe"]) for one in result["recipes"]] == [
        (backbone, kind) for backbone in benchmark.backbones() for kind in benchmark.KINDS
    ]
    for one in result["recipes"]:
        recipe = benchmark.load_recipe(ROOT / "recipes" / one["backbone"] / f"{one['recipe']}.yaml")
        for name, file in recipe.train.items():
            trained, found = parse_phase_config(file, use_cpu=True), one["phases"][name]
            assert found["file"] == str(file.resolve().relative_to(ROOT))
            assert found["batch"] == trained.per_device_train_batch_size
            assert found["parts"] == trained.gradient_accumulation_steps
            assert found["epochs"] == trained.num_train_epochs
            assert found["precision"] == ("bf16" if trained.bf16 else "fp32")
            assert found["activation_checkpointing"] == trained.activation_checkpointing
        assert one["memory"] == max(found["memory"]["all"] for found in one["phases"].values())
    for one in result["checks"]:
        assert 0.8 < one["ratio"] < 1.25


def test_the_page_says_how_close_the_memory_of_a_real_step_is() -> None:
    result = benchmark.read_json(benchmark.RESULT)
    page = (benchmark.ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert all(f"{one['grown'] / one['expected']:.2f}" in page for one in result["checks"])


def test_a_card_is_read() -> None:
    assert benchmark.Card.parse("H100:80:989:67") == benchmark.Card("H100", 80, 989, 67)
