"""A tiny Llama with its tokenizer in one GGUF file, written by the format's own library."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

WORDS = ("<unk>", "<s>", "</s>")
LETTERS = [chr(number) for number in range(ord("!"), ord("~") + 1)] + ["Ġ", "Ċ", "ok"]
HEADS, KV_HEADS = 4, 2


def tiny_llama() -> LlamaForCausalLM:
    """The model that `write_gguf` writes."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS) + len(LETTERS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def _paired(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Query and key weights in the order that the format has them, which turns neighbouring places."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def write_gguf(path: Path) -> LlamaForCausalLM:
    """Write a tiny Llama to `path`, and return it."""
    model = tiny_llama()
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*WORDS, *LETTERS])
    writer.add_token_types([gguf.TokenType.CONTROL] * len(WORDS) + [gguf.TokenType.NORMAL] * len(LETTERS))
    writer.add_token_merges(["o k"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    state = {name: weight.detach() for name, weight in model.state_dict().items()}
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in (
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
        ):
            names[f"model.layers.{layer}.{ours}.weight"] = f"blk.{layer}.{theirs}.weight"
    for ours, theirs in names.items():
        weight = state[ours]
        if "q_proj" in ours or "k_proj" in ours:
            weight = _paired(weight, HEADS if "q_proj" in ours else KV_HEADS)
        writer.add_tensor(theirs, np.ascontiguousarray(weight.numpy().astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
