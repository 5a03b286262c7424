"""Generation behind targets whose beginning is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel

from .errors import ModelInputError
from .packing_clinragen import pack


def prefixes_can_be_padded(language_model: PreTrainedModel) -> bool:
    """Whether the prefixes of a batch may differ in length.

    A decoder-only model counts the positions that its mask leaves. The decoder of an encoder-decoder counts padding,
    unless it has relative positions.
    """
    config = language_model.config
    return not config.is_encoder_decoder or getattr(config, "relative_attention_num_buckets", None) is not None


def pad_prefixes(tokens: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first tokens of several targets, padded on the left, and their mask, `(batch, prefix_tokens)` each."""
    longest = max(map(len, tokens))
    prefix = [[padding] * (longest - len(ids)) + list(ids) for ids in tokens]
    known = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in tokens]
    return torch.tensor(prefix), torch.tensor(known)


def generate_behind(
    language_model: PreTrainedModel,
    encoded: tuple[torch.Tensor, torch.Tensor],
    prefix: torch.Tensor,
    known: torch.Tensor,
    **kwargs: Any,
) -> Any:
    """Generate behind the first tokens of the targets.

    Args:
        language_model: The language model.
        encoded: States and mask (see `ClinRaGenForConditionalGeneration.encode`).
        prefix, known: The first tokens, `(batch, prefix_tokens)`, padded on the left, and their mask.
        kwargs: Options of transformers' `generate`, with its `generation_config`.

    Returns:
        As `generate` does for whole targets; the prefix is not among the tokens.

    Raises:
        ModelInputError: Prefixes are padded that can't be.
    """
    states, mask = encoded
    if not language_model.config.is_encoder_decoder:
        written = language_model.get_input_embeddings()(prefix)
        embeds = torch.cat((states, written.to(states.dtype)), dim=1)
        embeds, mask = pack(embeds, torch.cat((mask, known.bool()), dim=1), padding_side="left")
        return language_model.generate(inputs_embeds=embeds, attention_mask=mask, **kwargs)
    if not known.all() and not prefixes_can_be_padded(language_model):
        raise ModelInputError("the decoder counts positions, so prefixes must have one length; group them by it")
    # The start token and the prefix count among an encoder-decoder's generated tokens.
    settings = kwargs["generation_config"]
    if settings.max_new_tokens is None:
        settings.max_new_tokens, settings.max_length = settings.max_length, None
    start = language_model.generation_config.decoder_start_token_id
    start = language_model.config.decoder_start_token_id if start is None else start
    # The start token stands right before the first known one.
    given = torch.cat((prefix.new_full((len(prefix), 1), start), prefix.masked_fill(known == 0, start)), dim=1)
    # Of the given tokens only the last one's successor is wanted, and the head is the dearest part.
    handle = language_model.get_output_embeddings().register_forward_pre_hook(
        lambda _, hidden: (hidden[0][:, -1:], *hidden[1:])
    )
    try:
        generated = language_model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=given,
            decoder_attention_mask=torch.cat((known, known.new_ones(len(known), 1)), dim=1),
            **kwargs,
        )
    finally:
        handle.remove()
    sequences = generated if isinstance(generated, torch.Tensor) else generated.sequences
    sequences = torch.cat((sequences[:, :1], sequences[:, given.shape[1] :]), dim=1)
    if isinstance(generated, torch.Tensor):
        return sequences
    generated.sequences = sequences
    return generated


__all__ = ["generate_behind", "pad_prefixes", "prefixes_can_be_padded"]
