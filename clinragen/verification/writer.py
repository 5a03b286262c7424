"""The model as a writer of targets: whole ones, and single sentences behind a text that stands already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from clinragen.verification.config import VerifyConfig
from modeling_clinragen.grounded_clinragen import (
    GroundedConstraint,
    OneSentence,
    Row,
    SeededSampling,
    TargetReader,
)
from modeling_clinragen.grounding_clinragen import Facts, Grounding
from modeling_clinragen.prefix_clinragen import prefixes_can_be_padded

# A sentence that is not over after so many tokens is refused.
LONGEST_SENTENCE = 120


@dataclass(frozen=True)
class Request:
    """One sentence that is asked for.

    Args:
        patient: Place of the patient in the batch of drafts.
        grounding: What the text may draw on.
        given: The text of the target so far.
        row: Where it stands (see `TargetReader.after`); None where nothing can follow.
        finished: How many sentences have ended when this one has. Given text that ends with a full stop ends its last
            one with the blank that follows.
        draw: Tells apart the sentences that are drawn behind the same text; None for the most probable one.
        begins: Where given, the sentence begins with one of these texts, behind the text so far.
        spans: Where given, only these parts of the note can be quoted in the sentence.
        disease: Where given, the name of the only disease that the sentence can name.
    """

    patient: int
    grounding: Grounding
    given: str
    row: Row | None
    finished: int
    draw: int | None = None
    begins: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] | None = None
    disease: str | None = None


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

    def grounding(self, facts: Facts) -> Grounding:
        """The texts that are possible for a patient."""
        return self._reader.grounding(facts)

    def drafts(self, groundings: Sequence[Grounding]) -> list[str]:
        """One whole target for each patient of a batch, which the sentences after it are about."""
        beams = self._config.num_beams
        constraint = GroundedConstraint(
            self._reader, groundings, width=1 if beams == 1 else 2 * beams, floor=self._config.floor
        )
        self._encoded = self._model.encode(**self._inputs(groundings))
        generated = self._model.generate(
            encoded=self._encoded, do_sample=False, num_beams=beams, logits_processor=[constraint]
        )
        return [text.strip() for text in self._decoded(generated.tolist())]

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
        given = [request.given for request in requests]
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
        longest, device = max(map(len, tokens)), self._model.device
        seeds = [None if request.draw is None else self._seed(request) for request in requests]
        constraint = GroundedConstraint(
            self._reader,
            [_narrowed(request) for request in requests],
            width=1,
            floor=self._config.floor,
            draw=SeededSampling(seeds, self._config.temperature),
            starts=[_begun(request) for request in requests],
            prefix_tokens=longest,
        )
        rows, (states, mask) = [request.patient for request in requests], self._encoded
        padding = [longest - len(ids) for ids in tokens]
        prefix = [[self._reader.end] * pad + ids for pad, ids in zip(padding, tokens, strict=True)]
        known = [[0] * pad + [1] * (longest - pad) for pad in padding]
        generated = self._model.generate(
            encoded=(states[rows], mask[rows]),
            target_prefix=torch.tensor(prefix, device=device),
            target_prefix_mask=torch.tensor(known, device=device),
            do_sample=False,
            logits_processor=[constraint],
            stopping_criteria=[OneSentence(constraint, [request.finished for request in requests])],
            max_new_tokens=LONGEST_SENTENCE,
        ).tolist()
        given = self._decoded(tokens)
        whole = self._decoded([[*before, *ids] for before, ids in zip(tokens, generated, strict=True)])
        return [text.removeprefix(before) for before, text in zip(given, whole, strict=True)]

    def _seed(self, request: Request) -> int:
        # The same for a patient, whatever else is in the batch.
        named = f"{self._config.seed}\n{request.draw}\n{request.begins}\n{request.given}"
        return int.from_bytes(hashlib.blake2b(named.encode(), digest_size=5).digest(), "big")

    def _inputs(self, groundings: Sequence[Grounding]) -> Any:
        facts = [grounding.facts for grounding in groundings]
        series = [one.series for one in facts]
        given = series if any(one is not None for one in series) else None
        return self._processor(note=[one.note for one in facts], series=given, warn=False).to(self._model.device)

    def _decoded(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return self._processor.tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def _begun(request: Request) -> Row | None:
    if request.row is None:
        return None
    listed = request.row.rationale.listed if request.disease is None else frozenset((request.disease,))
    rationale = request.row.rationale._replace(listed=listed, literals=request.begins)
    return request.row._replace(rationale=rationale)


def _narrowed(request: Request) -> Grounding:
    grounding = request.grounding
    if request.spans is None:
        return grounding
    return replace(grounding, facts=replace(grounding.facts, spans=request.spans))
