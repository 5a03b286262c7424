"""Preference training of any language model by a reward of one line; run it from the project's folder.

    python examples/preference_seq2seq.py [MODEL] [dpo|grpo]

MODEL is any encoder-decoder or decoder-only model of transformers (a folder or a name on the Hub). Without one, a tiny
random T5 is made, which learns within seconds to write no digit.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from trainers.preference_config import PreferenceConfig
from trainers.preference_trainer import ClinRaGenPreferenceTrainer


def no_digit(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 for a text without a digit, else the less the more digits it has."""
    return [1 / (1 + sum(character.isdigit() for character in text)) for text in texts]


def letters(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
    """How much a text says; without such a count, writing nothing would be the easiest way to write no digit."""
    return [float(sum(character.isalpha() for character in text)) for text in texts]


def train(model: Any, tokenizer: Any, loss: str, folder: str, learning_rate: float) -> dict[str, float]:
    """Train, and return the mean reward of sampled texts before and after."""
    prompts = [{"prompt": f"patient {number}"} for number in range(64)]
    args = PreferenceConfig(
        output_dir=folder,
        loss=loss,
        learning_rate=learning_rate,
        max_steps=24,
        group_size=8,
        max_new_tokens=8,
        beta=0.1 if loss == "dpo" else 0.0,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = ClinRaGenPreferenceTrainer(
        model, args, prompts, processing_class=tokenizer, reward_functions=[no_digit], coverage=[letters]
    )
    before = reward_of(trainer, prompts)
    trainer.train()
    return {"before": before, "after": reward_of(trainer, prompts)}


def reward_of(trainer: ClinRaGenPreferenceTrainer, prompts: Sequence[Mapping[str, Any]]) -> float:
    """The mean reward of what the model writes."""
    groups = trainer.policy.sample(prompts, 4, temperature=1.0, max_new_tokens=8)
    texts = [trainer.policy.text(target) for group in groups for target in group]
    return sum(no_digit(texts, [])) / len(texts)


def tiny() -> tuple[Any, Any]:
    """A random T5 that writes single characters."""
    letters = {token: number for number, token in enumerate(["<pad>", "</s>", *"0123456789abcdefghij "])}
    raw = Tokenizer(models.WordLevel(letters, unk_token="a"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")
    config = T5Config(
        vocab_size=len(letters), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0
    )
    return T5ForConditionalGeneration(config), tokenizer


def load(name: str) -> tuple[Any, Any]:
    """A model of either kind with its tokenizer."""
    both = AutoConfig.from_pretrained(name).is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
    return kind.from_pretrained(name), AutoTokenizer.from_pretrained(name)


def main(words: Sequence[str]) -> None:
    """Train the model that was named, or a tiny one."""
    set_seed(0)
    names = [word for word in words if word not in ("dpo", "grpo")]
    model, tokenizer = load(names[0]) if names else tiny()
    # What is random has far to go.
    learning_rate = 1e-5 if names else 3e-3
    with tempfile.TemporaryDirectory() as folder:
        found = train(model, tokenizer, "grpo" if "grpo" in words else "dpo", folder, learning_rate)
    print(f"reward of sampled texts: {found['before']:.2f} before, {found['after']:.2f} after")


if __name__ == "__main__":
    main(sys.argv[1:])
