"""The words with which a rationale argues, from `resources/arguments.yaml`, ready for look-up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import faults_named, read_yaml

ARGUMENTS = files("clinragen.claims") / "resources" / "arguments.yaml"
NOTE, SERIES = "note", "series"

# A word, an arrow, what is not read (see arguments.py), or any other character, which no phrase contains.
_PIECE = re.compile(r"->|=>|[a-z]+(?:'[a-z]+)?|[\x01\x02]+|\S")
# Of a phrase in several lists the last one here decides.
_LISTS = (
    "mentions",
    "supports",
    "opposes",
    "unlikely",
    "pronouns",
    "relatives",
    "also",
    "breaks",
    "negations",
    "no_negations",
)


@dataclass(frozen=True)
class Word:
    """A phrase in a text: its `kind` (a list of the file, "source" or "any"), its `word`, and its characters."""

    kind: str
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class ArgumentWords:
    """Compiled phrases.

    Args:
        phrases: By its first word, the phrases in words with kind and `Word.word`, the longest first.
        strong: Negations that reach across evidence.
        before, after, background: Find what stands right before a disease with evidence before it, between a disease
            and evidence, and right before a disease that is not argued for.
        apart: Finds words between two diseases that separate them.
        missing: By source, what says that there is none.
        undiagnosed: Says that no disease is diagnosed.
        plain: Words that say nothing by themselves, in lower case.
    """

    phrases: Mapping[str, Sequence[tuple[tuple[str, ...], str, str]]]
    strong: frozenset[str]
    before: re.Pattern[str]
    after: re.Pattern[str]
    background: re.Pattern[str]
    apart: re.Pattern[str]
    missing: Mapping[str, re.Pattern[str]]
    undiagnosed: re.Pattern[str]
    plain: frozenset[str]

    def find(self, text: str) -> list[Word]:
        """The phrases in a text, in order; of two that begin at the same word, the longer one."""
        pieces = list(_PIECE.finditer(text.lower()))
        words = [piece.group() for piece in pieces]
        found = []
        free = 0  # the first word that is not part of a phrase yet
        for number, word in enumerate(words):
            if number < free or word not in self.phrases:
                continue
            for phrase, kind, meant in self.phrases[word]:
                last = number + len(phrase)
                if tuple(words[number:last]) == phrase:
                    found.append(Word(kind, meant, pieces[number].start(), pieces[last - 1].end()))
                    free = last
                    break
        return found


@lru_cache(maxsize=4)
def load_argument_words(path: Path | None = None) -> ArgumentWords:
    """Read the phrases. Raises `InputDataError` naming what is missing or malformed."""
    source = path if path is not None else ARGUMENTS
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        kinds: dict[str, tuple[str, str]] = {}
        for which in (NOTE, SERIES):
            kinds |= {phrase.lower(): ("source", which) for phrase in content["sources"][which]}
        for name in _LISTS:
            kinds |= {phrase.lower(): (name, phrase.lower()) for phrase in content[name]}
        kinds |= {phrase.lower(): ("any", "") for phrase in content["any_disease"]}
        return ArgumentWords(
            phrases=_by_first_word(kinds),
            strong=frozenset(phrase.lower() for phrase in content["strong_negations"]),
            before=re.compile(rf"{_alternatives(content['links_before'])}\s*\Z", re.IGNORECASE),
            after=re.compile(rf"\s*{_alternatives(content['links_after'])}\s*\Z", re.IGNORECASE),
            background=re.compile(rf"{_alternatives(content['background'])}\s+(?:the\s+)?\Z", re.IGNORECASE),
            apart=re.compile(_alternatives(content["apart"]), re.IGNORECASE),
            missing={
                which: re.compile("|".join(f"(?:{pattern})" for pattern in content["missing"][which]), re.IGNORECASE)
                for which in (NOTE, SERIES)
            },
            undiagnosed=re.compile(content["undiagnosed"], re.IGNORECASE),
            plain=frozenset(word.lower() for phrase in content["plain"] for word in phrase.split()),
        )


def _by_first_word(
    kinds: Mapping[str, tuple[str, str]],
) -> dict[str, list[tuple[tuple[str, ...], str, str]]]:
    found: dict[str, list[tuple[tuple[str, ...], str, str]]] = {}
    for phrase, (kind, word) in kinds.items():
        words = tuple(_PIECE.findall(phrase))
        found.setdefault(words[0], []).append((words, kind, word))
    return {first: sorted(phrases, key=lambda entry: -len(entry[0])) for first, phrases in found.items()}


def _alternatives(phrases: Iterable[str]) -> str:
    """A pattern of whole phrases, the longest first; blanks may be any white space."""
    ordered: Sequence[str] = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return "(?:" + "|".join(_whole(phrase) for phrase in ordered) + ")"


def _whole(phrase: str) -> str:
    body = r"\s+".join(map(re.escape, phrase.split()))
    before = r"(?<![\w'’])" if phrase[0].isalnum() else ""
    after = r"(?![\w'’])" if phrase[-1].isalnum() else ""
    return f"{before}{body}{after}"
