"""Grounded decoding: a model writes only what the patient's data hold (see `Grounding`).

`GroundedConstraint` is a logits processor, so it works with every tokenizer, with beams and with sampling, in batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import LogitsProcessor, StoppingCriteria

from .errors import SettingsError
from .generation_clinragen import ListGrammar, token_texts, token_trie
from .grounding_clinragen import Facts, Grounding, State
from .numbers_clinragen import SeriesNumbers, VariableNames

_MARK = "#"
LOOPS = 4
LONGEST_LOOP = 12
# Tokens that are tried before all tokens are sorted.
_LIKELY = 16


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

    def grounding(self, facts: Facts) -> Grounding:
        """The texts that are possible for one patient."""
        numbers = SeriesNumbers(self.names, self.range_set, facts.series, self._numbers)
        return Grounding(facts, self.names, numbers, self.grammar.names)

    def beginnings(self, texts: Sequence[str]) -> set[int]:
        """The tokens whose text begins one of the texts, or goes on behind the whole of one."""
        found: set[int] = set()
        for text in texts:
            node: dict[str, Any] | None = self._trie
            for character in text:
                node = node.get(character) if node is not None else None
                if node is None:
                    break
                found.update(node.get("", ()))
            pending = [node] if node is not None else []
            while pending:
                inner = pending.pop()
                found.update(inner.get("", ()))
                pending += [child for key, child in inner.items() if key]
        return found

    def start(self) -> Row:
        """Before the first character."""
        return Row(self.grammar.start, State())

    def after(self, row: Row, text: str, grounding: Grounding) -> Row | None:
        """Where a row stands behind more text; None where that text is not possible."""
        grammar, rationale = row
        grammar, read, listed = self._listed(grammar, text)
        if not grammar:
            return None
        if listed is not None:
            rationale = rationale._replace(listed=listed)
        for position, character in enumerate(text[read:], start=read):
            if self.grammar.unbound(grammar):
                # Nothing but the rationale follows, and it has no second section mark.
                rest = text[position:]
                reached = None if _MARK in rest else grounding.after(rationale, rest)
                return None if reached is None else Row(grammar, reached)
            if _in_rationale(grammar) and character != _MARK:
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
            not _in_rationale(row.grammar) or grounding.complete(row.rationale)
        )

    def _listed(self, grammar: Positions, text: str) -> tuple[Positions, int, frozenset[str] | None]:
        """The grammar behind the part of the text that comes before the rationale, the length of that part, and the
        diagnoses where that part ends their list."""
        if (grammar, text) not in self._lists:
            reached, read, listed = grammar, 0, None
            while read < len(text) and reached and not _in_rationale(reached):
                before, reached = reached, self._step(reached, text[read])
                if text[read] == self.grammar.closing[0] and any(position[0] == "literal" for position in reached):
                    names = self._names_of(before)
                    listed = listed if names is None else names
                read += 1
            self._lists[grammar, text] = reached, read, listed
        return self._lists[grammar, text]

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


def _in_rationale(grammar: Positions) -> bool:
    return any(position[0] == "free" for position in grammar)


class GroundedConstraint(LogitsProcessor):
    """Keeps generated targets to their grammar and to what the patients' data hold; pass it to `generate`.

    `model.generate(**inputs, logits_processor=[GroundedConstraint(reader, groundings)])`

    At every step the tokens are tried from the most probable one down until `width` possible ones are found, and only
    these stay possible. With greedy search `width=1` gives the same text as any larger one, with beams twice their
    number does, and a sample is drawn from the `width` most probable tokens.

    Args:
        reader: Made from the model's processor and config.
        groundings: For each example of the batch, its `TargetReader.grounding`. The beams and samples of an example
            stand side by side.
        width: See above.
        floor: In running text, outside quotations, numbers and prescribed words, a token that the model itself gives
            a lower probability ends the row: the data do not hold what the model would say.
        draw: Where given, the tokens are drawn at random by it instead of taken by their probability.
        starts: Where each example's target stands behind its given text (see `TargetReader.after`, and
            `ClinRaGenForConditionalGeneration.generate` for `target_prefix`); by default nothing is given.
        prefix_tokens: Number of tokens in `target_prefix`.

    Raises:
        SettingsError: `width` is not positive.
    """

    def __init__(
        self,
        reader: TargetReader,
        groundings: Sequence[Grounding],
        *,
        width: int = 32,
        floor: float = 1e-3,
        draw: SeededSampling | None = None,
        starts: Sequence[Row | None] | None = None,
        prefix_tokens: int = 0,
    ) -> None:
        if width < 1:
            raise SettingsError(f"width is {width}; the constraint needs at least one possible token")
        self._reader = reader
        self._groundings = list(groundings)
        self._width = width
        self._floor = math.log(floor) if floor > 0 else -math.inf
        self._draw = draw
        # An encoder-decoder's generated ids begin with the start token; from given embeddings they begin empty.
        self._skipped = 1 + prefix_tokens if reader.is_encoder_decoder else 0
        # By example and tokens; a row whose text is over is None.
        self._rows: dict[tuple[int, tuple[int, ...]], Row | None] = {}
        for number in range(len(self._groundings)):
            self._rows[number, ()] = reader.start() if starts is None else starts[number]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the scores of all but the possible tokens to minus infinity; `(rows, tokens)`, `(rows, vocabulary)`."""
        rows = input_ids[:, self._skipped :].tolist()
        each = len(rows) // len(self._groundings)
        # By the model's own probabilities, whatever is drawn.
        least = (torch.logsumexp(scores.float(), dim=1) + self._floor).tolist()
        own, scores = scores, scores if self._draw is None else self._draw(input_ids[:, self._skipped :], scores)
        best = scores.topk(min(max(_LIKELY, self._width), scores.shape[1]), dim=1).indices.tolist()
        places: list[tuple[int, int]] = []
        forced_places: list[tuple[int, int]] = []
        for row, (tokens, likely) in enumerate(zip(rows, best, strict=True)):
            number, ids = row // each, tuple(tokens)
            if self._rows.get((number, ids)) is None or _loops(ids):
                only = self._reader.end
            else:
                bound = self._bound(number, ids, scores[row])
                possible = self._possible(number, ids, likely if bound is None else bound)
                if bound is None and len(possible) < self._width:
                    further = scores[row].argsort(descending=True).tolist()[len(likely) :]
                    possible += self._possible(number, ids, further, self._width - len(possible))
                possible = [
                    token
                    for token in possible
                    if not self._running((number, ids), token) or own[row, token].item() >= least[row]
                ]
                if len(possible) > 1:
                    places += [(row, token) for token in possible]
                    continue
                only = possible[0] if possible else self._reader.end
            forced_places.append((row, only))
        kept = torch.full_like(scores, float("-inf"))
        if places:
            where = tuple(torch.tensor(places, device=scores.device).T)
            kept[where] = scores[where]
        if forced_places:
            kept[tuple(torch.tensor(forced_places, device=scores.device).T)] = 0.0
        return kept

    def _bound(self, number: int, ids: tuple[int, ...], scores: torch.Tensor) -> list[int] | None:
        """Where only certain texts may follow, the tokens that begin one of them, the most probable first."""
        row = self._rows[number, ids]
        if row is None or not _in_rationale(row.grammar):
            return None
        texts = self._groundings[number].continuations(row.rationale)
        if texts is None:
            return None
        found = sorted(self._reader.beginnings(texts))
        return [found[place] for place in scores[found].argsort(descending=True).tolist()] if found else []

    def _running(self, place: tuple[int, tuple[int, ...]], token: int) -> bool:
        """Whether a token is running text: no part of the list, of a quotation, of a number or of prescribed words."""
        before, after = self._rows.get(place), self._rows.get((place[0], (*place[1], token)))
        if before is None or after is None or not _in_rationale(before.grammar):
            return False
        if self._groundings[place[0]].numbers.demand(after.rationale.sentence) == "at once":
            # The blank before a number is as improbable as the number, where a token holds both.
            return False
        states = (before.rationale, after.rationale)
        return all(state.mode == "free" and not state.literals for state in states)

    def _possible(
        self, number: int, ids: tuple[int, ...], tokens: Sequence[int], wanted: int | None = None
    ) -> list[int]:
        wanted = self._width if wanted is None else wanted
        row, grounding = self._rows[number, ids], self._groundings[number]
        found: list[int] = []
        assert row is not None
        for token in tokens:
            longer = (number, (*ids, token))
            if token == self._reader.end:
                if self._reader.complete(row, grounding):
                    self._rows[longer] = None
                    found.append(token)
            else:
                text = self._reader.texts.get(token)
                reached = self._reader.after(row, text, grounding) if text is not None else None
                if reached is not None:
                    self._rows[longer] = reached
                    found.append(token)
            if len(found) == wanted:
                break
        return found

    def finished_sentences(self, input_ids: torch.Tensor) -> list[int]:
        """How many sentences of its rationale each row has finished since its given text; a row that is over: one."""
        rows = input_ids[:, self._skipped :].tolist()
        each = len(rows) // len(self._groundings)
        counts = []
        for row, tokens in enumerate(rows):
            number = row // each
            reached, given = self._rows.get((number, tuple(tokens))), self._rows[number, ()]
            if reached is None or given is None:
                counts.append(1)
            else:
                counts.append(len(reached.rationale.finished) - len(given.rationale.finished))
        return counts


def _loops(ids: tuple[int, ...]) -> bool:
    """Whether the text ends with the same tokens several times over, which a model does not leave by itself."""
    periods = range(1, min(LONGEST_LOOP, len(ids) // LOOPS) + 1)
    return any(ids[-period:] * LOOPS == ids[-LOOPS * period :] for period in periods)


class OneSentence(StoppingCriteria):
    """Stops each row when it has finished one sentence.

    Args:
        constraint: The constraint that the rows are generated under.
        finished: For each example, how many sentences have ended then, those of its given text not counted. Given
            text without a blank behind its last full stop ends its last sentence with the next blank only.
    """

    def __init__(self, constraint: GroundedConstraint, finished: Sequence[int]) -> None:
        self._constraint = constraint
        self._finished = finished

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """For every row whether it is over."""
        counts = self._constraint.finished_sentences(input_ids)
        each = len(counts) // len(self._finished)
        over = [count >= self._finished[row // each] for row, count in enumerate(counts)]
        return torch.tensor(over, device=input_ids.device)


class SeededSampling(LogitsProcessor):
    """Sampling that depends on nothing but the row's own seed, whatever else is in the batch.

    Gumbel noise on the scores makes the most probable token a sample, so the search itself is greedy.

    Args:
        seeds: One seed for each row; None for a row that is not drawn.
        temperature: As in sampling; positive.
    """

    def __init__(self, seeds: Sequence[int | None], temperature: float = 1.0) -> None:
        self._seeds = list(seeds)
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add each row's noise; shapes `(rows, tokens)` and `(rows, vocabulary)`."""
        step = input_ids.shape[1]
        noise = torch.zeros(scores.shape, dtype=torch.float32)
        for row, seed in enumerate(self._seeds):
            if seed is None:
                continue
            source = torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 62))
            noise[row] = -(-torch.rand(scores.shape[1], generator=source).clamp_min(1e-20).log()).log()
        return scores / self._temperature + noise.to(scores.device, scores.dtype)


__all__ = ["GroundedConstraint", "OneSentence", "Row", "SeededSampling", "TargetReader"]
