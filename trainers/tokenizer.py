"""A tokenizer trained on the cohort's texts, for a backbone built from scratch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from modeling_clinragen.errors import SettingsError

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
CLAUSE_START = r"(?<=[.,;:])\s|\s(?=- )|\s(?=\d+\. )"
QUOTE = r"(?<=\s\")(?=\w)|(?<=^\")(?=\w)|(?=\")"


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, whole: Sequence[str] = (), min_frequency: int = 3
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer whose tokens may span words; texts round-trip but for white space.

    Merges stop at the ends of clauses and list items and at quotation marks, not at spaces. Clinical language is
    formulaic, so "no evidence of" or "high in most readings" become one token each: a note takes a third of the
    positions, and a small model sees a phrase as a unit. A quotation begins with its own token, so that a phrase has
    the same tokens after every opening quotation mark.

    Args:
        texts: Training texts (the training split only).
        vocab_size: Size of the vocabulary.
        whole: Texts that become one token each (disease names, the section markers of a target).
        min_frequency: Minimum number of occurrences of a pair that is merged.

    Raises:
        SettingsError: The vocabulary is too small for all bytes and the whole texts.
    """
    smallest = 256 + 3 + len(whole)
    if vocab_size < smallest:
        raise SettingsError(f"vocab_size is {vocab_size}; it must be at least {smallest} for this tokenizer")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    # As in T5's own tokenizer: a note's line breaks are layout.
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{CLAUSE_START}|{QUOTE}"), "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(whole),
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=min_frequency,
        show_progress=False,
    )
    # Texts that become one token anyway must not use up merges.
    apart = re.compile("|".join(map(re.escape, sorted(whole, key=len, reverse=True))) or r"(?!)")
    tokenizer.train_from_iterator((piece for text in texts for piece in apart.split(text)), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)
    fast.add_tokens(list(whole))
    return fast
