"""Whether a language model fits what is asked of it: its positions the lengths, its tokenizer the targets."""

from __future__ import annotations

from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.model_config import ModelConfig


def require_enough_positions(settings: ModelConfig, config: ClinRaGenConfig) -> None:
    """Check that the longest example fits into the language model.

    Args:
        settings: The lengths.
        config: The model's configuration.

    Raises:
        SettingsError: It does not; the message has the numbers.
    """
    limit = config.text_max_positions
    labs = -(-settings.lab_max_steps // settings.lab_patch_steps)
    labs += len(config.variables) if settings.lab_summary else 0
    labs += config.num_knowledge_tokens if settings.knowledge_fusion == "tokens" else 0
    target = 0 if config.text_config.is_encoder_decoder else settings.max_target_tokens
    needed = settings.max_source_tokens + labs + target
    if limit is None or needed <= limit:
        return
    parts = f"max_source_tokens {settings.max_source_tokens}, {labs} for the labs"
    parts += f", max_target_tokens {target}" if target else ""
    room = limit - labs - target
    cure = f"lower max_source_tokens to {room}" if room > 0 else "lower lab_max_steps or max_target_tokens"
    raise SettingsError(
        f"the longest example needs {needed} positions ({parts}) but this {config.text_config.model_type} has "
        f"{limit}; {cure}, or choose another backbone"
    )


def require_usable_tokenizer(processor: ClinRaGenProcessor, config: ClinRaGenConfig, backbone: str) -> None:
    """Check that a pretrained tokenizer has what targets are made of, and belongs to its language model.

    Args:
        processor: With the tokenizer.
        config: The model's configuration, with the diseases.
        backbone: What messages call it.

    Raises:
        SettingsError: There is no end token, there are more tokens than embeddings, or the list of diseases does not
            come back from its tokens as it was, as where all words are made lower case.
    """
    tokenizer = processor.tokenizer
    if tokenizer.eos_token_id is None:
        raise SettingsError(
            f"backbone '{backbone}': its tokenizer names no end token, which every target ends with; add eos_token to "
            "its tokenizer_config.json, or choose another backbone"
        )
    embeddings = config.text_reader.vocab_size
    if len(tokenizer) > embeddings:
        raise SettingsError(
            f"backbone '{backbone}': its tokenizer has {len(tokenizer)} tokens but the language model has embeddings "
            f"of {embeddings}; put the language model's own tokenizer into the folder"
        )
    expected = processor.parse(processor.target(config.diseases))
    found = processor.parse(tokenizer.decode(processor.list_ids(config.diseases), skip_special_tokens=True))
    if found != expected:
        lost = [name for name in expected.diagnoses if name not in found.diagnoses]
        what = f"the disease '{lost[0]}'" if lost else "the markers of a target"
        raise SettingsError(
            f"backbone '{backbone}': its tokenizer cannot write {what}, which comes back from its tokens as another "
            "text; choose a backbone whose tokenizer keeps every character"
        )


__all__ = ["require_enough_positions", "require_usable_tokenizer"]
