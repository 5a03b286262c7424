"""Which tokens may come next in a text that holds nothing but what the patient's data hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .grounding_clinragen import Grounding
from .targets_clinragen import Row, TargetReader

LOOPS = 4
LONGEST_LOOP = 12
# Tokens that are tried before all tokens are sorted.
_LIKELY = 16


class Candidate(NamedTuple):
    """A possible token, and where the text stands behind it; None where the token ends the text."""

    token: int
    row: Row | None


class Scores:
    """The scores of one step of a batch.

    Args:
        own: The model's, `(rows, vocabulary)`.
        drawn: Those that decide which token is taken; by default the model's.
        floor: Logarithm of the least probability of a token of running text.
        width: How many tokens of a row are wanted.
    """

    def __init__(self, own: torch.Tensor, drawn: torch.Tensor | None, floor: float, width: int) -> None:
        drawn = own if drawn is None else drawn
        # By the model's own probabilities, whatever is drawn.
        self.least = (torch.logsumexp(own.float(), dim=1) + floor).tolist()
        self.likely = drawn.topk(min(max(_LIKELY, width), drawn.shape[1]), dim=1).indices.tolist()
        self.own = own.float().cpu().numpy()
        self.drawn = self.own if drawn is own else drawn.float().cpu().numpy()

    def ordered(self, row: int, tokens: Sequence[int]) -> list[int]:
        """Tokens by falling score."""
        return [tokens[place] for place in np.argsort(-self.drawn[row][tokens], kind="stable").tolist()]

    def all_ordered(self, row: int) -> list[int]:
        """All tokens by falling score."""
        return np.argsort(-self.drawn[row], kind="stable").tolist()


class Chooser:
    """Finds the most probable tokens behind which a text can still become a possible one.

    Args:
        reader: Made from the model's processor and config.
        floor: In running text, where nothing certain has to follow, a token that the model itself gives a lower
            probability is not possible: the data do not hold what the model would say.
        width: How many tokens are wanted.
    """

    def __init__(self, reader: TargetReader, floor: float, width: int = 1) -> None:
        self.reader = reader
        self.width = width
        self._floor = math.log(floor) if floor > 0 else -math.inf
        self._stops = [token for token, text in reader.texts.items() if text == "."]

    def scores(self, own: torch.Tensor, drawn: torch.Tensor | None = None) -> Scores:
        """The scores of one step of a batch, `(rows, vocabulary)`; see `Scores`."""
        return Scores(own, drawn, self._floor, self.width)

    def candidates(self, row: Row, grounding: Grounding, scores: Scores, place: int) -> list[Candidate]:
        """The `width` most probable possible tokens, as far as there are so many.

        Args:
            row: Where the text stands.
            grounding: What it may draw on.
            scores: Of this step.
            place: The text's row in the scores.
        """
        bound = self.reader.following(row, grounding)
        if bound is not None:
            ordered = scores.ordered(place, bound) if bound else []
            if row.rationale.literals:
                ordered = self._prescribed(ordered, row, scores, place)
            return self._possible(row, grounding, ordered, self.width)
        if not self.reader.runs(row):
            found = self._possible(row, grounding, scores.likely[place], self.width)
            if len(found) < self.width:
                further = scores.all_ordered(place)[len(scores.likely[place]) :]
                found += self._possible(row, grounding, further, self.width - len(found))
            return found
        own, least = scores.own[place], scores.least[place]
        found = self._possible(
            row, grounding, (token for token in scores.likely[place] if own[token] >= least), self.width
        )
        if len(found) == self.width:
            return found
        tried = set(scores.likely[place])
        further = [token for token in np.flatnonzero(own >= least).tolist() if token not in tried]
        found += self._possible(row, grounding, scores.ordered(place, further), self.width - len(found))
        if len(found) < self.width and grounding.concluded(row.rationale):
            # A sentence that has named its disease may end, however the model would go on.
            improbable = [token for token in self._stops if own[token] < least]
            found += self._possible(row, grounding, improbable, self.width - len(found))
        return found

    def _prescribed(self, tokens: Sequence[int], row: Row, scores: Scores, place: int) -> list[int]:
        """Tokens of prescribed texts in the order in which they are tried.

        A model has learned to write with the longest tokens there are, and does not know how to go on behind shorter
        ones. So first come those that hold a whole text and more, then the longest part of one, and last those that go
        beyond a text in a way that the model would not.
        """
        own, least, texts = scores.own[place], scores.least[place], row.rationale.literals

        def rank(token: int) -> tuple[int, int]:
            written = self.reader.texts[token]
            if any(text.startswith(written) for text in texts):
                return 1, -len(written)
            return (0 if own[token] >= least else 2), 0

        return sorted(tokens, key=rank)

    def _possible(self, row: Row, grounding: Grounding, tokens: Iterable[int], wanted: int) -> list[Candidate]:
        found: list[Candidate] = []
        if wanted:
            for one in self._each_possible(row, grounding, tokens):
                found.append(one)
                if len(found) == wanted:
                    break
        return found

    def _each_possible(self, row: Row, grounding: Grounding, tokens: Iterable[int]) -> Iterable[Candidate]:
        reader = self.reader
        for token in tokens:
            if token == reader.end:
                if reader.complete(row, grounding):
                    yield Candidate(token, None)
                continue
            text = reader.texts.get(token)
            reached = reader.after(row, text, grounding) if text is not None else None
            if reached is not None:
                yield Candidate(token, reached)


def loops(ids: Sequence[int]) -> bool:
    """Whether a text ends with the same tokens several times over, which a model does not leave by itself."""
    last = list(ids[-LOOPS * LONGEST_LOOP :])
    periods = range(1, len(last) // LOOPS + 1)
    return any(last[-period:] * LOOPS == last[-LOOPS * period :] for period in periods)


__all__ = ["Candidate", "Chooser", "Scores", "loops"]
