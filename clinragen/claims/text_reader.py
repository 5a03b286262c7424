"""Reads texts and keeps what it has read: drafts of a text share most of their sentences, and decoding asks often."""

from __future__ import annotations

from functools import lru_cache

from clinragen.claims.arguments import SentenceArguments, read_arguments
from clinragen.claims.lexer import sentence_tokens, tokenize
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.parser import parse
from clinragen.claims.types import Statement


class TextReader:
    """Turns texts into statements and arguments, which depend on no patient.

    What it has read is kept as long as the reader: texts about a patient go with the patient's checker.

    Args:
        lexicon: The meaning of the words.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._tokens = lru_cache(maxsize=2048)(sentence_tokens)
        self._read = lru_cache(maxsize=1024)(self._read_anew)

    def read(self, text: str) -> tuple[tuple[Statement, ...], tuple[SentenceArguments, ...]]:
        """A text's statements and arguments."""
        return self._read(text)

    def _read_anew(self, text: str) -> tuple[tuple[Statement, ...], tuple[SentenceArguments, ...]]:
        statements = parse(tokenize(text, self._lexicon, self._tokens))
        return tuple(statements), tuple(read_arguments(text, statements, self._lexicon))
