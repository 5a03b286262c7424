"""One form for all spellings of a term that differ only in case, plural or hyphens."""

from __future__ import annotations

import re
from functools import lru_cache

from clinragen.text.term_index import split_words

NormalForm = tuple[str, ...]

# Words that end in s without being a plural: mass, virus, pancreas, diabetes.
_NO_PLURAL = re.compile(r"(?:ss|us|as|betes|herpes)$")
_PLURALS = (
    (re.compile(r"(?<=..)ies$"), "y"),  # arteries
    (re.compile(r"(?<=ss|sh|ch|us|xi|.x)es$"), ""),  # masses, viruses, reflexes
    (re.compile(r"(?<=[aeiouy]s)[ie]s$"), ""),  # stenosis and stenoses, disease and diseases
    (re.compile(r"(?<=[aeiouy]s)e$"), ""),
    (re.compile(r"s$"), ""),
)


@lru_cache(maxsize=65536)
def normal_word(word: str) -> str:
    """A word in lower case, the same for singular and plural; not necessarily an English word."""
    word = word.lower()
    if len(word) <= 3 or _NO_PLURAL.search(word):
        return word
    for ending, singular in _PLURALS:
        changed = ending.sub(singular, word)
        if changed != word:
            return changed
    return word


def normal_form(text: str) -> NormalForm:
    """The words of a text in normal form; hyphens and other characters between them do not matter."""
    return tuple(normal_word(word.text) for word in split_words(text))
