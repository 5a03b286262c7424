"""Reads the targets of a model character by character: where one stands, and which tokens may begin a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .generation_clinragen import ListGrammar, token_texts, token_trie
from .grounding_clinragen import Facts, Grounding, Quotable, State
from .numbers_clinragen import SeriesNumbers, VariableNames
from .sentences_clinragen import CLOSING_MARKS

_MARK = "#"
# Longer texts than those of tokens are not remembered.
_LONGEST_TOKEN = 80

Positions = frozenset[tuple[Any, ...]]
"""The positions in the grammar of a target that its text may have reached."""


class Row(NamedTuple):
    """Where one row stands: in the grammar of the whole target, and in its rationale."""

    grammar: Positions
    rationale: State


class TargetReader:
    """Reads targets of a processor's layout character by character; made once for a model and used for every batch.

    Args:
        processor: The model's processor, with its vocabulary.
        config: The model's config.
        numbers: Which numbers are possible, one of `NUMBERS`.

    Raises:
        SettingsError: The processor has no vocabulary, or the config no diseases.
    """

    def __init__(self, processor: Any, config: Any, numbers: str = "statistic") -> None:
        self.vocabulary = processor.require_vocabulary(config)
        self.range_set = self.vocabulary.range_set(processor.range_set)
        self.grammar = ListGrammar(config.diseases, processor.layout)
        self.names = VariableNames(self.vocabulary)
        self.texts = token_texts(processor.tokenizer)
        self._trie = token_trie(self.texts)
        self.end = processor.tokenizer.eos_token_id
        self.is_encoder_decoder = config.is_encoder_decoder
        self._numbers = numbers
        self._lists: dict[tuple[Positions, str], tuple[Positions, int, frozenset[str] | None]] = {}
        self._steps: dict[tuple[Positions, str], Positions] = {}
        self._free: dict[Positions, bool] = {}
        self._begun: dict[str, frozenset[int]] = {}

    def grounding(self, facts: Facts) -> Grounding:
        """The texts that are possible for one patient."""
        numbers = SeriesNumbers(self.names, self.range_set, facts.series, self._numbers)
        return Grounding(facts, self.names, numbers, self.grammar.names)

    def following(self, row: Row, grounding: Grounding) -> list[int] | None:
        """The tokens that may come next where only certain texts may follow; None where others may.

        Not each of them is possible in its whole length.
        """
        if not self._in_rationale(row.grammar):
            return None
        state = row.rationale
        if state.mode == "quotation" and not state.literals:
            return self._quoting(grounding.quotable, state.places)
        texts = grounding.continuations(state)
        return None if texts is None else sorted(frozenset().union(*map(self._beginnings, texts)))

    def _beginnings(self, text: str) -> frozenset[int]:
        """The tokens whose text begins a text, or goes on behind the whole of it."""
        if text not in self._begun:
            found: set[int] = set()
            node: dict[str, Any] | None = self._trie
            for character in text:
                node = node.get(character) if node is not None else None
                if node is None:
                    break
                found.update(node.get("", ()))
            if node is not None:
                found.update(_below(node))
            self._begun[text] = frozenset(found)
        return self._begun[text]

    def _quoting(self, quotable: Quotable, places: Sequence[int]) -> list[int]:
        """The tokens whose text goes on with a quotation from one of the places, or ends it there."""
        found: set[int] = set()
        for place in places:
            node: dict[str, Any] | None = self._trie
            while node is not None:
                if place and quotable.text[place - 1] != "\0" and quotable.ends((place,)):
                    for mark in CLOSING_MARKS:
                        if mark in node:
                            found.update(_below(node[mark]))
                if quotable.text[place] == "\0":
                    break
                node = node.get(quotable.text[place])
                found.update(node.get("", ()) if node is not None else ())
                place += 1
        return sorted(found)

    def runs(self, row: Row) -> bool:
        """Whether running text is being written: no part of the list, a quotation, a number or given words."""
        return self._in_rationale(row.grammar) and row.rationale.mode == "free" and not row.rationale.literals

    def start(self) -> Row:
        """Before the first character."""
        return Row(self.grammar.start, State())

    def after(self, row: Row, text: str, grounding: Grounding) -> Row | None:
        """Where a row stands behind more text; None where that text is not possible."""
        grammar, rationale = row
        if not self._in_rationale(grammar):
            grammar, read, listed = self._listed(grammar, text)
            if not grammar:
                return None
            if listed is not None:
                rationale = rationale._replace(listed=listed)
            text = text[read:]
        if self.grammar.first and text:
            # Nothing but the rationale follows, and it has no second section mark.
            reached = None if _MARK in text else grounding.after(rationale, text)
            return None if reached is None else Row(grammar, reached)
        for character in text:
            if self._in_rationale(grammar) and character != _MARK:
                found = grounding.after(rationale, character)
                if found is None:
                    return None
                rationale = found
            grammar = self._step(grammar, character)
            if not grammar:
                return None
        return Row(grammar, rationale)

    def complete(self, row: Row, grounding: Grounding) -> bool:
        """Whether the target may end here."""
        return self.grammar.complete(row.grammar) and (
            not self._in_rationale(row.grammar) or grounding.complete(row.rationale)
        )

    def _in_rationale(self, grammar: Positions) -> bool:
        if grammar not in self._free:
            self._free[grammar] = any(position[0] == "free" for position in grammar)
        return self._free[grammar]

    def _listed(self, grammar: Positions, text: str) -> tuple[Positions, int, frozenset[str] | None]:
        """The grammar behind the part of the text that comes before the rationale, the length of that part, and the
        diagnoses where that part ends their list."""
        found = self._lists.get((grammar, text))
        if found is None:
            reached, read, listed = grammar, 0, None
            while read < len(text) and reached and not self._in_rationale(reached):
                before, reached = reached, self._step(reached, text[read])
                if text[read] == self.grammar.closing[0] and any(position[0] == "literal" for position in reached):
                    names = self._names_of(before)
                    listed = listed if names is None else names
                read += 1
            found = reached, read, listed
            if len(text) <= _LONGEST_TOKEN:
                self._lists[grammar, text] = found
        return found

    def _names_of(self, grammar: Positions) -> frozenset[str] | None:
        names = self.grammar.names
        for position in grammar:
            if position[0] == "name":
                return frozenset([*(names[index] for index in position[1]), position[2]]) & frozenset(names)
        return None

    def _step(self, grammar: Positions, character: str) -> Positions:
        if (grammar, character) not in self._steps:
            self._steps[grammar, character] = self.grammar.step(grammar, character)
        return self._steps[grammar, character]


def _below(node: dict[str, Any]) -> Iterator[int]:
    """The tokens that end at a node of the tree of tokens or below it."""
    pending = [node]
    while pending:
        inner = pending.pop()
        yield from inner.get("", ())
        pending += [child for key, child in inner.items() if key]


__all__ = ["Positions", "Row", "TargetReader"]
