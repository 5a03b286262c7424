"""A tokenizer of the words that many patients of the cohort share, for a backbone built from scratch."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from modeling_clinragen.errors import SettingsError
from trainers.patient_pieces import PatientPieces
from trainers.tokens_report import TokensReport

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
CLAUSE_START = r"(?<=[.,;:])\s|\s(?=- )|\s(?=\d+\. )"
QUOTE = r"(?<=\s\")(?=\w)|(?<=^\")(?=\w)|(?=\")"
# Begins at a blank or at the start only, so that a long text without blanks is not tried from every character.
WORD_WITH_DIGIT = r"(?:\s|(?<!\S))(?>[^\s\d]*)\d\S*"


class CohortTokenizer(NamedTuple):
    """A tokenizer that was trained on patients' texts, and what it holds of them."""

    tokenizer: PreTrainedTokenizerFast
    report: TokensReport


def train_tokenizer(
    texts: Iterable[tuple[Hashable, str]], *, vocab_size: int, whole: Sequence[str] = (), min_patients: int = 10
) -> CohortTokenizer:
    """Train a byte-level BPE tokenizer whose tokens may span words; texts round-trip but for white space.

    Merges stop at the ends of clauses and list items and at quotation marks, not at spaces. Clinical language is
    formulaic, so "no evidence of" or "high in most readings" become one token each: a note takes a third of the
    positions, and a small model sees a phrase as a unit. A quotation begins with its own token, so that a phrase has
    the same tokens after every opening quotation mark.

    A vocabulary is readable by everybody who gets the tokenizer, so it holds only what many patients share: each text
    counts once per patient, a token that occurs in the texts of fewer than `min_patients` is dropped, be it a word or
    several, and a word with a digit is never joined with another. What contains a dropped token occurs in no more
    texts than it does and is dropped too, so that the rest is a whole BPE vocabulary.

    Args:
        texts: Training texts with the patient whom each is about (the training split only).
        vocab_size: Maximum size of the vocabulary; it is smaller where patients share too little.
        whole: Texts that become one token each (disease names, the section markers of a target).
        min_patients: Minimum number of patients in whose texts a token occurs.

    Raises:
        SettingsError: The vocabulary is too small for all bytes and the whole texts.
    """
    smallest = 256 + 3 + len(whole)
    if vocab_size < smallest:
        raise SettingsError(f"vocab_size is {vocab_size}; it must be at least {smallest} for this tokenizer")
    # As in T5's own tokenizer: a note's line breaks are layout.
    layout = normalizers.Replace(Regex(r"\s+"), " ")
    boundaries = [
        pre_tokenizers.Split(Regex(f"{CLAUSE_START}|{QUOTE}"), "merged_with_next"),
        pre_tokenizers.Split(Regex(WORD_WITH_DIGIT), "isolated"),
    ]
    alphabet = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = pre_tokenizers.Sequence([*boundaries, alphabet])
    # Texts that become one token anyway must not use up merges.
    apart = re.compile("|".join(map(re.escape, sorted(whole, key=len, reverse=True))) or r"(?!)")
    parts = ((patient, part) for patient, text in texts for part in apart.split(text))
    pieces = PatientPieces(
        parts, lambda part: [piece for piece, _ in cut.pre_tokenize_str(layout.normalize_str(part))]
    )
    learned = Tokenizer(models.BPE(unk_token=UNKNOWN))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(whole),
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=alphabet.alphabet(),
        # Necessary, not sufficient: one patient's pieces may hold a pair several times.
        min_frequency=min_patients,
        show_progress=False,
    )
    learned.train_from_iterator(pieces.once_per_patient(), trainer)
    tokenizer, spanning = _shared_by(min_patients, learned, pieces)
    tokenizer.normalizer = layout
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)
    fast.add_tokens(list(whole))
    return CohortTokenizer(fast, TokensReport(pieces.patients, min_patients, spanning))


def _shared_by(min_patients: int, learned: Tokenizer, pieces: PatientPieces) -> tuple[Tokenizer, dict[str, int]]:
    """The tokenizer without the tokens of fewer patients, and the counts of its tokens that span words, as text."""
    model = json.loads(learned.to_str())["model"]
    merges = [(left, right) for left, right in model["merges"]]
    text = decoders.ByteLevel()
    words = {left + right: text.decode([left + right]).split() for left, right in merges}
    counts = pieces.counts(merges, lambda token: None if len(words[token]) > 1 else min_patients)

    def dropped(token: str) -> bool:
        with_digit = any(character.isdigit() for word in words[token] for character in word)
        return counts[token] < min_patients or (len(words[token]) > 1 and with_digit)

    kept = [(left, right) for left, right in merges if not dropped(left + right)]
    gone = {left + right for left, right in merges} - {left + right for left, right in kept}
    ids = sorted((number, token) for token, number in model["vocab"].items() if token not in gone)
    vocabulary = {token: number for number, (_, token) in enumerate(ids)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=kept, unk_token=UNKNOWN))
    tokenizer.add_special_tokens([PAD, END, UNKNOWN])
    spanning = {text.decode([token]): counts[token] for token in dict.fromkeys(left + right for left, right in kept)}
    return tokenizer, {token: count for token, count in spanning.items() if len(token.split()) > 1}
