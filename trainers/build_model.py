"""Builds an untrained ClinRaGen around a pretrained backbone, or around one made from scratch."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dataset_builder.contract.vocabulary import load_diseases, load_variables
from datasets import DatasetDict
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import provenance_of
from dataset_builder.storage.files import read_json
from dataset_builder.storage.governance import is_credentialed
from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.knowledge_map_clinragen import term_token_ids
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import (
    DIAGNOSIS_MARK,
    NO_DIAGNOSIS,
    RATIONALE_MARK,
    ClinRaGenProcessor,
)
from trainers.tokenizer import train_tokenizer

logger = logging.getLogger(__name__)

FUSION_HELP = (
    "How knowledge reaches the labs: attention (paper), gated (attention beside the lab vectors), tokens (all of V_k "
    "as extra input) or none."
)


@dataclass
class ModelConfig:
    """What to build. Give either `backbone` or `scratch`; the other defaults follow the authors' code."""

    backbone: str | None = field(default=None, metadata={"help": "Hub id or folder of a pretrained language model."})
    scratch: str | None = field(
        default=None, metadata={"help": "JSON file: config of a language model to build from scratch."}
    )
    vocab_size: int = field(default=4096, metadata={"help": "Vocabulary of the tokenizer trained for `scratch`."})
    lab_width: int = field(default=64, metadata={"help": "Width of PatchTST."})
    lab_layers: int = field(default=3, metadata={"help": "Layers of PatchTST."})
    lab_heads: int = field(default=4, metadata={"help": "Attention heads of PatchTST."})
    lab_dropout: float = field(default=0.1, metadata={"help": "Dropout in PatchTST."})
    lab_channel_attention: bool = field(default=False, metadata={"help": "Let variables attend to each other."})
    lab_layout: str = field(
        default="patches", metadata={"help": "patches, or paper: the authors' fixed rows, mixed and without a mask."}
    )
    lab_patch_steps: int = field(default=8, metadata={"help": "Time steps per patch."})
    lab_max_steps: int = field(default=1000, metadata={"help": "Longest series accepted."})
    num_prototypes: int = field(default=24, metadata={"help": "Knowledge prototypes."})
    knowledge_heads: int = field(default=8, metadata={"help": "Heads of the knowledge attention."})
    knowledge_head_dim: int = field(default=32, metadata={"help": "Width of such a head."})
    knowledge_dropout: float = field(default=0.1, metadata={"help": "Dropout of the knowledge attention."})
    knowledge_fusion: str = field(default="attention", metadata={"help": FUSION_HELP})
    lora_r: int = field(default=8, metadata={"help": "Rank of the LoRA adapters."})
    lora_alpha: int = field(default=16, metadata={"help": "Scale of the LoRA adapters."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout of the LoRA adapters."})
    lora_targets: list[str] = field(default_factory=lambda: ["q", "v"], metadata={"help": "Modules to adapt."})
    instruction: str = field(default="Diagnose disease from the medical note:", metadata={"help": "Prompt."})
    lab_marker: str = field(default="Lab tests:", metadata={"help": "Text before the lab vectors."})
    layout: str = field(default="diagnosis-first", metadata={"help": "diagnosis-first (paper) or rationale-first."})
    max_source_tokens: int = field(default=1475, metadata={"help": "Longest prompt and note."})
    max_target_tokens: int = field(default=500, metadata={"help": "Longest target."})

    def __post_init__(self) -> None:
        if (self.backbone is None) == (self.scratch is None):
            raise SettingsError("the model needs either a backbone or a scratch config; give exactly one of them")


def normalisation(cohort: DatasetDict) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every variable's measured values in the training split, in its unit.

    A variable that was never measured there gets the paper's fill value and a deviation of 1.
    """
    parts = [series["values"] for series in series_column(cohort["train"])]
    values = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, len(load_variables())))
    means, stds = [], []
    for column, variable in enumerate(load_variables()):
        measured = values[~np.isnan(values[:, column]), column]
        means.append(float(measured.mean()) if measured.size else variable.fill)
        stds.append(float(measured.std()) if measured.size > 1 and measured.std() > 0 else 1.0)
    return means, stds


def knowledge_token_ids(terms: list[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Unique token ids of the knowledge terms, in order of appearance: the paper's V_k."""
    ids: dict[int, None] = {}
    for term in terms:
        ids.update(dict.fromkeys(term_token_ids(term, tokenizer)))
    return list(ids)


def build_model(
    settings: ModelConfig, cohort: DatasetDict, terms: list[str], seed: int
) -> tuple[ClinRaGenForConditionalGeneration, ClinRaGenProcessor]:
    """Build model and processor for a cohort.

    Args:
        settings: What to build.
        cohort: Splits with rationales; the training split gives normalisation statistics and, from scratch, the
            tokenizer.
        terms: The knowledge base's terms.
        seed: Seed of the random initialisation.

    Raises:
        SettingsError: There is no such backbone, or the longest example does not fit into it.
    """
    set_seed(seed)
    diseases = [disease.name for disease in load_diseases()]
    variables = load_variables()
    if settings.scratch is not None:
        train = cohort["train"]
        columns = ("note", "lab_summary", "rationale_note", "rationale_lab")
        texts = [text for column in columns for text in train[column]]
        whole = [*diseases, NO_DIAGNOSIS, DIAGNOSIS_MARK, RATIONALE_MARK]
        tokenizer: PreTrainedTokenizerBase = train_tokenizer(texts, vocab_size=settings.vocab_size, whole=whole)
    else:
        tokenizer = AutoTokenizer.from_pretrained(settings.backbone)
    means, stds = normalisation(cohort)
    extractor = ClinRaGenLabFeatureExtractor(
        variables=[variable.key for variable in variables],
        units=[variable.unit for variable in variables],
        means=means,
        stds=stds,
        max_steps=settings.lab_max_steps,
        patch_steps=settings.lab_patch_steps,
        lab_layout=settings.lab_layout,
        fills=[variable.fill for variable in variables] if settings.lab_layout == "paper" else (),
    )
    processor = ClinRaGenProcessor(
        extractor,
        tokenizer,
        instruction=settings.instruction,
        lab_marker=settings.lab_marker,
        layout=settings.layout,
        max_source_tokens=settings.max_source_tokens,
        max_target_tokens=settings.max_target_tokens,
    )
    knowledge = knowledge_token_ids(terms, tokenizer) if settings.knowledge_fusion != "none" else []
    fields = config_fields(settings, diseases, extractor, len(knowledge))
    # Statistics and tokenizer come from the cohort before any weight does.
    fields["credentialed"] = is_credentialed(provenance_of(cohort))
    if settings.backbone is not None:
        model = ClinRaGenForConditionalGeneration.from_backbone(settings.backbone, **fields)
    else:
        special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        # T5 has no default for the token that a decoder starts from; its authors start from padding.
        special["decoder_start_token_id"] = tokenizer.pad_token_id
        shape = read_json(Path(str(settings.scratch)))
        config = ClinRaGenConfig(text_config={**shape, **special, "vocab_size": len(tokenizer)}, **fields)
        model = ClinRaGenForConditionalGeneration(config)
    positions = settings.max_source_tokens + extractor.num_positions(settings.lab_max_steps)
    positions += len(knowledge) if settings.knowledge_fusion == "tokens" else 0
    positions += 0 if model.config.is_encoder_decoder else settings.max_target_tokens
    limit = model.config.text_max_positions
    if limit is not None and positions > limit:
        raise SettingsError(
            f"the longest example takes {positions} positions but this {model.config.text_config.model_type} has "
            f"{limit}; lower max_source_tokens"
        )
    model.set_knowledge_tokens(knowledge)
    model.generation_config.max_new_tokens = settings.max_target_tokens
    logger.info("Built a model of %d parameters, %d knowledge tokens", model.num_parameters(), len(knowledge))
    return model, processor


def config_fields(
    settings: ModelConfig, diseases: list[str], extractor: ClinRaGenLabFeatureExtractor, knowledge_tokens: int
) -> dict[str, Any]:
    """The fields of a `ClinRaGenConfig` that the settings decide: all but the language model's own config."""
    patch = settings.lab_patch_steps * extractor.step_features
    patches = -(-settings.lab_max_steps // settings.lab_patch_steps)
    return {
        "lab_config": {
            "num_input_channels": len(extractor.variables),
            "patch_length": patch,
            "patch_stride": patch,
            "context_length": patches * patch,
            "d_model": settings.lab_width,
            "ffn_dim": 2 * settings.lab_width,
            "num_hidden_layers": settings.lab_layers,
            "num_attention_heads": settings.lab_heads,
            "attention_dropout": settings.lab_dropout,
            "ff_dropout": settings.lab_dropout,
            "channel_attention": settings.lab_channel_attention,
        },
        "diseases": diseases,
        "variables": extractor.variables,
        "lab_layout": settings.lab_layout,
        "lab_patch_steps": settings.lab_patch_steps,
        "lab_step_features": extractor.step_features,
        "num_knowledge_tokens": knowledge_tokens,
        "num_prototypes": settings.num_prototypes,
        "knowledge_heads": settings.knowledge_heads,
        "knowledge_head_dim": settings.knowledge_head_dim,
        "knowledge_dropout": settings.knowledge_dropout,
        "knowledge_fusion": settings.knowledge_fusion,
        "lora": {
            "r": settings.lora_r,
            "lora_alpha": settings.lora_alpha,
            "lora_dropout": settings.lora_dropout,
            "target_modules": list(settings.lora_targets),
        },
    }
