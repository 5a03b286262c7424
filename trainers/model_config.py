"""Settings of a model that does not exist yet. Imports no torch, so that a recipe can be checked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dataset_builder.storage.config_fields import check_values, make_config, setting
from dataset_builder.storage.files import read_json, read_yaml
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.loading_clinragen import is_gguf, locate

WIDEST = 65_536
MOST_HEADS = 1024
MOST_LAYERS = 256
MOST_STEPS = 1_000_000
MOST_TOKENS = 10_000_000
LARGEST_VOCABULARY = 1_000_000
LARGEST_SCALE = 1_000_000
"""Bounds far above what any published model has. Beyond them is a slip of the pen, and hours or a full memory."""


@dataclass
class ModelConfig:
    """The model to build. Give either `backbone` or `scratch`; the other defaults follow the authors' code.

    Raises:
        SettingsError: Both or none of them are given, or a value has the wrong type or is out of its range.
    """

    backbone: str | None = setting(
        None, help="Pretrained language model: its folder, a GGUF file, or hf://owner/name on the Hub."
    )
    scratch: Path | None = setting(None, help="JSON file: config of a language model to build from scratch.")
    vocab_size: int = setting(
        4096,
        help="Maximum vocabulary size of the tokenizer trained for `scratch`.",
        at_least=1,
        at_most=LARGEST_VOCABULARY,
    )
    tokenizer_min_patients: int = setting(
        10, help="Patients in whose texts every token of that tokenizer occurs.", unit="patients", at_least=2
    )
    tokenizer_from_credentialed: bool = setting(
        False,
        help="Train that tokenizer on a credentialed or unrecorded cohort as well; the model folder then holds words "
        "of its patients.",
    )
    lab_width: int = setting(
        64, help="Width of PatchTST; even, and a multiple of its heads.", at_least=1, at_most=WIDEST
    )
    lab_layers: int = setting(3, help="Layers of PatchTST.", at_least=1, at_most=MOST_LAYERS)
    lab_heads: int = setting(4, help="Attention heads of PatchTST.", at_least=1, at_most=MOST_HEADS)
    lab_dropout: float = setting(0.1, help="Dropout in PatchTST.", at_least=0, at_most=1)
    lab_channel_attention: bool = setting(False, help="Let variables attend to each other.")
    lab_layout: str = setting(
        "patches",
        help="Layout of the lab patches; paper: the authors' fixed rows, mixed and without a mask.",
        choices=("patches", "paper"),
    )
    lab_patch_steps: int = setting(8, help="Length of a patch.", unit="time steps", at_least=1, at_most=MOST_STEPS)
    lab_max_steps: int = setting(
        1000, help="Maximum length of a series.", unit="time steps", at_least=1, at_most=MOST_STEPS
    )
    lab_summary: bool = setting(
        False, help="Give the language model a summary token of every variable beside the patches (not in the paper)."
    )
    lab_summary_width: int = setting(
        64, help="Width of the summary encoder's hidden layer.", at_least=1, at_most=WIDEST
    )
    disease_head: bool = setting(
        False, help="Train a head that gives each disease a probability beside the text (not in the paper)."
    )
    disease_heads: int = setting(4, help="Attention heads of the disease head.", at_least=1, at_most=MOST_HEADS)
    disease_head_pooled: bool = setting(
        False,
        help="Let a linear layer on the ranges of the hidden states add to the disease head's logits; a pretrained "
        "language model's head then learns from far fewer examples.",
    )
    disease_loss_weight: float = setting(1.0, help="Weight of the disease head's loss.", at_least=0)
    evidence_loss_weight: float = setting(
        0.0,
        help="Weight of the loss by which one attention head of the disease head learns to attend to the evidence "
        "that the rationales cite for each disease: words of the note and, with lab_summary, variables.",
        at_least=0,
    )
    list_from: str = setting(
        "decoder",
        help="Who lists the diseases of a text: the decoder (paper) or the disease head.",
        choices=("decoder", "head"),
    )
    num_prototypes: int = setting(24, help="Knowledge prototypes.", at_least=1, at_most=LARGEST_VOCABULARY)
    knowledge_heads: int = setting(8, help="Heads of the knowledge attention.", at_least=1, at_most=MOST_HEADS)
    knowledge_head_dim: int = setting(
        32, help="Width of a head of the knowledge attention.", at_least=1, at_most=WIDEST
    )
    knowledge_dropout: float = setting(0.1, help="Dropout of the knowledge attention.", at_least=0, at_most=1)
    knowledge_fusion: str = setting(
        "attention",
        help="How knowledge reaches the labs: attention (paper), gated (attention added to the lab vectors), tokens "
        "(all of V_k as extra input) or none.",
        choices=("attention", "gated", "tokens", "none"),
    )
    knowledge_share: float = setting(
        1.0,
        help="Share of the knowledge base's terms that the model is built with (ablations).",
        at_least=0.01,
        at_most=1,
    )
    knowledge_terms: str = setting(
        "own",
        help="Which terms those are (ablations); random: as many tokens that are in no term; swapped: each disease "
        "has another one's.",
        choices=("own", "random", "swapped"),
    )
    knowledge_without: list[str] = setting(
        [],
        help="Sources whose terms the model is built without, such as MeSH or Wikipedia (ablations).",
    )
    lora_r: int = setting(8, help="Rank of the LoRA adapters.", at_least=1, at_most=WIDEST)
    lora_alpha: int = setting(16, help="Scale of the LoRA adapters.", at_least=1, at_most=LARGEST_SCALE)
    lora_dropout: float = setting(0.05, help="Dropout of the LoRA adapters.", at_least=0, at_most=1)
    lora_targets: list[str] | Literal["all-linear"] = setting(
        ["q", "v"],
        help="Names of the layers that get adapters; all-linear: every linear layer but the head.",
    )
    instruction: str = setting("Diagnose disease from the medical note:", help="Text before the note.")
    lab_marker: str = setting("Lab tests:", help="Text before the labs.")
    lab_input: str = setting(
        "vectors",
        help="What the language model gets of the labs: vectors (paper), or words that say which variables were above "
        "or below normal and how often (a baseline); words need neither lab encoder nor knowledge.",
        choices=("vectors", "words"),
    )
    layout: str = setting(
        "diagnosis-first",
        help="Order of diagnoses and rationale in a target; the paper's is diagnosis-first.",
        choices=("diagnosis-first", "rationale-first"),
    )
    max_source_tokens: int = setting(
        1475, help="Maximum length of prompt and note.", unit="tokens", at_least=1, at_most=MOST_TOKENS
    )
    note_cut: str = setting(
        "middle",
        help="Part of a longer note that is left out; middle keeps its head (two thirds of the tokens) and its tail.",
        choices=("middle", "end"),
    )
    max_target_tokens: int = setting(
        500, help="Maximum length of a target.", unit="tokens", at_least=1, at_most=MOST_TOKENS
    )

    def __post_init__(self) -> None:
        check_values(self)
        if (self.backbone is None) == (self.scratch is None):
            raise SettingsError("the model needs either a backbone or a scratch config; give exactly one of them")
        if self.lab_input == "words" and (self.lab_summary or self.knowledge_fusion != "none"):
            raise SettingsError(
                "lab_input: labs in words reach neither summary tokens nor knowledge attention; set lab_summary: "
                "false and knowledge_fusion: none"
            )
        # Positions are pairs of a sine and a cosine, and each head gets its share of the width.
        if self.lab_width % 2 or self.lab_width % self.lab_heads:
            raise SettingsError(
                f"lab_width: {self.lab_width} is not an even multiple of the {self.lab_heads} of lab_heads; give for "
                f"example {2 * self.lab_heads * max(1, round(self.lab_width / (2 * self.lab_heads)))}"
            )


def load_model_config(path: Path) -> ModelConfig:
    """Read a model YAML; a relative `scratch` file is resolved against its folder, and so is a `backbone` there.

    Raises:
        SettingsError: The file is missing or malformed, or a setting is unknown or has a value that cannot work; the
            message names the file, the setting and what was expected.
    """
    content = read_settings(path)
    config = make_config(ModelConfig, content, str(path))
    if config.backbone is not None and ((there := path.resolve().parent / config.backbone).is_dir() or is_gguf(there)):
        config = replace(config, backbone=str(there))
    if config.scratch is None:
        return config
    return replace(config, scratch=path.resolve().parent / config.scratch)


def read_settings(path: Path) -> Any:
    """The content of a YAML file of settings. Raises `SettingsError` where it is missing or malformed."""
    if not path.is_file():
        raise SettingsError(f"{path}: is missing; check the path in the recipe")
    try:
        return read_yaml(path)
    except InputDataError as error:
        raise SettingsError(str(error)) from error


def read_shape(path: Path) -> dict[str, Any]:
    """Read the config of a language model to build from scratch.

    Raises:
        SettingsError: The file is missing or malformed, or names no `model_type`.
    """
    try:
        content = read_json(path)
    except InputDataError as error:
        raise SettingsError(str(error)) from error
    if not isinstance(content, Mapping) or not isinstance(content.get("model_type"), str):
        raise SettingsError(f"{path}: expected a language model's config with its model_type, such as t5")
    return dict(content)


def check_model_config(path: Path) -> None:
    """Check a model YAML and its `scratch` file without building anything.

    Raises:
        SettingsError: As `load_model_config` and `read_shape`, or the backbone's folder does not exist.
    """
    config = load_model_config(path)
    if config.backbone is not None:
        try:
            locate(config.backbone)
        except InputDataError as error:
            raise SettingsError(f"{path}: backbone: {error}") from error
    if config.scratch is not None:
        read_shape(config.scratch)
