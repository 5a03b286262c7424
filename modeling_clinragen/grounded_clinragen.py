"""Grounded decoding: a model writes only what the patient's data hold (see `Grounding`).

`GroundedConstraint` is a logits processor, so it works with every tokenizer, with beams and with sampling, in batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from .choice_clinragen import Chooser, loops
from .errors import SettingsError
from .grounding_clinragen import Grounding
from .targets_clinragen import Row, TargetReader
from .writing_clinragen import GroundedWriting, Line


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
        behind: Number of tokens of the given beginnings of the targets, padding included (see `generate_behind`).
        starts: Where each example's target stands behind its beginning; by default there is none.

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
        behind: int = 0,
        starts: Sequence[Row | None] | None = None,
    ) -> None:
        if width < 1:
            raise SettingsError(f"width is {width}; the constraint needs at least one possible token")
        self._reader = reader
        self._groundings = list(groundings)
        self._chooser = Chooser(reader, floor, width)
        # An encoder-decoder's generated ids begin with the start token; from given embeddings they begin empty.
        self._skipped = 1 + behind if reader.is_encoder_decoder else 0
        # By example and tokens; a row whose text is over is None.
        self._rows: dict[tuple[int, tuple[int, ...]], Row | None] = {}
        for number in range(len(self._groundings)):
            self._rows[number, ()] = reader.start() if starts is None else starts[number]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the scores of all but the possible tokens to minus infinity; `(rows, tokens)`, `(rows, vocabulary)`."""
        rows = input_ids[:, self._skipped :].tolist()
        each = len(rows) // len(self._groundings)
        step = self._chooser.scores(scores)
        kept = torch.full_like(scores, float("-inf"))
        for place, tokens in enumerate(rows):
            number, ids = place // each, tuple(tokens)
            row = self._rows.get((number, ids))
            found = []
            if row is not None and not loops(ids):
                found = self._chooser.candidates(row, self._groundings[number], step, place)
            for token, reached in found:
                self._rows[number, (*ids, token)] = reached
            chosen = [token for token, _ in found] or [self._reader.end]
            kept[place, chosen] = scores[place, chosen] if len(chosen) > 1 else 0.0
        return kept


# Some of these are not used here: an imported module travels with a saved model.
__all__ = [
    "Chooser",
    "GroundedConstraint",
    "GroundedWriting",
    "Line",
    "Row",
    "TargetReader",
]
