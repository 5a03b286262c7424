"""Greedy search in which texts that are over leave, go on, and take tokens back: nothing else is written by that."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pytest
import torch
from model_inputs import NOTES, three_stays
from transformers import LogitsProcessor

from modeling_clinragen.choice_clinragen import Chooser
from modeling_clinragen.grounded_clinragen import GroundedConstraint, TargetReader
from modeling_clinragen.grounding_clinragen import Facts
from modeling_clinragen.writing_clinragen import GroundedWriting, Line

KINDS = ["t5", "bart", "qwen3"]
# Where the decoder counts positions, tokens can't be taken back.
GOING_BACK = ["t5", "qwen3"]


def made(kind: str, make_model: Any, make_processor: Any, make_series: Any, floor: float = 0.0) -> tuple[Any, ...]:
    model, processor = make_model(kind), make_processor()
    reader = TargetReader(processor, model.config)
    stays = three_stays(make_series)
    groundings = [reader.grounding(Facts(note, None, stay)) for note, stay in zip(NOTES, stays, strict=True)]
    return model, processor(NOTES, stays), groundings, Chooser(reader, floor)


@pytest.mark.parametrize("floor", [0.0, 0.01])
@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_what_the_constraint_lets_a_greedy_search_write(
    kind: str, floor: float, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, inputs, groundings, chooser = made(kind, make_model, make_processor, make_series, floor)
    writing = GroundedWriting(chooser, [Line(one, chooser.reader.start()) for one in groundings])
    written = model.generate(**inputs, max_new_tokens=60, do_sample=False, custom_generate=writing)
    constraint = GroundedConstraint(chooser.reader, groundings, width=1, floor=floor)
    searched = model.generate(**inputs, max_new_tokens=60, do_sample=False, logits_processor=[constraint])
    end = chooser.reader.end
    skipped = 1 if model.config.is_encoder_decoder else 0
    for one, line, other in zip(written.tolist(), writing.lines, searched.tolist(), strict=True):
        bare = [token for token in other[skipped:] if token != end and token != model.config.text_config.pad_token_id]
        assert line.ids == bare
        assert one[skipped : skipped + len(bare)] == bare


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_is_over_leaves_and_changes_nothing_of_the_others(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, inputs, groundings, chooser = made(kind, make_model, make_processor, make_series)

    def write(starts: list[Any]) -> list[list[int]]:
        writing = GroundedWriting(chooser, [Line(*one) for one in zip(groundings, starts, strict=True)])
        model.generate(**inputs, max_new_tokens=30, do_sample=False, custom_generate=writing)
        return [line.ids for line in writing.lines]

    start = chooser.reader.start()
    whole = write([start] * 3)
    assert all(whole)
    for gone in range(3):
        expected = [[] if number == gone else ids for number, ids in enumerate(whole)]
        assert write([None if number == gone else start for number in range(3)]) == expected
    assert write([None] * 3) == [[], [], []]


class Ending(LogitsProcessor):
    """Ends each text once, as soon as it can end."""

    def __init__(self, writing: GroundedWriting, end: int, ended: Container[int]) -> None:
        self._writing, self._end, self._ended = writing, end, ended

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for place, number in enumerate(self._writing.batch):
            if number not in self._ended:
                scores[place, self._end] = 1e4
        return scores


@pytest.mark.parametrize("kind", GOING_BACK)
def test_a_text_goes_on_behind_a_part_of_it_as_behind_the_same_text_given(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, inputs, groundings, chooser = made(kind, make_model, make_processor, make_series)
    asked: dict[int, Any] = {}

    def more(number: int, line: Line) -> bool:
        if number in asked:
            return False
        # Each takes back another part, so that the rows of the batch come apart.
        kept = len(line.ids) - 2 - 5 * number
        asked[number] = (line.ids[:kept], line.row(kept))
        line.resume(kept, line.row(kept), seed=None if number == 1 else number)
        return True

    lines = [Line(one, chooser.reader.start()) for one in groundings]
    writing = GroundedWriting(chooser, lines, 0.7, more=more)
    ending = Ending(writing, chooser.reader.end, asked)
    model.generate(**inputs, max_new_tokens=90, do_sample=False, logits_processor=[ending], custom_generate=writing)
    assert len(asked) == len(groundings)
    for number, (before, row) in asked.items():
        alone = Line(groundings[number], row, seed=lines[number].seed)
        model.generate(
            **{name: value[number : number + 1] for name, value in inputs.items()},
            target_prefix=torch.tensor([before]),
            max_new_tokens=90,
            do_sample=False,
            custom_generate=GroundedWriting(chooser, [alone], 0.7),
        )
        assert alone.ids
        assert lines[number].ids == [*before, *alone.ids]
