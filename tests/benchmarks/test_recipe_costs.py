"""What recipes take: the counts are those of real steps, and the page says what the result says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from tiny_steps import SIZES, lora_config, phase_settings, real_batch, real_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import model_flops
import recipe_costs as benchmark
from step_costs import step_operations

from trainers.model_size import laid_out
from trainers.phase_config import parse_phase_config
from trainers.phases import phase_named
from trainers.step_memory import CountedModel

BOTH = phase_named("multimodal")


@pytest.mark.parametrize("phase", ["note", "multimodal"])
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_operations_are_those_that_a_real_step_has(kind: str, phase: str, make_model: Any, tmp_path: Path) -> None:
    chosen = lora_config(make_model, kind, disease_head=True, knowledge_fusion="gated")
    found = step_operations(CountedModel(laid_out(chosen)), phase_named(phase), phase_settings(tmp_path), SIZES)
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


def test_operations_of_t5_are_those_that_its_shape_has(make_model: Any, tmp_path: Path) -> None:
    chosen = lora_config(make_model, "t5")
    found = step_operations(CountedModel(laid_out(chosen)), phase_named("note"), phase_settings(tmp_path), SIZES)
    text = T5Config(**chosen.text_config.to_dict())
    bare = model_flops.forward_flops(text, SIZES.batch, SIZES.source, SIZES.target)
    adapters = found.forward - bare
    assert 0 < adapters < 0.5 * bare


def test_what_is_computed_again_is_work(make_model: Any, tmp_path: Path) -> None:
    counted = CountedModel(laid_out(lora_config(make_model, "llama")))
    more = step_operations(counted, BOTH, phase_settings(tmp_path, activation_checkpointing=True), SIZES)
    less = step_operations(counted, BOTH, phase_settings(tmp_path), SIZES)
    assert more.forward == less.forward
    # But for the head, which is large in so small a model.
    assert more.backward > less.backward + 0.5 * less.forward


def test_usual_sizes_are_those_of_batches() -> None:
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
    assert [(one["backbone"], one["recipe"]) for one in result["recipes"]] == benchmark.recipes()
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
    assert [(one["backbone"], one["recipe"], one["phase"]) for one in result["checks"]] == [
        (*recipe, phase) for recipe in benchmark.CHECKED for phase in ("note", "lab", "multimodal")
    ]
    assert all(0.8 < one["ratio"] < 1.25 for one in result["checks"])
    for one in (*result["recipes"], *result["checks"]):
        assert one["commit"]
        assert "dirty" not in one["commit"]


def test_the_page_says_how_close_the_memory_of_a_real_step_is() -> None:
    checks = benchmark.read_json(benchmark.RESULT)["checks"]
    ratios = sorted({f"{one['grown'] / one['expected']:.2f}" for one in checks})
    said = " to ".join(dict.fromkeys((ratios[0], ratios[-1])))
    page = (benchmark.ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert f"grew by {said} times the estimate" in " ".join(page.split())


def test_a_card_is_read() -> None:
    assert benchmark.Card.parse("H100:80:989:67") == benchmark.Card("H100", 80, 989, 67)
