"""The model as a writer of targets: whole ones, and single sentences behind a text that stands already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clinragen.verification.config import VerifyConfig
from modeling_clinragen.grounded_clinragen import (
    Chooser,
    GroundedConstraint,
    GroundedWriting,
    Line,
    Row,
    TargetReader,
)
from modeling_clinragen.grounding_clinragen import Facts, Grounding, ended
from modeling_clinragen.prefix_clinragen import pad_prefixes, prefixes_can_be_padded
from modeling_clinragen.reading_clinragen import Reading

# A sentence that is not over after so many tokens is refused.
LONGEST_SENTENCE = 120


@dataclass(frozen=True)
class Ask:
    """The evidence that a sentence is asked for.

    Args:
        begins: The texts that it can begin with, behind the text so far.
        disease: Name of the only disease that it can name, so that only evidence for it can be quoted.
    """

    begins: tuple[str, ...]
    disease: str


@dataclass(frozen=True)
class Next:
    """How a text goes on.

    Args:
        given: The part of it that stays.
        draw: Tells apart the sentences that are drawn behind the same text; None for the most probable one.
        ask: What the next sentence is asked for; None for whatever comes next.
    """

    given: str
    draw: int | None = None
    ask: Ask | None = None


GoesOn = Callable[[int, str], Next | None]
"""Called with a patient's place and text when that text has come to its end: how it goes on, if it does.

The text of a later call is what was given in the earlier one, and what has been written behind it."""


@dataclass(frozen=True)
class Request:
    """One sentence that is asked for.

    Args:
        patient: Place of the patient in the batch of drafts.
        grounding: What the text may draw on.
        row: Where the text stands (see `TargetReader.after`); None where nothing can follow.
        next: How it goes on.
    """

    patient: int
    grounding: Grounding
    row: Row | None
    next: Next


class Writer:
    """Generates under the constraint of each patient's facts.

    Args:
        model, processor: A ClinRaGen model and its processor.
        config: How to generate.
    """

    def __init__(self, model: Any, processor: Any, config: VerifyConfig) -> None:
        self._model = model
        self._processor = processor
        self._config = config
        self._padded = prefixes_can_be_padded(model.language_model)
        self._reader = TargetReader(processor, model.config, config.numbers)
        self._chooser = Chooser(self._reader, config.floor)

    def grounding(self, facts: Facts) -> Grounding:
        """The texts that are possible for a patient."""
        return self._reader.grounding(facts)

    def drafts(self, groundings: Sequence[Grounding], readings: Sequence[Reading], goes_on: GoesOn) -> list[str]:
        """One whole target for each patient of a batch, which the sentences after it are about.

        Args:
            groundings: What each may draw on.
            readings: What is read of each patient's note.
            goes_on: Called for each text that comes to its end by itself in a greedy search, and then for the text
                with the sentence that was written behind it.

        Returns:
            The texts as they were written last.
        """
        series = [grounding.facts.series for grounding in groundings]
        given = series if any(one is not None for one in series) else None
        self._encoded = self._model.encode(**self._processor.inputs(readings, given).to(self._model.device))
        rows = list(range(len(groundings)))
        if self._model.config.list_from == "decoder":
            return self._drafted(groundings, goes_on, rows, [[] for _ in rows])
        pairs = zip(readings, series, strict=True)
        modality = [self._processor.modality(reading.text, one) for reading, one in pairs]
        probabilities = self._model.diagnose(encoded=self._encoded, modality=modality)
        tokens = [self._processor.list_ids(names) for names in self._model.listed(probabilities, modality)]
        written = [""] * len(tokens)
        for rows in self._groups([len(ids) for ids in tokens]):
            texts = self._drafted([groundings[row] for row in rows], goes_on, rows, [tokens[row] for row in rows])
            for row, text in zip(rows, texts, strict=True):
                written[row] = text
        return written

    def _drafted(
        self,
        groundings: Sequence[Grounding],
        goes_on: GoesOn,
        rows: Sequence[int],
        given: Sequence[list[int]],
    ) -> list[str]:
        """The targets of some patients, behind the tokens that are given of them; either all have some or none has."""
        behind = self._behind(given) if any(given) else {}
        starts = [
            self.goes_on(self._reader.start(), self._decoded([ids])[0] if ids else "", grounding)
            for ids, grounding in zip(given, groundings, strict=True)
        ]
        states, mask = self._encoded
        chosen = torch.tensor(rows, device=states.device)
        encoded = states[chosen], mask[chosen]
        beams = self._config.num_beams
        if beams == 1:
            search: dict[str, Any] = {"custom_generate": self._greedy(groundings, goes_on, rows, given, starts)}
        else:
            constraint = GroundedConstraint(
                self._reader,
                groundings,
                width=2 * beams,
                floor=self._config.floor,
                behind=behind["target_prefix"].shape[1] if behind else 0,
                starts=starts,
            )
            search = {"logits_processor": [constraint]}
        generated = self._model.generate(encoded=encoded, do_sample=False, num_beams=beams, **search, **behind)
        whole = [[*before, *ids] for before, ids in zip(given, generated.tolist(), strict=True)]
        return [text.strip() for text in self._decoded(whole)]

    def _greedy(
        self,
        groundings: Sequence[Grounding],
        goes_on: GoesOn,
        rows: Sequence[int],
        given: Sequence[list[int]],
        starts: Sequence[Row | None],
    ) -> GroundedWriting:
        def more(number: int, line: Line) -> bool:
            text = self._decoded([[*given[number], *line.ids]])[0].strip()
            following = goes_on(rows[number], text)
            kept = None if following is None else self._tokens_of(following.given, line, given[number])
            if following is None or kept is None:
                return False
            row = line.row(kept)
            line.resume(kept, _begun(row, following), _finished(row), self._seed(following))
            return True

        lines = [Line(grounding, start) for grounding, start in zip(groundings, starts, strict=True)]
        # Where no prefix can be padded, sentences are asked for afterwards, behind prefixes of one length.
        return GroundedWriting(self._chooser, lines, self._config.temperature, more=more if self._padded else None)

    def _tokens_of(self, text: str, line: Line, given: list[int]) -> int | None:
        """How many of a line's first tokens, behind those that are given, are a text; None where it is another one.

        A blank behind it is not kept: what follows would begin with a shorter token than the model has learned.
        """
        fewest = None
        for kept in range(len(line.ids), -1 if given else 0, -1):
            row = line.row(kept)
            if row is not None and (
                kept == len(line.ids) or ended(row.rationale.sentence) or not row.rationale.sentence
            ):
                found = self._decoded([[*given, *line.ids[:kept]]])[0].strip()
                if found == text:
                    fewest = kept
                if len(found) < len(text):
                    break
        return fewest

    def opened(self, text: str, grounding: Grounding) -> Row | None:
        """Where a target stands behind a text that has been written under the constraint.

        Without the sentences that were left out, a text may come to stand where the constraint allows nothing more:
        then the result is None, and nothing is written behind it.
        """
        return self.goes_on(self._reader.start(), text, grounding)

    def goes_on(self, row: Row | None, text: str, grounding: Grounding) -> Row | None:
        """The same behind more text."""
        return None if row is None else self._reader.after(row, text, grounding)

    def sentences(self, requests: Sequence[Request]) -> list[str]:
        """For every request the text that was written behind the given one; its first sentence is what was asked."""
        written = [""] * len(requests)
        given = [request.next.given for request in requests]
        tokens = [self._processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in given]
        for rows in self._groups([len(ids) for ids in tokens]):
            texts = self._continued([requests[row] for row in rows], [tokens[row] for row in rows])
            for row, text in zip(rows, texts, strict=True):
                written[row] = text
        return written

    def _groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        rows: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
            apart = rows and lengths[row] != lengths[rows[0]] and not self._padded
            if apart or len(rows) == self._config.batch_size:
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    def _continued(self, requests: Sequence[Request], tokens: Sequence[list[int]]) -> list[str]:
        lines = [
            Line(
                request.grounding,
                _begun(request.row, request.next),
                _finished(request.row),
                self._seed(request.next),
            )
            for request in requests
        ]
        rows, (states, mask) = [request.patient for request in requests], self._encoded
        self._model.generate(
            encoded=(states[rows], mask[rows]),
            **self._behind(tokens),
            do_sample=False,
            custom_generate=GroundedWriting(self._chooser, lines, self._config.temperature),
            max_new_tokens=LONGEST_SENTENCE,
        )
        given = self._decoded(tokens)
        whole = self._decoded([[*before, *line.ids] for before, line in zip(tokens, lines, strict=True)])
        return [text.removeprefix(before) for before, text in zip(given, whole, strict=True)]

    def _behind(self, tokens: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        prefix, known = pad_prefixes(tokens, self._reader.end)
        return {"target_prefix": prefix.to(self._model.device), "target_prefix_mask": known.to(self._model.device)}

    def _seed(self, following: Next) -> int | None:
        if following.draw is None:
            return None
        # The same for a patient, whatever else is in the batch.
        begins = () if following.ask is None else following.ask.begins
        named = f"{self._config.seed}\n{following.draw}\n{begins}\n{following.given}"
        return int.from_bytes(hashlib.blake2b(named.encode(), digest_size=5).digest(), "big")

    def _decoded(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return self._processor.tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def _begun(row: Row | None, following: Next) -> Row | None:
    """Where a text stands of which something is asked."""
    if row is None or following.ask is None:
        return row
    ask, state = following.ask, row.rationale
    # The blank that ends a sentence is not part of the next one.
    spaced = state.sentence[-1:].isspace() or (bool(state.finished) and not state.sentence)
    begins = tuple(text.lstrip() for text in ask.begins) if spaced else ask.begins
    return row._replace(rationale=state._replace(listed=frozenset((ask.disease,)), literals=begins))


def _finished(row: Row | None) -> int:
    # Given text that ends with a full stop ends its last sentence with the blank that follows.
    return 2 if row is not None and row.rationale.sentence.strip() else 1
