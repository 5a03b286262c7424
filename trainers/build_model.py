"""Builds an untrained ClinRaGen around a pretrained backbone, or around one built from scratch."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.governance import is_credentialed
from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import ClinRaGenError, GovernanceError, InputDataError, SettingsError
from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.knowledge_map_clinragen import term_token_ids
from modeling_clinragen.language_model_clinragen import load_language_config
from modeling_clinragen.library_errors import raised_in, user_error
from modeling_clinragen.loading_clinragen import is_gguf, load_part
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import (
    DIAGNOSIS_MARK,
    NO_DIAGNOSIS,
    RATIONALE_MARK,
    ClinRaGenProcessor,
)
from modeling_clinragen.summary_encoder_clinragen import NO_BOUND
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary
from trainers.backbone_fit import require_enough_positions, require_usable_tokenizer
from trainers.knowledge_choice import choose_knowledge
from trainers.memory import free_memory
from trainers.memory_check import BeforeLoading
from trainers.model_config import ModelConfig, read_shape
from trainers.model_size import part_sizes, possible_layout, require_free_memory
from trainers.summary_scaling import summary_scaling
from trainers.tokenizer import CohortTokenizer, train_tokenizer

logger = logging.getLogger(__name__)

_REFUSALS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError, StrictDataclassError)
"""How transformers and PyTorch fail on a config that cannot work."""

TEXTS = ("note", "lab_summary", "rationale_note", "rationale_lab")
"""Columns of a cohort that a tokenizer is trained on."""


def require_splits(cohort: DatasetDict) -> CohortSplits:
    """The cohort, whose splits must have come with their vocabulary.

    Raises:
        SettingsError: It is a plain `DatasetDict`, which does not record its variables.
    """
    if not isinstance(cohort, CohortSplits):
        raise SettingsError(
            "the cohort has no vocabulary: it is a plain DatasetDict, as `map` and `select` return it; give the "
            "CohortSplits that load_examples returns, or make one with its vocabulary and provenance"
        )
    return cohort


def normalisation(cohort: CohortSplits) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every variable's measured values in the training split, in its unit.

    A variable that was never measured there gets the paper's fill value and a deviation of 1.
    """
    variables = cohort.vocabulary.variables
    parts = [series["values"] for series in series_column(cohort["train"])]
    values = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, len(variables)))
    means, stds = [], []
    for column, variable in enumerate(variables):
        measured = values[~np.isnan(values[:, column]), column]
        means.append(float(measured.mean()) if measured.size else variable.fill)
        stds.append(float(measured.std()) if measured.size > 1 and measured.std() > 0 else 1.0)
    return means, stds


def scaled_bounds(extractor: ClinRaGenLabFeatureExtractor, ranges: RangeSet) -> torch.Tensor:
    """Normal ranges as the lab features have their values, `(variables, 2)`; `NO_BOUND` where there is none."""
    bounds = np.array([ranges.bounds.get(key, (-np.inf, np.inf)) for key in extractor.variables], dtype=np.float64)
    means, stds = np.array(extractor.means)[:, None], np.array(extractor.stds)[:, None]
    return torch.tensor((bounds - means) / stds, dtype=torch.float32).clamp(-NO_BOUND, NO_BOUND)


def _start_head(
    model: ClinRaGenForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    cohort: CohortSplits,
    disease_terms: Mapping[str, Sequence[str]],
) -> None:
    embeddings = model.get_input_embeddings().get_parameter("weight")
    # A disease's name and each of its terms count alike, however many tokens they have.
    queries = torch.stack(
        [
            torch.stack(
                [
                    embeddings[term_token_ids(words, tokenizer)].float().mean(dim=0)
                    for words in (disease.name, *disease_terms.get(disease.key, ()))
                ]
            ).mean(dim=0)
            for disease in cohort.vocabulary.diseases
        ]
    )
    labels = torch.tensor(label_matrix(cohort["train"]), dtype=torch.float32)
    model.disease_head.start_from(queries, labels.mean(dim=0))


def cohort_tokenizer(settings: ModelConfig, cohort: CohortSplits) -> CohortTokenizer:
    """Train the tokenizer of a backbone from scratch on the texts of the training split.

    Raises:
        GovernanceError: The cohort is credentialed or of unrecorded origin, and `tokenizer_from_credentialed` is not
            set.
        SettingsError: The vocabulary is too small.
    """
    if is_credentialed(cohort.provenance) and not settings.tokenizer_from_credentialed:
        raise GovernanceError(
            "scratch: its tokenizer would be made of the words of credentialed patients (or of ones whose origin is "
            "not recorded), readable in the model folder; name a pretrained backbone in the model's YAML, or set "
            "tokenizer_from_credentialed: true there"
        )
    train = cohort["train"]
    texts = ((patient, text) for name in TEXTS for patient, text in zip(train["subject_id"], train[name], strict=True))
    whole = [*cohort.vocabulary.disease_names, NO_DIAGNOSIS, DIAGNOSIS_MARK, RATIONALE_MARK]
    return train_tokenizer(
        texts, vocab_size=settings.vocab_size, whole=whole, min_patients=settings.tokenizer_min_patients
    )


def build_model(
    settings: ModelConfig,
    cohort: CohortSplits,
    terms: Sequence[str],
    seed: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    disease_terms: Mapping[str, Sequence[str]] | None = None,
    before_loading: BeforeLoading | None = None,
) -> tuple[ClinRaGenForConditionalGeneration, ClinRaGenProcessor]:
    """Build model and processor for a cohort.

    Args:
        settings: What to build.
        cohort: Splits with rationales, as `load_examples` reads them. Their vocabulary and range set become the
            processor's; the training split gives the normalisation statistics and, from scratch, the tokenizer.
        terms: The knowledge base's terms.
        seed: Seed of the random initialisation.
        tokenizer: That of a backbone from scratch, where it has been made already (see `cohort_tokenizer`).
        disease_terms: Terms by key of the disease, which the queries of a disease head start from beside the names.
        before_loading: Called when all that is checked here holds, before weights are loaded or made.

    Raises:
        GovernanceError: As `cohort_tokenizer`.
        SettingsError: The cohort has no vocabulary, there is no such backbone, the longest example does not fit into
            it, its tokenizer lacks what targets are made of, there is too little memory, or the choice of knowledge
            cannot be made. All of these are found before any weights are loaded.
    """
    vocabulary = require_splits(cohort).vocabulary
    set_seed(seed)
    diseases = list(vocabulary.disease_names)
    if settings.scratch is not None:
        tokenizer = tokenizer if tokenizer is not None else cohort_tokenizer(settings, cohort).tokenizer
    else:
        with _backbone_named(settings.backbone):
            tokenizer = load_part(AutoTokenizer, str(settings.backbone))
    means, stds = normalisation(cohort)
    extractor = _extractor(settings, vocabulary, means, stds)
    processor = ClinRaGenProcessor(
        extractor,
        tokenizer,
        vocabulary=vocabulary,
        range_set=cohort.range_set,
        instruction=settings.instruction,
        lab_marker=settings.lab_marker,
        lab_input=settings.lab_input,
        layout=settings.layout,
        max_source_tokens=settings.max_source_tokens,
        max_target_tokens=settings.max_target_tokens,
        note_cut=settings.note_cut,
    )
    knowledge = choose_knowledge(settings, terms, disease_terms or {}, tokenizer, seed)
    fields = config_fields(settings, diseases, extractor, len(knowledge.tokens))
    # Also before any training: statistics and tokenizer are made from the cohort.
    fields["credentialed"] = is_credentialed(cohort.provenance)
    if settings.backbone is not None:
        with _backbone_named(settings.backbone):
            text_config = load_language_config(settings.backbone).to_dict()
            config = ClinRaGenConfig(text_config=text_config, **fields)
            require_usable_tokenizer(processor, config, settings.backbone)
            layout = possible_layout(config)
            require_enough_positions(settings, config)
            require_free_memory(part_sizes(layout), free_memory())
            if before_loading is not None:
                before_loading(layout, processor)
            model = ClinRaGenForConditionalGeneration.from_backbone(settings.backbone, **fields)
        if tokenizer.chat_template:
            logger.info(
                "The backbone's chat template is not used: its adapters learn the prompt of this project "
                "(docs/training.md, Chat templates)"
            )
    else:
        special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        # T5 has no default for the token that a decoder starts with; its authors start with padding.
        special["decoder_start_token_id"] = tokenizer.pad_token_id
        assert settings.scratch is not None  # ModelConfig has exactly one of the two.
        shape = read_shape(settings.scratch)
        with _shape_named(settings.scratch):
            config = ClinRaGenConfig(text_config={**shape, **special, "vocab_size": len(tokenizer)}, **fields)
            layout = possible_layout(config)
            require_free_memory(part_sizes(layout), free_memory(), pretrained=False)
        require_enough_positions(settings, config)
        if before_loading is not None:
            before_loading(layout, processor)
        with _shape_named(settings.scratch):
            model = ClinRaGenForConditionalGeneration(config)
    model.set_knowledge_tokens(knowledge.tokens)
    if model.summary_encoder is not None:
        bounds = scaled_bounds(extractor, vocabulary.range_set(cohort.range_set))
        centre, scale = summary_scaling(cohort, extractor, bounds)
        model.summary_encoder.bounds.copy_(bounds)
        model.summary_encoder.centre.copy_(centre)
        model.summary_encoder.scale.copy_(scale)
    if model.disease_head is not None:
        _start_head(model, tokenizer, cohort, knowledge.disease_terms)
    model.generation_config.max_new_tokens = settings.max_target_tokens
    logger.info("Built a model of %d parameters, %d knowledge tokens", model.num_parameters(), len(knowledge.tokens))
    return model, processor


def _extractor(
    settings: ModelConfig, vocabulary: Vocabulary, means: Sequence[float], stds: Sequence[float]
) -> ClinRaGenLabFeatureExtractor:
    variables = vocabulary.variables
    return ClinRaGenLabFeatureExtractor(
        variables=[variable.key for variable in variables],
        units=[variable.unit for variable in variables],
        means=list(means),
        stds=list(stds),
        max_steps=settings.lab_max_steps,
        patch_steps=settings.lab_patch_steps,
        lab_layout=settings.lab_layout,
        fills=[variable.fill for variable in variables] if settings.lab_layout == "paper" else (),
    )


def check_size(settings: ModelConfig, vocabulary: Vocabulary) -> None:
    """Check that a model of these settings could be built, without building it or reading a cohort.

    A backbone is looked at where its folder is on this machine.

    Args:
        settings: What would be built.
        vocabulary: Of the cohort that it would be built for.

    Raises:
        SettingsError: As `possible_layout` and `require_enough_positions`, or the language model's config cannot
            work.
    """
    count = len(vocabulary.variables)
    extractor = _extractor(settings, vocabulary, [0.0] * count, [1.0] * count)
    # How many tokens the knowledge has is not known yet; it has one at least.
    fields = config_fields(
        settings, list(vocabulary.disease_names), extractor, int(settings.knowledge_fusion != "none")
    )
    fields["credentialed"] = False
    if settings.scratch is not None:
        # Whatever the tokenizer will be: its special tokens are the first ones.
        special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
        shape = {**read_shape(settings.scratch), **special, "vocab_size": settings.vocab_size}
        with _shape_named(settings.scratch):
            config = ClinRaGenConfig(text_config=shape, **fields)
            possible_layout(config)
        require_enough_positions(settings, config)
    elif (Path(str(settings.backbone)) / "config.json").is_file() or is_gguf(str(settings.backbone)):
        with _backbone_named(settings.backbone):
            text_config = load_language_config(str(settings.backbone)).to_dict()
            config = ClinRaGenConfig(text_config=text_config, **fields)
            possible_layout(config)
        require_enough_positions(settings, config)


@contextmanager
def _backbone_named(backbone: str | None) -> Iterator[None]:
    try:
        yield
    except InputDataError as error:
        raise SettingsError(f"backbone: {error}") from error
    except ClinRaGenError:
        raise
    except (OSError, ValueError) as error:
        # transformers raises a ValueError where a folder has no tokenizer.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SettingsError(
            f"backbone: '{backbone}' has no language model with its tokenizer that can be loaded without foreign code "
            "or pickled weights (or the Hub cannot be reached); correct the model's YAML"
        ) from error


@contextmanager
def _shape_named(file: Path) -> Iterator[None]:
    """Name the file where transformers refuses what a language model's config says, such as heads that do not fit."""
    try:
        yield
    except _REFUSALS as error:
        if isinstance(error, ClinRaGenError):
            raise
        known = user_error(error)
        if known is not None:
            raise SettingsError(f"{file}: {known}") from error
        if not raised_in(error, "transformers", "torch", "huggingface_hub"):
            raise
        # PyTorch adds where in its own code it was.
        fault = " ".join(str(error).split()).partition(" Exception raised from ")[0][:300]
        # Of a look-up that failed, the words are only what was looked for.
        fault = f"there is no {fault}" if isinstance(error, LookupError) else fault
        raise SettingsError(f"{file}: no language model can be built of it ({fault}); correct its keys") from error


def config_fields(
    settings: ModelConfig, diseases: list[str], extractor: ClinRaGenLabFeatureExtractor, knowledge_tokens: int
) -> dict[str, Any]:
    """The fields of a `ClinRaGenConfig` that the settings determine: all but the language model's own config."""
    patch = settings.lab_patch_steps * extractor.step_features
    patches = -(-settings.lab_max_steps // settings.lab_patch_steps)
    targets = settings.lora_targets
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
        "lab_summary": settings.lab_summary,
        "lab_summary_width": settings.lab_summary_width,
        "disease_head": settings.disease_head,
        "disease_heads": settings.disease_heads,
        "disease_head_pooled": settings.disease_head_pooled,
        "disease_loss_weight": settings.disease_loss_weight,
        "evidence_loss_weight": settings.evidence_loss_weight,
        "list_from": settings.list_from,
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
            "target_modules": targets if isinstance(targets, str) else list(targets),
        },
    }
