"""PEFT around a model: its own adapters stay as they are, and every task type that fits can be trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, randomise, three_stays
from peft import (
    IA3Config,
    LoraConfig,
    PeftModel,
    PromptTuningConfig,
    get_peft_model,
    inject_adapter_in_model,
)

from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenModel

TARGETS_OF = {"t5": ["q", "v"], "bart": ["q_proj", "v_proj"], "qwen3": ["q_proj", "v_proj"]}
TASK_OF = {"t5": "SEQ_2_SEQ_LM", "bart": "SEQ_2_SEQ_LM", "qwen3": "CAUSAL_LM"}


@pytest.fixture
def batch(make_processor: Any, make_series: Any) -> dict[str, torch.Tensor]:
    """Three patients with their targets."""
    return dict(make_processor()(NOTES, three_stays(make_series), TARGETS))


def lora(kind: str = "t5", **settings: Any) -> LoraConfig:
    """Adapters where the model's own ones are."""
    return LoraConfig(r=2, **{"target_modules": TARGETS_OF[kind], **settings})


def _saved(model: Any, folder: Path) -> Path:
    # PEFT's adapters of the same layers, made for a model without its own ones.
    get_peft_model(copy.deepcopy(model), lora()).save_pretrained(folder)
    return folder


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "another of the same name": lambda model, _: get_peft_model(model, lora()),
    "another name": lambda model, _: get_peft_model(model, lora(), adapter_name="second"),
    "other layers": lambda model, _: get_peft_model(model, lora(target_modules=["k"]), adapter_name="second"),
    "another kind": lambda model, _: get_peft_model(model, IA3Config(target_modules=["k"], feedforward_modules=[])),
    "mixed kinds": lambda model, _: get_peft_model(model, lora(), mixed=True),
    "a task": lambda model, _: get_peft_model(model, lora(task_type="SEQ_2_SEQ_LM")),
    "saved ones": PeftModel.from_pretrained,
    "transformers' way": lambda model, _: model.add_adapter(lora()),
    "transformers' way, saved": lambda model, folder: model.load_adapter(folder),
    "inside": lambda model, _: inject_adapter_in_model(lora(), model.language_model),
    "around the inner one": lambda model, _: get_peft_model(model.language_model, lora()),
}


@pytest.mark.filterwarnings(
    "ignore:You are trying to modify a model with PEFT", "ignore:Already found a `peft_config`"
)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_with_adapters_of_its_own_takes_no_others_and_stays_as_it_is(
    way: str, make_model: Any, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    saved = _saved(make_model("t5", lora=False), tmp_path / "peft")
    model = randomise(make_model("t5"), "lora_B")
    expected, weights = model(**batch).loss, copy.deepcopy(model.state_dict())
    with pytest.raises(SettingsError, match=r"adapters of its own.*merge_adapters"):
        WAYS[way](model, saved)
    assert torch.equal(model(**batch).loss, expected)
    assert model.state_dict().keys() == weights.keys()
    # Still a model of transformers', not one of PEFT's, of which only new adapters would be saved.
    model.save_pretrained(tmp_path / "model")
    again = type(model).from_pretrained(tmp_path / "model")
    assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())


def test_merged_first_the_output_stays_and_new_adapters_can_be_added(
    make_model: Any, batch: dict[str, torch.Tensor]
) -> None:
    model = randomise(make_model("t5"), "lora_B")
    expected = model(**batch).loss
    assert set(model.peft_config) == {"default"}
    model.merge_adapters()
    wrapped = get_peft_model(model, lora())
    torch.testing.assert_close(wrapped(**batch).loss, expected)
    with pytest.raises(SettingsError, match="merge_and_unload"):
        model.add_lora({"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "target_modules": ["q"]})
    plain = wrapped.merge_and_unload()
    plain.add_lora({"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "target_modules": ["q"]})
    torch.testing.assert_close(plain(**batch).loss, expected)


def test_a_copy_of_a_model_has_its_adapters(make_model: Any, batch: dict[str, torch.Tensor]) -> None:
    model = randomise(make_model("t5"), "lora_B")
    twin = copy.deepcopy(model)
    assert torch.equal(twin(**batch).loss, model(**batch).loss)
    twin.merge_adapters()
    assert set(model.peft_config) == {"default"}
    assert not hasattr(twin, "peft_config")


@pytest.mark.parametrize("kind", TASK_OF)
def test_adapters_of_a_task_type_learn_and_generate(
    kind: str, make_model: Any, batch: dict[str, torch.Tensor]
) -> None:
    model = make_model(kind, lora=False, knowledge_dropout=0.0)
    expected = model(**batch).loss
    wrapped = get_peft_model(model, lora(kind, task_type=TASK_OF[kind], lora_dropout=0.0)).train()
    optimizer = torch.optim.AdamW([one for one in wrapped.parameters() if one.requires_grad], lr=0.05)
    losses = []
    for _ in range(5):
        loss = wrapped(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(expected.item(), rel=1e-5)
    assert losses[-1] < losses[0]
    wrapped.eval()
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    made = wrapped.generate(**inputs, max_length=8)
    torch.testing.assert_close(wrapped.merge_and_unload().generate(**inputs, max_length=8), made)


@pytest.mark.parametrize("kind", TASK_OF)
def test_saved_adapters_and_parts_load_around_the_same_model(
    kind: str, make_model: Any, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    base = make_model(kind, lora=False)
    base.save_pretrained(tmp_path / "base")
    layers = "|".join(TARGETS_OF[kind])
    settings = {"target_modules": rf"language_model\..*\.({layers})", "modules_to_save": ["lab_encoder"]}
    wrapped = randomise(
        get_peft_model(base, lora(kind, task_type=TASK_OF[kind], **settings)), "lora_", "modules_to_save"
    )
    expected = wrapped.eval()(**batch).logits
    wrapped.save_pretrained(tmp_path / "adapter")
    fresh = type(base).from_pretrained(tmp_path / "base")
    before = fresh(**batch).logits
    loaded = PeftModel.from_pretrained(fresh, tmp_path / "adapter")
    assert not torch.allclose(before, expected)
    torch.testing.assert_close(loaded(**batch).logits, expected)
    torch.testing.assert_close(loaded.merge_and_unload()(**batch).logits, expected)


def test_a_prompt_of_learned_vectors_learns_and_generates(make_model: Any, batch: dict[str, torch.Tensor]) -> None:
    model = make_model("t5", lora=False)
    wrapped = get_peft_model(model, PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4))
    loss = wrapped(**batch).loss
    loss.backward()
    learned = [one.grad for one in wrapped.parameters() if one.requires_grad]
    assert learned
    assert all(grad is not None and grad.abs().sum() > 0 for grad in learned)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    assert len(wrapped.generate(**inputs, max_length=8)) == len(NOTES)


def test_the_body_can_be_wrapped_as_well(make_model: Any, batch: dict[str, torch.Tensor]) -> None:
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    body = ClinRaGenModel(make_model("t5", lora=False).config).eval()
    expected = body(**inputs).last_hidden_state
    wrapped = get_peft_model(body, lora(task_type="FEATURE_EXTRACTION"))
    torch.testing.assert_close(wrapped(**inputs).last_hidden_state, expected)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_embeddings_stand_for_the_tokens_of_a_note(kind: str, make_model: Any, batch: dict[str, torch.Tensor]) -> None:
    model = make_model(kind)
    others = {name: value for name, value in batch.items() if name != "input_ids"}
    embeds = model.get_input_embeddings()(batch["input_ids"])
    torch.testing.assert_close(model(inputs_embeds=embeds, **others).loss, model(**batch).loss)
    del others["labels"]
    made = model.generate(inputs_embeds=embeds, **others, max_length=8)
    assert torch.equal(made, model.generate(batch["input_ids"], **others, max_length=8))
    with pytest.raises(ModelInputError, match="one note"):
        model(inputs_embeds=embeds, **batch)
    with pytest.raises(ModelInputError, match="shape"):
        model(inputs_embeds=batch["input_ids"], labels=batch["labels"])


@pytest.mark.parametrize(
    "argument",
    ["decoder_inputs_embeds", "decoder_attention_mask", "past_key_values", "output_attentions", "lab_feature"],
)
def test_what_a_forward_pass_cannot_use_is_refused_by_name(
    argument: str, make_model: Any, batch: dict[str, torch.Tensor]
) -> None:
    model = make_model("t5")
    torch.testing.assert_close(model(**batch, **{argument: None}).loss, model(**batch).loss)
    for value in (True, torch.ones(2)):
        with pytest.raises(ModelInputError, match=argument):
            model(**batch, **{argument: value})
