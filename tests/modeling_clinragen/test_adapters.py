"""The pretrained language model inside and its trained parts: separate head, LoRA, adapters saved alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, randomise, three_stays
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import ClinRaGenError, GovernanceError, InputDataError, SettingsError
from modeling_clinragen.language_model_clinragen import backbone_digest
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration, ClinRaGenModel
from modeling_clinragen.pretrained_clinragen import ADAPTER_FILE
from modeling_clinragen.registration import register_auto_classes

Model = ClinRaGenForConditionalGeneration
BACKBONES = {"t5": "google/flan-t5-small", "qwen3": "Qwen/Qwen3-0.6B"}
KINDS = list(BACKBONES)


def lora(*modules: str) -> dict[str, Any]:
    return {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": list(modules)}


@pytest.fixture
def hub(make_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the Hub, with a tiny Flan-T5 and a tiny Qwen.

    Flan-T5's files say that nothing is tied and hold a head of its own, but one embedding for both halves.
    """
    for kind, name in BACKBONES.items():
        backbone = make_model(kind, lora=False).language_model
        backbone.save_pretrained(tmp_path / name)
    flan = tmp_path / BACKBONES["t5"]
    weights = load_file(flan / "model.safetensors")
    assert "lm_head.weight" not in weights
    weights["lm_head.weight"] = torch.randn_like(weights["shared.weight"])
    save_file(weights, flan / "model.safetensors", {"format": "pt"})
    config = read_json(flan / "config.json")
    del config["scale_decoder_outputs"]
    write_json(flan / "config.json", config | {"tie_word_embeddings": False})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def build(hub: Path, make_model: Any) -> Callable[..., Any]:
    """Build a model around a backbone of the hub; adapters, if any, have random weights."""

    def from_hub(kind: str = "t5", kept: type = Model, **settings: Any) -> Any:
        torch.manual_seed(1)
        own = {"lab_config": make_model("t5").config.lab_config.to_dict(), "lab_patch_steps": 4}
        vocabulary = {"num_knowledge_tokens": 30, "num_prototypes": 6, "knowledge_heads": 2, "knowledge_head_dim": 8}
        model = kept.from_backbone(BACKBONES[kind], **own, **vocabulary, **settings)
        model.set_knowledge_tokens(range(50, 80))
        return randomise(model, "lora_", "lab_encoder", "knowledge_attention").eval()

    return from_hub


@pytest.fixture
def inputs(make_processor: Any, make_series: Any) -> Any:
    return make_processor()(NOTES, three_stays(make_series), TARGETS)


def assert_nearly(half: torch.Tensor, single: torch.Tensor) -> None:
    """Equal within the precision of bfloat16."""
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), single, rtol=0.05, atol=0.02 * float(single.detach().abs().max()))


def saved_and_loaded(model: Any) -> Any:
    model.save_pretrained("whole")
    return Model.from_pretrained("whole")


def resized(model: Any) -> Any:
    model.resize_token_embeddings(model.config.text_config.vocab_size + 16)
    return model


def tied(model: Any) -> Any:
    model.tie_weights()
    return model


def adapted(model: Any) -> Any:
    model.add_lora(lora("q", "wi_0"))
    return model


def merged(model: Any) -> Any:
    model.merge_adapters()
    return model


def exported(model: Any) -> Any:
    model.save_adapter("adapter")
    return Model.from_adapter("adapter")


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [saved_and_loaded],
        [resized],
        [tied],
        [adapted],
        [adapted, merged],
        [adapted, exported],
        [tied, adapted, exported, tied, saved_and_loaded, tied, merged, resized, saved_and_loaded, tied],
    ],
    ids=lambda steps: "-".join(step.__name__ for step in steps) or "loaded",
)
def test_flan_t5s_own_head_survives(steps: list[Any], build: Any, make_processor: Any) -> None:
    backbone = AutoModelForSeq2SeqLM.from_pretrained(BACKBONES["t5"])
    head, embedding = (get().weight for get in (backbone.get_output_embeddings, backbone.get_input_embeddings))
    assert not torch.equal(head, embedding)
    note = make_processor()(NOTES[0], None, TARGETS[0])
    expected = backbone(**note).logits
    model = build()
    for step in steps:
        model = step(model)
    tokens = len(head)
    assert torch.equal(model.get_output_embeddings().weight[:tokens], head)
    assert torch.equal(model.get_input_embeddings().weight[:tokens], embedding)
    torch.testing.assert_close(model.eval()(**note).logits[..., :tokens], expected)


def test_new_adapters_change_nothing_until_they_are_trained(make_model: Any, inputs: Any) -> None:
    model = make_model("t5", lora=False)
    before = model(**inputs).logits
    model.add_lora(lora("q", "v"))
    torch.testing.assert_close(model.eval()(**inputs).logits, before)
    with pytest.raises(SettingsError, match="already has LoRA"):
        model.add_lora(lora("q"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_and_its_base_model_are_the_whole_model(kind: str, build: Any, inputs: Any) -> None:
    model = build(kind, lora=lora("q" if kind == "t5" else "q_proj"), diseases=["Shock"], phase="lab")
    model.generation_config.max_new_tokens = 7
    model.save_adapter("adapter")
    with safe_open(Path("adapter") / ADAPTER_FILE, "pt") as file:
        names = set(file.keys())
    assert names == {name for name in model.state_dict() if "lora_" in name or not name.startswith("language_model.")}
    config = read_json(Path("adapter/config.json"))
    assert (config["base_model_name_or_path"], config["phase"]) == (BACKBONES[kind], "lab")
    loaded = Model.from_adapter("adapter")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.config.to_dict() == model.config.to_dict()
    assert loaded.generation_config.max_new_tokens == 7
    assert ClinRaGenModel.from_adapter("adapter").knowledge_token_ids.tolist() == list(range(50, 80))


@pytest.mark.parametrize(("kind", "targets"), [("t5", ["q", "wi_0"]), ("qwen3", ["q_proj"]), ("t5", "all-linear")])
def test_peft_loads_the_language_models_adapters_around_the_backbone(
    kind: str, targets: Any, build: Any, inputs: Any
) -> None:
    model = build(kind, lora=lora() | {"target_modules": targets})
    model.save_adapter("adapter")
    assert read_json(Path("adapter/adapter_config.json"))["base_model_name_or_path"] == BACKBONES[kind]
    auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    backbone = auto.from_pretrained(BACKBONES[kind]).eval()
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    given |= {"labels": inputs["labels"]} if kind == "t5" else {}
    before = backbone(**given).logits
    loaded = PeftModel.from_pretrained(backbone, "adapter")
    expected = model.language_model(**given).logits
    assert not torch.allclose(before, expected)
    torch.testing.assert_close(loaded(**given).logits, expected)
    # The folder still is what our own loader reads, and its two copies are one.
    torch.testing.assert_close(Model.from_adapter("adapter")(**inputs).logits, model(**inputs).logits)


def test_an_adapter_finds_its_base_model_elsewhere_and_in_half_precision(build: Any, inputs: Any) -> None:
    model = build(lora=lora("q"))
    model.save_adapter("adapter")
    Path("google").rename("elsewhere")
    loaded = Model.from_adapter("adapter", backbone="elsewhere/flan-t5-small")
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
    # The recorded base is still right for other machines.
    assert loaded.config.base_model_name_or_path == BACKBONES["t5"]
    base = AutoModelForSeq2SeqLM.from_pretrained("elsewhere/flan-t5-small", dtype=torch.bfloat16)
    model.to(torch.bfloat16).save_adapter("half")
    assert {value.dtype for value in load_file(Path("half") / ADAPTER_FILE).values()} == {torch.bfloat16, torch.int64}
    half = Model.from_adapter("half", backbone=base)
    assert_nearly(half(**inputs).logits, loaded(**inputs).logits)


@pytest.mark.parametrize("change", [resized, merged, lambda model: randomise(model, "final_layer_norm")])
def test_a_model_whose_backbone_changed_has_no_adapter_alone(change: Any, build: Any) -> None:
    model = build(lora=lora("q"))
    original = model.config.base_model_digest
    change(model)
    with pytest.raises(SettingsError, match=f"{BACKBONES['t5']}' are {original[:12]}.*save_pretrained") as caught:
        model.save_adapter("adapter")
    assert backbone_digest(model.language_model)[:12] in str(caught.value)
    assert not Path("adapter").exists()


def test_training_what_lies_around_the_backbone_leaves_its_digest_and_one_weight_in_it_does_not(build: Any) -> None:
    model = build(lora=lora("q"))
    randomise(model, "lora_", "lab_encoder", "knowledge_attention")
    assert backbone_digest(model.language_model) == model.config.base_model_digest
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 3] += 0.01
    assert backbone_digest(model.language_model) != model.config.base_model_digest


def test_a_model_from_scratch_has_no_adapter_alone(make_model: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no named pretrained backbone"):
        make_model("t5").save_adapter(tmp_path / "adapter")


def other_base(folder: Path) -> None:
    weights = load_file(folder / BACKBONES["t5"] / "model.safetensors")
    weights["shared.weight"] += 1
    save_file(weights, folder / BACKBONES["t5"] / "model.safetensors", {"format": "pt"})


def less_weights(folder: Path) -> None:
    weights = load_file(folder / "adapter" / ADAPTER_FILE)
    del weights["lab_encoder.projection.bias"]
    save_file(weights, folder / "adapter" / ADAPTER_FILE, {"format": "pt"})


def no_weights(folder: Path) -> None:
    (folder / "adapter" / ADAPTER_FILE).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_base, r"google/flan-t5-small' with the weights [0-9a-f]{12}, but the backbone '.*' has the weights"),
        (less_weights, r"has \d+ tensors, not the \d+"),
        (no_weights, f"has no {ADAPTER_FILE}"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(damage: Any, message: str, build: Any, hub: Path) -> None:
    build(lora=lora("q")).save_adapter("adapter")
    damage(hub)
    with pytest.raises(ClinRaGenError, match=message) as caught:
        Model.from_adapter("adapter")
    assert isinstance(caught.value, SettingsError if damage is other_base else InputDataError)


def test_another_architecture_than_the_adapters_is_refused(build: Any) -> None:
    build(lora=lora("q")).save_adapter("adapter")
    with pytest.raises(SettingsError, match=f"backbone '{BACKBONES['qwen3']}' has the weights"):
        Model.from_adapter("adapter", backbone=BACKBONES["qwen3"])


@pytest.mark.parametrize("credentialed", [True, False])
def test_an_adapter_of_credentialed_data_stays_bound(credentialed: bool, build: Any) -> None:
    build(lora=lora("q"), credentialed=credentialed).save_adapter("adapter")
    loaded = Model.from_adapter("adapter")
    assert loaded.config.credentialed is credentialed
    if credentialed:
        with pytest.raises(GovernanceError):
            loaded.push_to_hub("someone/adapter")
    else:
        loaded.require_publishable("the Hub")


@pytest.mark.parametrize("fusion", ["attention", "tokens"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_published_in_half_precision_is_trained_in_single(
    kind: str, fusion: str, build: Any, inputs: Any
) -> None:
    # As Qwen and Llama are published.
    auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    half = auto.from_pretrained(BACKBONES[kind]).to(torch.bfloat16)
    half.save_pretrained(BACKBONES[kind])
    model = build(kind, lora=lora("q" if kind == "t5" else "q_proj"), knowledge_fusion=fusion)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    expected = model(**inputs).logits
    torch.testing.assert_close(saved_and_loaded(model)(**inputs).logits, expected)
    torch.testing.assert_close(exported(model)(**inputs).logits, expected)
    # Loaded in half precision, all parts are in half precision.
    loaded = auto.from_pretrained(BACKBONES[kind])
    around = Model.from_backbone(loaded, model.config)
    assert {value.dtype for value in around.parameters()} == {torch.bfloat16}
    around.load_state_dict(model.state_dict())
    assert_nearly(around(**inputs).logits, expected)


def test_a_model_around_a_backbone_is_ready_to_generate_in_its_own_way(hub: Path) -> None:
    chat = AutoModelForCausalLM.from_pretrained(BACKBONES["qwen3"])
    talk = {"do_sample": True, "temperature": 0.6, "repetition_penalty": 1.1, "num_beams": 4, "forced_bos_token_id": 0}
    chat.generation_config.update(**talk, eos_token_id=[1, 7])
    model = Model.from_backbone(chat)
    assert not any(module.training for module in model.modules())
    asked = model.generation_config
    assert asked.eos_token_id == [1, 7]
    assert not any(getattr(asked, name) for name in talk)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target_modules": ["q", "q_proj"]},
            r"'q_proj', but no layer of this t5 has that name.* k, lm_head, o, q, v",
        ),
        ({"target_modules": r".*\.query"}, "do not fit this t5"),
        ({"target_modules": ["layer_norm"]}, "do not fit this t5"),
        ({"r": 0}, "do not fit this t5.*positive"),
        ({"rank": 4}, "exactly the settings r, lora_alpha, lora_dropout, target_modules"),
    ],
)
def test_adapters_that_do_not_fit_are_refused_and_leave_the_model(
    change: dict[str, Any], message: str, make_model: Any, inputs: Any
) -> None:
    model = make_model("t5", lora=False)
    before = model(**inputs).logits
    with pytest.raises(SettingsError, match=message):
        model.add_lora(lora("q") | change)
    assert model.config.lora is None
    torch.testing.assert_close(model(**inputs).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["nowhere/at-all", "/nowhere/at/all", "another"])
def test_what_is_no_backbone_is_refused(name: str, make_model: Any, hub: Path) -> None:
    register_auto_classes()
    make_model("t5").save_pretrained("another")
    with pytest.raises(SettingsError, match="text_config is" if name == "another" else f"backbone '{name}'"):
        Model.from_backbone(name)
    with pytest.raises(SettingsError, match=r"configuration of a 't5' model.*from_backbone"):
        Model.from_pretrained(BACKBONES["t5"])


def test_an_embedding_narrower_than_the_layers_is_read(make_model: Any, inputs: Any) -> None:
    # As in OPT's 350M.
    config = make_model("opt").config
    config.text_config.word_embed_proj_dim = 16
    config.lora = None
    model = Model(config).eval()
    assert model.get_input_embeddings().embedding_dim == 16
    assert torch.isfinite(model(**inputs).loss)


def test_a_loaded_backbone_is_taken_as_well_as_its_name(build: Any, hub: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(BACKBONES["qwen3"])
    settings = {"num_knowledge_tokens": 0}
    models = [
        Model.from_backbone(given, **settings) for given in (loaded, BACKBONES["qwen3"], hub / BACKBONES["qwen3"])
    ]
    assert len({model.config.base_model_digest for model in models}) == 1
    for name, value in loaded.state_dict().items():
        assert all(torch.equal(model.language_model.state_dict()[name], value) for model in models)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_generation_skips_adapters_that_do_nothing_and_only_these(
    kind: str, make_model: Callable[..., Any], make_processor: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    inputs = processor(NOTES)
    layers = [module for module in model.language_model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        for matrix in layer.lora_B.values():
            torch.nn.init.zeros_(matrix.weight)
    called: list[Any] = []
    for layer in layers:
        for matrix in layer.lora_B.values():
            matrix.register_forward_hook(lambda *_: called.append(1))
    settings = {"do_sample": False, "max_new_tokens": 6}
    skipped = model.generate(**inputs, **settings)
    states = model.encode(**inputs)[0]
    assert not called
    assert not any(layer.disable_adapters for layer in layers)
    bare = ClinRaGenForConditionalGeneration.generate.__wrapped__.__wrapped__
    with torch.no_grad():
        assert torch.equal(bare(model, **inputs, **settings), skipped)
        assert torch.equal(model.encode.__func__.__wrapped__.__wrapped__(model, **inputs)[0], states)
    assert called
    # One adapter that has learned something is used, and so are the others.
    with torch.no_grad():
        next(iter(layers[0].lora_B.values())).weight.normal_()
    called.clear()
    model.generate(**inputs, **settings)
    assert called
