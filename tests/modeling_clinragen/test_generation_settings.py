"""What a caller of `generate` asks for wins over what is saved with the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_inputs import NOTES, three_stays
from transformers import GenerationConfig

from modeling_clinragen.errors import ModelInputError
from modeling_clinragen.generation_settings_clinragen import NEEDS_TEXT, generation_settings

KINDS = ["t5", "bart", "qwen3"]
SAVED = 30
LENGTHS: dict[str, dict[str, Any]] = {
    "max_length": {"max_length": 6},
    "max_new_tokens": {"max_new_tokens": 6},
    "a configuration's max_length": {"generation_config": GenerationConfig(max_length=6)},
    "a configuration's max_new_tokens": {"generation_config": GenerationConfig(max_new_tokens=6)},
    "max_length over a configuration": {"generation_config": GenerationConfig(max_new_tokens=20), "max_length": 6},
}


@pytest.fixture
def inputs(make_processor: Any, make_series: Any) -> dict[str, torch.Tensor]:
    """Three patients."""
    return dict(make_processor()(NOTES, three_stays(make_series)))


def make(kind: str, make_model: Any) -> Any:
    """A model that never ends a text, with a saved length."""
    model = make_model(kind)
    model.generation_config.max_new_tokens = SAVED
    model.generation_config.eos_token_id = model.language_model.generation_config.eos_token_id = None
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", LENGTHS)
def test_a_length_that_is_asked_for_wins(
    given: str, kind: str, make_model: Any, inputs: dict[str, torch.Tensor]
) -> None:
    model = make(kind, make_model)
    # An encoder-decoder's `max_length`, but not its `max_new_tokens`, counts the token that decoding starts with.
    start = model.config.is_encoder_decoder and "max_new_tokens" in given
    assert model.generate(**inputs, **LENGTHS[given]).shape == (len(NOTES), 6 + start)
    assert model.generation_config.max_new_tokens == SAVED


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_asked_for_is_as_saved(kind: str, make_model: Any, inputs: dict[str, torch.Tensor]) -> None:
    model = make(kind, make_model)
    expected = model.generate(**inputs)
    assert expected.shape[1] == SAVED + model.config.is_encoder_decoder
    for options in ({"max_length": None}, {"generation_config": GenerationConfig()}):
        assert torch.equal(model.generate(**inputs, **options), expected)
    model.generation_config.num_beams = 2
    one = model.generate(**inputs, generation_config=GenerationConfig(num_beams=1))
    assert torch.equal(one, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortest_length_that_is_asked_for_wins(kind: str, make_model: Any, inputs: dict[str, torch.Tensor]) -> None:
    model = make_model(kind)
    model.generation_config.max_new_tokens, model.generation_config.min_new_tokens = SAVED, 20

    def ends(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Wants the end of the text, wherever it is allowed."""
        scores[:, 5] += 1e3
        return scores

    made = model.generate(**inputs, eos_token_id=5, min_length=4, logits_processor=[ends])
    assert made.shape == (len(NOTES), 5)


LENGTH = st.none() | st.integers(1, 99)
LEVEL = st.fixed_dictionaries({"max_length": LENGTH, "max_new_tokens": LENGTH})


@given(saved=LEVEL, configured=st.none() | LEVEL, options=LEVEL, encoder=st.booleans())
def test_exactly_one_length_is_left_and_it_is_that_of_the_first_who_gives_one(
    saved: dict[str, Any], configured: dict[str, Any] | None, options: dict[str, Any], encoder: bool
) -> None:
    given_config = {} if configured is None else {"generation_config": GenerationConfig(**configured)}
    settings, rest = generation_settings(
        GenerationConfig(**saved), {**options, **given_config, "streamer": 1}, is_encoder_decoder=encoder
    )
    assert rest == {"streamer": 1}
    levels = [level for level in (options, configured or {}, saved) if any(one is not None for one in level.values())]
    first = levels[0] if levels else {"max_length": None, "max_new_tokens": None}
    new, whole = first["max_new_tokens"], first["max_length"]
    expected = (new, None) if new is not None else ((None, whole) if encoder else (whole, None))
    assert (settings.max_new_tokens, settings.max_length) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_assistant_is_refused_in_plain_words(kind: str, make_model: Any, inputs: dict[str, torch.Tensor]) -> None:
    model = make_model(kind)
    for options in (
        {"assistant_model": model.language_model},
        {"assistant_early_exit": 1},
        {"guidance_scale": 1.5},
        {"generation_config": GenerationConfig(guidance_scale=1.5)},
    ):
        name = next(name for name in NEEDS_TEXT if name in str(options))
        with pytest.raises(ModelInputError, match=f"no {name} with this model.*leave {name} out"):
            model.generate(**inputs, max_length=6, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_looking_up_what_was_written_needs_no_assistant(
    kind: str, make_model: Any, inputs: dict[str, torch.Tensor]
) -> None:
    model = make_model(kind)
    one = {name: value[:1] for name, value in inputs.items()}
    expected = model.generate(**one, max_length=16, guidance_scale=1)
    assert torch.equal(model.generate(**one, max_length=16, prompt_lookup_num_tokens=3), expected)
