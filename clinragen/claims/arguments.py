"""For each sentence of a rationale: which diseases it argues for, by what, and which it says nothing points to.

The one reading of arguments; ties, absences and the agreement of sentences with each other are made from it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from clinragen.claims.argument_parts import ArgumentParts, Part, Quoted, Raw
from clinragen.claims.argument_words import NOTE, SERIES, load_argument_words
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.patterns import load_patterns
from clinragen.claims.quotations import QUOTATION
from clinragen.claims.types import Statement
from clinragen.text.names import fold_name
from modeling_clinragen.sentences_clinragen import sentence_spans

# Stand for what is not read: quotations and disease names. No phrase contains them.
_QUOTED, _NAMED = "\x01", "\x02"
# Characters of a sentence that are read; the rest of a longer one is not.
MAX_SENTENCE = 4000
# Characters before a quotation that may deny it.
_MAX_BEFORE = 60
# A statement that is about the past, or about what was not measured, is no evidence.
_NO_EVIDENCE = frozenset(("measured",))


@dataclass(frozen=True)
class Argument:
    """A sentence, or a part of one, that says whether evidence from one source supports diseases.

    Args:
        diseases: Their keys; all of the vocabulary with `every`.
        negated: It says that the evidence does not support them.
        source: "note", "series", or "" where it names neither.
        span: Its first and last character (exclusive) in the rationale.
        quotations, statements: The evidence; without any, the argument is about the source as a whole.
        every: Whether it is about the diseases altogether ("any of the diseases").
    """

    diseases: tuple[str, ...]
    negated: bool
    source: str
    span: tuple[int, int]
    quotations: tuple[Quoted, ...] = ()
    statements: tuple[Statement, ...] = ()
    every: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is about its source as a whole, not about single evidence."""
        return not (self.quotations or self.statements)


@dataclass(frozen=True)
class SentenceArguments:
    """The arguments of one sentence.

    Args:
        span: The sentence's characters in the rationale.
        arguments: In order.
        missing: By source, the characters that say there is none.
        undiagnosed: Whether it says that no disease is diagnosed.
        read: The characters that are understood: evidence, diseases that are argued about, and the words between.
    """

    span: tuple[int, int]
    arguments: tuple[Argument, ...] = ()
    missing: tuple[tuple[str, tuple[int, int]], ...] = ()
    undiagnosed: bool = False
    read: tuple[tuple[int, int], ...] = ()


def read_arguments(text: str, statements: Sequence[Statement], lexicon: Lexicon) -> list[SentenceArguments]:
    """The arguments of each sentence of a rationale, one entry per sentence of `sentence_spans`.

    Args:
        text: The rationale.
        statements: Its statements about the series, from `clinragen.claims.parser`.
        lexicon: Names of the diseases.
    """
    reader = _Reader(text, statements, lexicon)
    return [reader.read(span) for span in sentence_spans(text)]


class _Reader:
    """Reads the sentences of one text in order; a pronoun stands for the evidence of the sentence before."""

    def __init__(self, text: str, statements: Sequence[Statement], lexicon: Lexicon) -> None:
        self._text = text
        self._lexicon = lexicon
        self._words = load_argument_words()
        self._denied = load_patterns().denied
        self._quoted = list(QUOTATION.finditer(text))
        masked = QUOTATION.sub(lambda found: _QUOTED * len(found.group()), text)
        self._named = list(lexicon.disease_names.finditer(masked))
        masked = lexicon.disease_names.sub(lambda found: _NAMED * len(found.group()), masked)
        self._masked = masked.replace("’", "'")
        self._places = [found.start() for found in self._quoted], [found.start() for found in self._named]
        self._statements = [one for one in statements if one.scope == "now" and one.predicate.kind not in _NO_EVIDENCE]
        self._statements.sort(key=lambda statement: statement.span)
        self._begins = [statement.span[0] for statement in self._statements]
        self._before: list[Part] = []

    def read(self, span: tuple[int, int]) -> SentenceArguments:
        """The arguments of the next sentence."""
        start, end = span[0], min(span[1], span[0] + MAX_SENTENCE)
        sentence = self._masked[start:end]
        missing = tuple(
            (source, (start + found.start(), start + found.end()))
            for source, pattern in self._words.missing.items()
            if (found := pattern.search(sentence)) is not None
        )
        parts = self._parts(start, end)
        undiagnosed = self._words.undiagnosed.search(sentence)
        words = self._words_of(start, sentence, parts)
        places = [place for _, place in missing]
        places += [(one.start, one.end) for one in (*parts, *words) if one.kind != "disease"]
        if undiagnosed is not None:
            self._before = []
            places.append((start + undiagnosed.start(), start + undiagnosed.end()))
            return SentenceArguments(span, missing=missing, undiagnosed=True, read=tuple(places))
        if not words and not any(part.kind == "disease" for part in parts):
            self._before = [part for part in parts if part.kind == "evidence"]
            return SentenceArguments(span, missing=missing, read=tuple(places))
        builder = ArgumentParts(self._masked, start, self._words, self._before)
        for one in sorted([*parts, *words], key=lambda one: one.start):
            builder.add(one)
        raw = builder.finish()
        self._before = [part for part in parts if part.kind == "evidence"] or [
            part for one in raw for part in one.evidence if part.kind == "evidence"
        ]
        made = tuple(argument for one in raw for argument in self._arguments(one))
        argued = {key for argument in made for key in argument.diseases}
        places += [(part.start, part.end) for part in parts if part.kind == "disease" and part.key in argued]
        return SentenceArguments(span, made, missing, read=tuple(places))

    def _parts(self, start: int, end: int) -> list[Part]:
        """Evidence and diseases of a sentence."""
        parts = []
        quoted_at, named_at = self._places
        for found in self._quoted[bisect_left(quoted_at, start) : bisect_left(quoted_at, end)]:
            if found["words"].strip(" .,;:\t"):
                before = self._text[max(start, found.start() - _MAX_BEFORE) : found.start()]
                quoted = Quoted(found["words"].strip(" .,;:\t"), found.span(), self._denied.search(before) is not None)
                parts.append(Part("evidence", *found.span(), quoted=quoted))
        for found in self._named[bisect_left(named_at, start) : bisect_left(named_at, end)]:
            key = self._lexicon.disease_keys[fold_name(found.group())]
            parts.append(Part("disease", *found.span(), key=key))
        groups: dict[int, list[Statement]] = {}
        for statement in self._statements[bisect_left(self._begins, start) : bisect_left(self._begins, end)]:
            groups.setdefault(statement.span[0], []).append(statement)
        for place, group in groups.items():
            last = max(statement.span[1] for statement in group)
            # A clause may go on behind the disease: "high, which fits Shock, peaking at 130".
            inner = min((part.start for part in parts if place < part.start < last), default=last)
            parts.append(Part("evidence", place, inner, statements=tuple(group)))
        return parts

    def _words_of(self, start: int, sentence: str, parts: Sequence[Part]) -> list[Part]:
        """The phrases of a sentence; those in a statement belong to it, except verbs with their "not"."""
        stated = [part for part in parts if part.statements]
        found: list[Part] = []
        words = self._words.find(sentence)
        for number, word in enumerate(words):
            following = words[number + 1] if number + 1 < len(words) else None
            first, last = start + word.start, start + word.end
            inside = any(part.start <= first and last <= part.end for part in stated)
            is_verb = word.kind in ("supports", "opposes")
            if word.kind == "negations" and following is not None and following.kind in ("supports", "opposes"):
                is_verb = not sentence[word.end : following.start].strip()
            if is_verb or not inside:
                found.append(Part(word.kind, first, last, key=word.word))
        return found

    def _arguments(self, raw: Raw) -> list[Argument]:
        """A raw argument as one per source."""
        every = any(part.kind == "any" for part in raw.diseases)
        if every and not raw.negated:
            return []  # "fits any of the diseases" argues for none
        keys = tuple(dict.fromkeys(part.key for part in raw.diseases if part.kind == "disease"))
        if every:
            keys = tuple(self._lexicon.disease_keys.values())
        quotations = tuple(part.quoted for part in raw.evidence if part.quoted is not None)
        statements = tuple(statement for part in raw.evidence for statement in part.statements)
        made = []
        if quotations:
            made.append(Argument(keys, raw.negated, NOTE, raw.span, quotations, (), every))
        if statements:
            made.append(Argument(keys, raw.negated, SERIES, raw.span, (), statements, every))
        if made:
            return made
        sources = list(dict.fromkeys(part.key for part in raw.evidence if part.kind == "source")) or [raw.source]
        return [Argument(keys, raw.negated, source, raw.span, every=every) for source in sources]
