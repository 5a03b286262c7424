"""The checks of transformers' own common model tests, for our model.

The wheel ships no ModelTesterMixin, so the parts that apply to a composite model are written here, on tiny ones.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT_CONFIGS
from model_inputs import NOTES, TARGETS, randomise, three_stays
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoTokenizer,
    PatchTSTConfig,
    TextStreamer,
)
from transformers.modeling_layers import GradientCheckpointingLayer

import clinragen  # noqa: F401 (registers the Auto classes)
from modeling_clinragen import ClinRaGenConfig, ClinRaGenForConditionalGeneration

ALL_KINDS = sorted(TEXT_CONFIGS)
KINDS = ["t5", "qwen3"]
Model = ClinRaGenForConditionalGeneration


@pytest.fixture
def inputs(make_processor: Any, make_series: Any) -> Any:
    """Three patients: note and series, series alone, note alone; with targets of several lengths."""
    return make_processor()(NOTES, three_stays(make_series), TARGETS)


def logits(model: Any, inputs: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**inputs).logits


def loss_and_gradients(model: Any, inputs: Any) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return loss.item(), {
        name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None
    }


# Configuration


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_configuration_comes_back_from_a_dict_and_from_a_file(kind: str, make_model: Any, tmp_path: Path) -> None:
    config = make_model(kind).config
    assert ClinRaGenConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()
    config.save_pretrained(tmp_path)
    for loaded in (ClinRaGenConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        # Only a folder records where its code is.
        code = {"AutoConfig": "configuration_clinragen.ClinRaGenConfig"}
        where = {"auto_map": code, "_name_or_path": loaded.name_or_path}
        assert loaded.to_dict() == config.to_dict() | where
        assert type(loaded.text_config) is type(config.text_config)
        assert isinstance(loaded.lab_config, PatchTSTConfig)
        assert loaded.get_text_config() is loaded.text_config


def test_a_configuration_keeps_what_it_does_not_know_and_needs_nothing(tmp_path: Path) -> None:
    ClinRaGenConfig(favourite_colour="blue").save_pretrained(tmp_path)
    loaded, unused = ClinRaGenConfig.from_pretrained(tmp_path, phase="note", nobody=1, return_unused_kwargs=True)
    assert (loaded.favourite_colour, loaded.phase, unused) == ("blue", "note", {"nobody": 1})
    assert loaded.text_config.model_type == "t5"
    assert loaded.lab_config.context_length == 125 * 8 * 4


def test_the_auto_classes_know_the_model(make_model: Any, make_processor: Any, tmp_path: Path) -> None:
    model, processor = make_model("t5"), make_processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for auto in (AutoModel, AutoModelForSeq2SeqLM):
        assert type(auto.from_pretrained(tmp_path)) is Model
        assert type(auto.from_config(copy.deepcopy(model.config))) is Model
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(processor)
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is type(processor.feature_extractor)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == processor.tokenizer.get_vocab()


# Signature and outputs


def test_forward_and_generate_take_what_the_processor_makes(make_processor: Any, inputs: Any) -> None:
    forward, generate = (list(inspect.signature(method).parameters)[1:] for method in (Model.forward, Model.generate))
    names = make_processor().model_input_names
    assert forward[0] == generate[0] == names[0] == Model.main_input_name == "input_ids"
    assert set(names) <= set(forward) & set(generate)
    assert set(inputs) - {"labels"} == set(names)
    assert Model.can_generate()


@pytest.mark.parametrize("kind", KINDS)
def test_evaluating_is_deterministic_and_training_drops_out(kind: str, make_model: Any, inputs: Any) -> None:
    model = make_model(kind, knowledge_dropout=0.5)
    assert torch.equal(logits(model, inputs), logits(model, inputs))
    assert torch.equal(logits(copy.deepcopy(model), inputs), logits(model, inputs))
    model.train()
    assert model(**inputs).loss != model(**inputs).loss


def test_outputs_come_as_a_tuple_where_that_is_asked_for(make_model: Any, inputs: Any) -> None:
    model = make_model("t5")
    named, plain = model(**inputs), model(**inputs, return_dict=False)
    assert isinstance(plain, tuple)
    for ours, theirs in zip(named.to_tuple(), plain, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_attention_implementation_gives_the_same_output(
    kind: str, make_model: Any, inputs: Any, tmp_path: Path
) -> None:
    model = make_model(kind)
    expected = logits(model, inputs)
    model.save_pretrained(tmp_path)
    loaded = Model.from_pretrained(tmp_path, attn_implementation="eager")
    model.set_attn_implementation("eager")
    for eager in (model, loaded):
        parts = (eager, eager.language_model, eager.lab_encoder.patchtst)
        assert {part.config._attn_implementation for part in parts} == {"eager"}
        torch.testing.assert_close(logits(eager, inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_repeats_with_its_seed_and_scores_are_returned(kind: str, make_model: Any, inputs: Any) -> None:
    model = make_model(kind)
    del inputs["labels"]
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(model.generate(**inputs, max_new_tokens=6, do_sample=True, num_return_sequences=2))
    assert torch.equal(*drawn)
    assert len(drawn[0]) == 2 * len(NOTES)
    plain = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    options = {"return_dict_in_generate": True, "output_scores": True}
    full = model.generate(**inputs, max_new_tokens=6, do_sample=False, **options)
    assert torch.equal(full.sequences, plain)
    assert torch.equal(full.scores[-1].argmax(-1)[plain[:, -1] != 0], plain[:, -1][plain[:, -1] != 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_streamer_prints_what_is_generated(
    kind: str, make_model: Any, make_processor: Any, make_series: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model, processor = make_model(kind), make_processor()
    one = processor("Dyspnea and fever.", make_series(9, 1))
    ways = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    made = model.generate(**one, **ways, streamer=TextStreamer(processor.tokenizer))
    assert made.shape[1] >= 8
    assert capsys.readouterr().out.strip() == processor.tokenizer.decode(made[0]).strip()


# Parameters


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_parameter_begins_with_a_plausible_value(kind: str, make_model: Any) -> None:
    for name, parameter in make_model(kind, knowledge_fusion="gated").named_parameters():
        value = parameter.detach()
        assert torch.isfinite(value).all(), name
        if name.endswith("bias") or "lora_B" in name:
            assert not value.any(), name
        elif "norm" in name:
            assert value.std() == 0, name
        else:
            assert abs(value.mean()) < 0.1, name
            assert 0.005 < value.std() < 1.1, name


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_checkpoint_lacks_begins_as_in_a_new_model(kind: str, make_model: Any) -> None:
    config = make_model(kind, lora=False, knowledge_fusion="gated").config
    new = Model(copy.deepcopy(config)).state_dict()
    loaded, report = Model.from_pretrained(None, config=config, state_dict={}, output_loading_info=True)
    assert {"lab_encoder.projection.weight", "knowledge_attention.gate.weight"} <= report["missing_keys"]
    for name, value in loaded.state_dict().items():
        assert torch.isfinite(value).all(), name
        if not name.startswith("language_model.") and value.is_floating_point():
            assert abs(value.mean() - new[name].mean()) < 0.05, name
            assert abs(value.std() - new[name].std()) < 0.05, name
    assert not loaded.knowledge_token_ids.any()


def test_embeddings_can_be_read_and_replaced(make_model: Any, inputs: Any) -> None:
    model = make_model("t5", tie_word_embeddings=False)
    embedding, head = (copy.deepcopy(get()) for get in (model.get_input_embeddings, model.get_output_embeddings))
    with torch.no_grad():
        head.weight.zero_()
        embedding.weight.add_(1)
    model.set_output_embeddings(head)
    assert not logits(model, inputs).any()
    model.set_input_embeddings(embedding)
    assert model.get_input_embeddings() is embedding
    assert model.get_output_embeddings() is head


@pytest.mark.parametrize(
    ("kind", "settings"), [*((kind, {}) for kind in ALL_KINDS), ("t5", {"tie_word_embeddings": False})]
)
def test_a_resized_vocabulary_changes_no_token_that_was_there(
    kind: str, settings: dict[str, Any], make_model: Any, inputs: Any, tmp_path: Path
) -> None:
    model = make_model(kind, **settings)
    expected, tokens = logits(model, inputs), model.get_input_embeddings().num_embeddings
    assert model.resize_token_embeddings(tokens + 10) is model.get_input_embeddings()
    assert model.config.text_config.vocab_size == tokens + 10
    assert logits(model, inputs).shape[-1] == tokens + 10
    torch.testing.assert_close(logits(model, inputs)[..., :tokens], expected)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(Model.from_pretrained(tmp_path), inputs), logits(model, inputs))
    model.resize_token_embeddings(tokens)
    torch.testing.assert_close(logits(model, inputs), expected)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_backbones_head_is_separate_only_where_nothing_else_holds_it(kind: str, make_model: Any) -> None:
    backbone = make_model(kind, lora=False).language_model
    lab = {"lab_config": make_model("t5").config.lab_config.to_dict(), "lab_patch_steps": 4}
    model = Model.from_backbone(backbone, **lab)
    own = sum(parameter.numel() for parameter in model.lab_encoder.parameters())
    assert model.num_parameters() == backbone.num_parameters() + own


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointed_activations_give_the_same_gradients(kind: str, make_model: Any, inputs: Any) -> None:
    model = make_model(kind, knowledge_dropout=0.0).train()
    model.set_trainable(backbone=True, adapter=True, lab_encoder=True, knowledge_attention=True)
    runs: list[int] = []
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            # Only the inside of a layer is recomputed.
            leaf = next(inner for inner in module.modules() if not list(inner.children()))
            leaf.register_forward_pre_hook(lambda *_: runs.append(1))
    loss, gradients = loss_and_gradients(model, inputs)
    once = len(runs)
    model.gradient_checkpointing_enable()
    recomputed, same = loss_and_gradients(model, inputs)
    assert len(runs) == 3 * once > 0
    model.gradient_checkpointing_disable()
    loss_and_gradients(model, inputs)
    assert len(runs) == 4 * once
    assert recomputed == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(same, gradients, rtol=1e-5, atol=1e-6)


# Saving and loading


@pytest.fixture
def saved(make_model: Any, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Build and save a tiny model whose adapters have random weights."""

    def build(kind: str, *, max_shard_size: str = "50GB", **settings: Any) -> tuple[Any, Path]:
        model = make_model(kind, **settings)
        randomise(model, "lora_B")
        model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
        return model, tmp_path

    return build


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_checkpoint_in_many_files_loads_whole(kind: str, saved: Any, inputs: Any) -> None:
    model, folder = saved(kind, max_shard_size="20KB")
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 3
    assert (folder / "model.safetensors.index.json").is_file()
    loaded, report = Model.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    torch.testing.assert_close(logits(loaded, inputs), logits(model, inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_and_bfloat16_agree(kind: str, saved: Any, inputs: Any, tmp_path: Path) -> None:
    model, folder = saved(kind)
    expected = logits(model, inputs)
    half = Model.from_pretrained(folder, dtype=torch.bfloat16)
    assert {value.dtype for value in half.parameters()} == {torch.bfloat16}
    closely = 0.02 * float(expected.abs().max())
    torch.testing.assert_close(logits(half, inputs).float(), expected, rtol=0.05, atol=closely)
    half.save_pretrained(tmp_path / "half")
    again = Model.from_pretrained(tmp_path / "half", dtype="auto")
    assert again.dtype is torch.bfloat16
    assert torch.equal(logits(again, inputs), logits(half, inputs))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_loading_first_makes_no_random_weights(kind: str, saved: Any) -> None:
    # Memory for one model, not for two: it is built without storage, and no weight is drawn only to be replaced.
    _, folder = saved(kind)
    before = torch.get_rng_state()
    loaded = Model.from_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert {value.device.type for value in loaded.parameters()} == {"cpu"}
    with torch.device("meta"):
        empty = Model(copy.deepcopy(loaded.config))
    assert {value.device.type for value in empty.parameters()} == {"meta"}
    assert {name: value.shape for name, value in empty.named_parameters()} == {
        name: value.shape for name, value in loaded.named_parameters()
    }


@pytest.mark.parametrize(
    ("kind", "settings"), [*((kind, {}) for kind in ALL_KINDS), ("t5", {"tie_word_embeddings": False})]
)
def test_tied_weights_are_stored_once_and_tied_again(kind: str, settings: dict[str, Any], saved: Any) -> None:
    model, folder = saved(kind, **settings)
    with safe_open(folder / "model.safetensors", "pt") as file:
        stored = {name: file.get_tensor(name).numel() for name in file.keys()}  # noqa: SIM118 (no dict)
    buffers = sum(value.numel() for name, value in model.state_dict().items() if name in dict(model.named_buffers()))
    assert sum(stored.values()) == model.num_parameters() + buffers
    loaded = Model.from_pretrained(folder)
    assert _sharing(loaded) == _sharing(model)


def _sharing(model: nn.Module) -> set[frozenset[str]]:
    # Names that mean one tensor.
    names: dict[int, set[str]] = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


def test_other_shapes_than_the_checkpoints_are_refused(saved: Any) -> None:
    model, folder = saved("t5", num_prototypes=6)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        Model.from_pretrained(folder, num_prototypes=7)
    loaded = Model.from_pretrained(folder, num_prototypes=7, ignore_mismatched_sizes=True)
    assert loaded.knowledge_attention.prototype_map.weight.shape == (7, 30)
    assert torch.equal(loaded.lab_encoder.projection.weight, model.lab_encoder.projection.weight)
