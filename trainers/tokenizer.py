"""A tokenizer of the cohort's own language, for a backbone built from scratch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from modeling_clinragen.errors import SettingsError

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, whole: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer; every text round-trips but for white space.

    Args:
        texts: Training texts (the training split only).
        vocab_size: Size of the vocabulary.
        whole: Texts that become one token each (disease names, the marks of the target format).

    Raises:
        SettingsError: The vocabulary is too small to hold all bytes and the whole texts.
    """
    smallest = 256 + 3 + len(whole)
    if vocab_size < smallest:
        raise SettingsError(f"vocab_size is {vocab_size}; it must be at least {smallest} for this tokenizer")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    # As T5's own tokenizer does: a note's line breaks are layout, and cost a token each.
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    # Single digits: numbers are then spelled, not memorised as a whole.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(whole),
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)
    fast.add_tokens(list(whole))
    return fast
