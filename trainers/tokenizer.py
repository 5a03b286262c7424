"""A tokenizer of the cohort's own language, for a backbone built from scratch."""

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
    positions, and a small model meets a phrase as a whole. What a rationale quotes begins with a token of its own, so
    that the same phrase is the same tokens after every opening quotation mark.

    Args:
        texts: Training texts (the training split only).
        vocab_size: Size of the vocabulary.
        whole: Texts that become one token each (disease names, the marks of the target format).
        min_frequency: How often a pair must occur to be merged.

    Raises:
        SettingsError: The vocabulary is too small to hold all bytes and the whole texts.
    """
    smallest = 256 + 3 + len(whole)
    if vocab_size < smallest:
        raise SettingsError(f"vocab_size is {vocab_size}; it must be at least {smallest} for this tokenizer")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    # As T5's own tokenizer does: a note's line breaks are layout.
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
    # What becomes one token anyway must not use up merges.
    apart = re.compile("|".join(map(re.escape, sorted(whole, key=len, reverse=True))) or r"(?!)")
    tokenizer.train_from_iterator((piece for text in texts for piece in apart.split(text)), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)
    fast.add_tokens(list(whole))
    return fast
