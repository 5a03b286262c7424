"""How a text that is asked for begins: with the tokens that a model has learned to write such a text with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from modeling_clinragen.choice_clinragen import Chooser
from modeling_clinragen.grounding_clinragen import Facts, Grounding
from modeling_clinragen.targets_clinragen import Row, TargetReader

ASKED = " Heart rate is high"


class Vocabulary:
    """A tokenizer's texts, of which some hold several words, as those of a small model's own tokenizer do."""

    texts = (" Heart rate is high in most", " Heart rate is", " He", " high", " hi", " high blood", " high in", ".")

    def __init__(self, reader: TargetReader) -> None:
        self.reader = reader
        self.ids = dict(zip(self.texts, range(3, 3 + len(self.texts)), strict=True))
        reader.texts = {token: text for text, token in self.ids.items()}

    def first(self, row: Row, grounding: Grounding, likely: dict[str, float]) -> str:
        """The text of the token that is taken where the model gives some a higher score than the others."""
        scores = torch.full((1, 64), -30.0)
        for text, score in likely.items():
            scores[0, self.ids[text]] = score
        chooser = Chooser(self.reader, 0.001)
        # Without its own trie, every token is tried.
        chooser.reader.following = lambda *_: list(self.ids.values())  # type: ignore[method-assign]
        return self.reader.texts[chooser.candidates(row, grounding, chooser.scores(scores), 0)[0].token]


@pytest.fixture
def made(make_model: Any, make_processor: Any, make_series: Any) -> tuple[Vocabulary, Grounding, Row]:
    processor = make_processor()
    reader = TargetReader(processor, make_model("t5").config, numbers="free")
    grounding = reader.grounding(Facts("Cough.", None, make_series(10)))
    row = reader.after(reader.start(), processor.target(["Shock"], "A."), grounding)
    assert row is not None
    return Vocabulary(reader), grounding, row._replace(rationale=row.rationale._replace(literals=(ASKED,)))


def test_a_token_that_holds_the_whole_text_comes_first_where_the_model_would_write_it(
    made: tuple[Vocabulary, Grounding, Row],
) -> None:
    """Behind " Heart rate is" the model would say that it is normal: the parts were never written for this text."""
    vocabulary, grounding, row = made
    likely = {" He": 9.0, " Heart rate is": 8.0, " Heart rate is high in most": 4.0}
    assert vocabulary.first(row, grounding, likely) == " Heart rate is high in most"
    likely[" Heart rate is high in most"] = -4.0
    assert vocabulary.first(row, grounding, likely) == " Heart rate is"


def test_without_one_the_longest_part_comes_first(made: tuple[Vocabulary, Grounding, Row]) -> None:
    vocabulary, grounding, row = made
    del vocabulary.reader.texts[vocabulary.ids.pop(" Heart rate is high in most")]
    assert vocabulary.first(row, grounding, {" He": 9.0}) == " Heart rate is"


def test_a_text_that_is_begun_ends_with_what_the_model_would_write_or_with_the_text_itself(
    made: tuple[Vocabulary, Grounding, Row],
) -> None:
    vocabulary, grounding, row = made
    begun = vocabulary.reader.after(row, " Heart rate is", grounding)
    assert begun is not None
    assert begun.rationale.literals == (" high",)
    assert vocabulary.first(begun, grounding, {" high in": 5.0, " high": 4.0}) == " high in"
    # " high blood" is the most probable of the tokens that fit, and all of them are improbable.
    improbable = {".": 30.0, " high blood": -9.0, " hi": -12.0}
    assert vocabulary.first(begun, grounding, improbable) == " high"
