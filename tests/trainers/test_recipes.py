"""The recipes for pretrained backbones: complete, correct without any backbone on this machine, and what they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from safetensors.torch import load_file
from tiny_examples import tiny_splits
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from clinragen.pipeline.recipe import load_recipe
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import check_size
from trainers.model_config import ModelConfig, load_model_config
from trainers.phase_config import parse_phase_config
from trainers.run_phase import NewModel, train_phase

RECIPES = ROOT / "recipes"
SHAPES = ROOT / "benchmarks" / "data" / "backbones"
BACKBONES = {
    "flan-t5-small": "hf://google/flan-t5-small",
    "flan-t5-large": "hf://google/flan-t5-large",
    "opt-350m": "hf://facebook/opt-350m",
    "qwen3-0.6b": "hf://Qwen/Qwen3-0.6B",
    "smollm2-135m": "hf://HuggingFaceTB/SmolLM2-135M-Instruct",
    "medgemma-4b": "hf://google/medgemma-4b-it",
}
LARGE = ("flan-t5-large", "qwen3-0.6b", "medgemma-4b")
# As published. MedGemma's are those of Gemma 3's text part, which we could not look up.
WEIGHTS = {
    "flan-t5-small": 76_961_152,
    "flan-t5-large": 783_150_080,
    "opt-350m": 331_196_416,
    "qwen3-0.6b": 596_049_920,
    "smollm2-135m": 134_515_008,
}
PHASES = ("note", "lab", "multimodal")


def content(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def shaped(tmp_path: Path) -> Any:
    """The settings of a recipe's model, with a folder that has nothing but the backbone's config."""

    def build(backbone: str, name: str, **changes: Any) -> ModelConfig:
        folder = tmp_path / backbone
        folder.mkdir(exist_ok=True)
        shutil.copyfile(SHAPES / f"{backbone}.json", folder / "config.json")
        settings = content(RECIPES / backbone / f"{name}.yaml")
        return ModelConfig(**{**settings, "backbone": str(folder), **changes})

    return build


@pytest.mark.parametrize("kind", ["paper", "recommended"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_recipe_is_correct_without_its_backbone(backbone: str, kind: str) -> None:
    recipe = load_recipe(RECIPES / backbone / f"{kind}.yaml")
    assert list(recipe.train) == list(PHASES)
    assert recipe.synthesize is None
    settings = load_model_config(recipe.model)
    assert settings.backbone == BACKBONES[backbone]
    # Every setting that the two differ by is written, and what decides a model's size and lengths.
    written = set(content(recipe.model))
    assert {"lora_targets", "lora_r", "max_source_tokens", "max_target_tokens", "layout", "lab_layout"} <= written
    assert {"knowledge_fusion", "disease_head", "lab_summary", "list_from", "lab_width", "lab_layers"} <= written
    for file in recipe.train.values():
        assert {"learning_rate", "num_train_epochs", "bf16", "per_device_train_batch_size"} <= set(content(file))
    assert (RECIPES / backbone / f"{kind}.yaml").parent.name == backbone


def test_every_backbone_with_a_shape_has_recipes() -> None:
    assert {path.stem for path in SHAPES.glob("*.json")} == set(BACKBONES)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_paper_s_recipe_is_the_paper_s(backbone: str) -> None:
    recipe = load_recipe(RECIPES / backbone / "paper.yaml")
    build, settings = recipe.build, load_model_config(recipe.model)
    assert (build.source, build.note_policy, build.window) == ("mimic-iv", "brief_hospital_course", "stay")
    assert (build.grid, build.max_steps, build.range_set) == ("event", 1000, "paper")
    assert (recipe.evaluate.num_beams, recipe.evaluate.raw) == (2, True)
    assert (settings.knowledge_fusion, settings.layout, settings.list_from) == (
        "attention",
        "diagnosis-first",
        "decoder",
    )
    assert (settings.disease_head, settings.lab_summary, settings.evidence_loss_weight) == (False, False, 0.0)
    assert (settings.num_prototypes, settings.knowledge_heads, settings.knowledge_head_dim) == (24, 8, 32)
    # 1,600 positions, of which 125 are the labs'; OPT has too few.
    assert settings.max_source_tokens == (1423 if backbone == "opt-350m" else 1600 - 125)
    assert (settings.max_target_tokens, settings.lab_patch_steps, settings.lab_max_steps) == (500, 8, 1000)
    assert settings.lora_targets == (["q", "v"] if backbone.startswith("flan") else ["q_proj", "v_proj"])
    for file in recipe.train.values():
        trained = parse_phase_config(file, use_cpu=True)
        assert trained.per_device_train_batch_size * trained.gradient_accumulation_steps == 12
        assert (trained.learning_rate, trained.weight_decay, trained.warmup_steps) == (1e-5, 0.05, 0.1)
        assert (trained.lr_scheduler_type, trained.bf16) == ("cosine", False)
        assert (trained.diagnosis_weight, trained.text_share, trained.modality_dropout) == (1.0, 1.0, 0.0)
        assert trained.muon_learning_rate is None
        assert not trained.average_share


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_recommended_recipe_has_what_we_add(backbone: str) -> None:
    recipe = load_recipe(RECIPES / backbone / "recommended.yaml")
    build, settings = recipe.build, load_model_config(recipe.model)
    assert (build.note_policy, build.window, build.range_set) == ("admission", "first-48h", "clinical")
    assert (settings.lora_targets, settings.knowledge_fusion, settings.list_from) == ("all-linear", "gated", "head")
    assert settings.disease_head
    assert settings.lab_summary
    assert settings.evidence_loss_weight > 0
    trained = {name: parse_phase_config(file, use_cpu=True, bf16=False) for name, file in recipe.train.items()}
    for one in trained.values():
        assert one.per_device_train_batch_size * one.gradient_accumulation_steps == 32
        assert one.average_share == 0.5
    assert trained["multimodal"].modality_dropout > 0


def test_the_synthetic_recipe_is_the_recommended_one_made_small() -> None:
    folder = RECIPES / "smollm2-135m"
    recipe, recommended = (load_recipe(folder / f"{name}.yaml") for name in ("synthetic", "recommended"))
    quick = load_recipe(RECIPES / "quickstart.yaml")
    assert recipe.synthesize == quick.synthesize
    assert recipe.build == quick.build == recommended.build
    assert list(recipe.train) == list(PHASES)
    own, other = content(recipe.model), content(recommended.model)
    lengths = {"max_source_tokens", "max_target_tokens"}
    smaller = {"lab_width", "lab_layers", "lab_heads", "lab_dropout", "lora_dropout", "knowledge_dropout"}
    # Measured on SmolLM2 alone so far.
    measured = {"disease_head_pooled"}
    assert {key for key in {*own, *other} if own.get(key) != other.get(key)} == lengths | smaller | measured


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("kind", ["", "paper-"])
def test_large_backbones_learn_the_same_batch_in_parts(kind: str, name: str) -> None:
    whole = content(RECIPES / "phases" / f"{kind}{name}.yaml")
    parts = content(RECIPES / "phases" / f"{kind}large-{name}.yaml")
    divided = {
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "activation_checkpointing",
    }
    assert {key for key in {*whole, *parts} if whole.get(key) != parts.get(key)} == divided
    for backbone in BACKBONES:
        file = "recommended" if kind == "" else "paper"
        used = content(RECIPES / backbone / f"{file}.yaml")["train"][name]
        assert used == f"../phases/{kind}{'large-' if backbone in LARGE else ''}{name}.yaml"


@pytest.mark.parametrize("name", ["model-paper", "model"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_adapters_and_lengths_fit_the_published_shape(
    backbone: str, name: str, shaped: Any, vocabulary: Vocabulary
) -> None:
    check_size(shaped(backbone, name), vocabulary)


@pytest.mark.parametrize("backbone", WEIGHTS)
def test_the_shapes_have_the_published_number_of_weights(backbone: str) -> None:
    import torch

    shape = json.loads((SHAPES / f"{backbone}.json").read_text(encoding="utf-8"))
    config = AutoConfig.for_model(**shape)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    # T5's config says that every head is tied; Flan-T5's is not.
    separate = 0 if shape["tie_word_embeddings"] else shape["vocab_size"] * shape["d_model"]
    assert model.num_parameters() + separate == WEIGHTS[backbone]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (
            {"max_source_tokens": 1475},
            r"needs 2100 positions .*1475, 125 for the labs.* 500.*opt has 2048; lower max_s.*1423",
        ),
        (
            {"lora_targets": ["q_proj", "query", "key"]},
            r"name 'query', 'key', but no layer of this opt has these names",
        ),
        ({"lora_targets": ["q"]}, r"its linear layers are fc1, fc2, k_proj, .*project_in.*v_proj"),
        ({"max_target_tokens": 3000}, r"lower lab_max_steps or max_target_tokens"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_config_alone(
    changed: dict[str, Any], fault: str, shaped: Any, vocabulary: Vocabulary
) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        check_size(shaped("opt-350m", "model-paper", **changed), vocabulary)
    assert "\n" not in str(caught.value)


def is_part(name: str, part: str) -> bool:
    """Whether a weight belongs to a part of the model; "adapters" are those of the language model."""
    return "lora_" in name if part == "adapters" else name.startswith(f"{part}.")


LEARNS = {
    "note": {"adapters", "disease_head"},
    "lab": {"lab_encoder", "summary_encoder", "knowledge_attention", "disease_head"},
    "multimodal": {"adapters", "knowledge_attention", "disease_head"},
}


@pytest.mark.parametrize(
    ("kind", "backbone", "recipe"),
    [("t5", "flan-t5-small", "paper"), ("llama", "medgemma-4b", "recommended"), ("opt", "opt-350m", "recommended")],
)
def test_the_phases_of_a_recipe_train_its_kind_of_backbone(
    kind: str, backbone: str, recipe: str, make_model: Any, tiny_tokenizer: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    make_model(kind, lora=False).language_model.save_pretrained(tmp_path / "backbone")
    tiny_tokenizer.save_pretrained(tmp_path / "backbone")
    shipped = load_recipe(RECIPES / backbone / f"{recipe}.yaml")
    small = {"max_source_tokens": 96, "max_target_tokens": 48, "lab_max_steps": 64, "lab_width": 16, "lab_heads": 2}
    settings = ModelConfig(**{**content(shipped.model), "backbone": str(tmp_path / "backbone"), **small})
    cohort = tiny_splits(vocabulary, 6)
    start: Any = NewModel(settings, ["dyspnea", "fever"], {})
    before: dict[str, Any] = {}
    overrides = [
        "--num_train_epochs",
        "1",
        "--gradient_accumulation_steps",
        "2",
        "--learning_rate",
        "0.01",
        "--warmup_steps",
        "0",
    ]
    for name, file in shipped.train.items():
        folder = tmp_path / name
        train_phase(name, folder, cohort=cohort, start=start, config=file, overrides=overrides)
        after = load_file(folder / "model.safetensors")
        if before:
            changed = {key for key, weight in after.items() if not weight.equal(before[key])}
            for part in ("adapters", "lab_encoder", "summary_encoder", "knowledge_attention", "disease_head"):
                there = [key for key in after if is_part(key, part)]
                assert any(key in changed for key in there) is (part in LEARNS[name] and bool(there)), (name, part)
            frozen = [key for key in changed if key.startswith("language_model.") and "lora_" not in key]
            assert not frozen
        before, start = after, folder
