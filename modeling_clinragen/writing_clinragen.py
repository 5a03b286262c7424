"""Greedy search that writes within the data, many texts side by side: one that is over leaves the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .batch_clinragen import Batch
from .choice_clinragen import Candidate, Chooser, Scores, loops
from .grounding_clinragen import Grounding, ended
from .targets_clinragen import Row

# Texts that are over leave when at most this share of the batch is left: each time the others are copied.
_LEFT = 7 / 8


class Line:
    """One text that is written.

    Args:
        grounding: What it may draw on.
        row: Where it stands (see `TargetReader.after`); None where nothing can follow.
        finished: How many sentences have ended when the text is over, those before it not counted; None where it goes
            on to its own end.
        seed: Where given, the tokens are drawn at random by it instead of taken by their probability.

    Attributes:
        ids: The tokens that have been written.
    """

    def __init__(
        self, grounding: Grounding, row: Row | None, finished: int | None = None, seed: int | None = None
    ) -> None:
        self.grounding = grounding
        self.ids: list[int] = []
        self._start = row
        self._rows: list[Row] = []
        self.resume(0, row, finished, seed)

    def row(self, tokens: int | None = None) -> Row | None:
        """Where the text stands behind so many of its tokens, by default all."""
        kept = len(self.ids) if tokens is None else tokens
        return self._rows[kept - 1] if kept else self._start

    def resume(self, tokens: int, row: Row | None, finished: int | None = None, seed: int | None = None) -> None:
        """Take back all but the first tokens, and go on from there as from `row`; the rest as for a new text."""
        del self.ids[tokens:], self._rows[tokens:]
        if not tokens:
            self._start = row
        elif row is not None:
            self._rows[-1] = row
        self.seed = seed
        self._finished = finished
        self._begun = tokens
        self._before = 0 if row is None else len(row.rationale.finished)

    @property
    def part(self) -> list[int]:
        """The tokens since the text has last gone on."""
        return self.ids[self._begun :]

    def write(self, chosen: Candidate) -> None:
        """Take a token that does not end the text."""
        assert chosen.row is not None
        self.ids.append(chosen.token)
        self._rows.append(chosen.row)

    def ends(self, row: Row | None) -> bool:
        """Whether the text is over before the token that leads to `row`, which is None for the end token."""
        own = self.row()
        if row is None or own is None or self._over(own):
            return True
        # A token may hold the end of a sentence and what comes behind it.
        return self._over(row) and ended(own.rationale.sentence)

    def _over(self, row: Row) -> bool:
        return self._finished is not None and len(row.rationale.finished) - self._before >= self._finished


More = Callable[[int, Line], bool]
"""Called with the number of a text that has come to its end by itself, and the text: whether it goes on. If so, it has
been resumed."""


class GroundedWriting:
    """Writes texts within the patients' data; pass it to a model's `generate` as `custom_generate`.

    What is written is the same as with `GroundedConstraint` and greedy search, and each text the same in any batch.

    Args:
        chooser: Finds the possible tokens.
        lines: The texts, in the order of the batch. Their `ids` grow.
        temperature: Of those that are drawn.
        longest: Most tokens of a text since it has last gone on; by default the limit of `generate`.
        more: Asked whether a text goes on; by default none does. Needs a model whose prefixes can be padded.

    Attributes:
        batch: The numbers of the texts that the rows are of, while it writes.
    """

    def __init__(
        self,
        chooser: Chooser,
        lines: Sequence[Line],
        temperature: float = 1.0,
        longest: int | None = None,
        more: More | None = None,
    ) -> None:
        self._chooser = chooser
        self.lines = list(lines)
        self._temperature = temperature
        self._longest = longest
        self._more = more
        self.batch: list[int] = []
        self._last: list[int] = []

    def __call__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """As the search of transformers' `generate`, without its stopping criteria: `(rows, tokens)`, padded."""
        given, longest = input_ids, self._longest
        # Behind given embeddings alone there is no token that could be read again.
        self._last = input_ids[:, -1].tolist() if input_ids.shape[1] else []
        if longest is None:
            longest = generation_config.max_length - input_ids.shape[1]
        self.batch = [number for number, line in enumerate(self.lines) if line.row() is not None]
        state = Batch(model, input_ids, kwargs)
        if 0 < len(self.batch) < len(self.lines):
            state.select(self.batch)
        active = set(self.batch)
        while active:
            own = logits_processor(state.input_ids, state.logits())
            scores = self._chooser.scores(own, self._drawn(own))
            tokens, back = [], {}
            for place, number in enumerate(self.batch):
                token = self._chooser.reader.end
                if number in active:
                    before = len(self.lines[number].ids)
                    if self._goes_on(number, scores, place, longest):
                        ids = self.lines[number].ids
                        token = ids[-1] if ids else self._last[number]
                        # The last one of the kept tokens is read again.
                        back[place] = before + 1 - len(self.lines[number].ids)
                    else:
                        active.remove(number)
                tokens.append(token)
            state.append(tokens, {place: taken for place, taken in back.items() if taken})
            if active and len(active) <= _LEFT * len(self.batch) and state.selects:
                places = [place for place, number in enumerate(self.batch) if number in active]
                state.select(places)
                self.batch = [self.batch[place] for place in places]
        written = max((len(line.ids) for line in self.lines), default=0)
        padded = [line.ids + [self._chooser.reader.end] * (written - len(line.ids)) for line in self.lines]
        return torch.cat((given, torch.tensor(padded, dtype=given.dtype, device=given.device)), dim=1)

    def _goes_on(self, number: int, scores: Scores, place: int, longest: int) -> bool:
        """Write the next token of a text, or take some back; False where the text is over."""
        line = self.lines[number]
        while True:
            cut = len(line.part) >= longest
            chosen = Candidate(self._chooser.reader.end, None) if cut else self._choose(line, scores, place)
            if not line.ends(chosen.row):
                line.write(chosen)
                return True
            before = len(line.ids)
            # A first text that is cut off has not come to an end.
            if self._more is None or (cut and len(line.part) == before) or not self._more(number, line):
                return False
            if len(line.ids) < before:
                return bool(line.ids or self._last)

    def _choose(self, line: Line, scores: Scores, place: int) -> Candidate:
        over, row = Candidate(self._chooser.reader.end, None), line.row()
        if row is None or loops(line.part):
            return over
        return next(iter(self._chooser.candidates(row, line.grounding, scores, place)), over)

    def _drawn(self, own: torch.Tensor) -> torch.Tensor | None:
        lines = [self.lines[number] for number in self.batch]
        if all(line.seed is None for line in lines):
            return None
        noise = seeded_noise([line.seed for line in lines], [len(line.part) for line in lines], own.shape[1])
        return own / self._temperature + noise.to(own.device)


def seeded_noise(seeds: Sequence[int | None], steps: Sequence[int], size: int) -> torch.Tensor:
    """Gumbel noise, `(rows, size)`, which makes the greatest score a sample; it depends on a row's seed and step only.

    Args:
        seeds: One for each row; None for a row without noise.
        steps: Number of tokens that each row has.
        size: Number of scores.
    """
    noise = torch.zeros(len(seeds), size)
    for row, (seed, step) in enumerate(zip(seeds, steps, strict=True)):
        if seed is not None:
            source = torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 62))
            noise[row] = -(-torch.rand(size, generator=source).clamp_min(1e-20).log()).log()
    return noise


__all__ = ["GroundedWriting", "Line", "seeded_noise"]
