"""Grounded decoding: whatever a model would write, its rationale holds nothing but what the patient's data hold."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from model_inputs import NOTES, three_stays

from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.grounded_clinragen import Chooser, GroundedConstraint, GroundedWriting, Line, TargetReader
from modeling_clinragen.grounding_clinragen import Facts
from modeling_clinragen.note_clinragen import find_spans
from modeling_clinragen.processing_clinragen import LAYOUTS
from modeling_clinragen.sentences_clinragen import sentence_spans
from modeling_clinragen.writing_clinragen import seeded_noise

KINDS = ["t5", "bart", "qwen3"]


def facts_of(make_series: Any) -> list[Facts]:
    return [Facts(note, None, stay) for note, stay in zip(NOTES, three_stays(make_series), strict=True)]


def written(model: Any, processor: Any, facts: list[Facts], *, width: int = 1, **way: Any) -> list[str]:
    reader = TargetReader(processor, model.config)
    inputs = processor([one.note for one in facts], [one.series for one in facts])
    constraint = GroundedConstraint(reader, [reader.grounding(one) for one in facts], width=width, floor=0)
    generated = model.generate(**inputs, max_new_tokens=90, logits_processor=[constraint], **way)
    return processor.tokenizer.batch_decode(generated, skip_special_tokens=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "way",
    [
        {"width": 1},
        {"width": 6, "num_beams": 3},
        {"width": 32, "do_sample": True, "temperature": 3.0, "num_return_sequences": 2},
    ],
)
def test_a_random_model_quotes_the_note_and_states_no_number_of_nothing(
    kind: str, layout: str, way: dict[str, Any], make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind), make_processor(layout=layout)
    torch.manual_seed(3)
    reader = TargetReader(processor, model.config)
    facts = facts_of(make_series)
    texts = written(model, processor, facts, **way)
    each = way.get("num_return_sequences", 1)
    for row, text in enumerate(texts):
        rationale = processor.parse(text).rationale
        for words in re.findall(r'["“„«»]([^"“”„«»]*)["”“«»]', rationale):
            assert find_spans(facts[row // each].note, words), (text, words)
        if not facts[row // each].note:
            assert not re.search(r'["“”„«»]', rationale)
        # Where no variable is named no number can follow.
        if reader.names.last(rationale) is None:
            assert not re.search(r"(?<![\w.])\d", re.sub(r'["“”„«»][^"“”„«»]*["“”„«»]?', "", rationale)), text


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_writes_what_each_patient_alone_would_get(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor, facts = make_model(kind), make_processor(), facts_of(make_series)
    together = written(model, processor, facts)
    assert together == [written(model, processor, [one])[0] for one in facts]
    assert together == written(model, processor, facts, width=7)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_goes_on_from_a_prefix_as_if_it_had_written_it(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    inputs = processor(NOTES, three_stays(make_series))
    skipped = 1 if model.config.is_encoder_decoder else 0
    whole = model.generate(**inputs, max_new_tokens=24, min_new_tokens=24, do_sample=False)[:, skipped:]
    prefix = whole[:, :9]
    rest = model.generate(**inputs, target_prefix=prefix, max_new_tokens=15, min_new_tokens=15, do_sample=False)
    assert torch.equal(rest[:, skipped:], whole[:, 9:])
    scored = model.generate(
        **inputs, target_prefix=prefix, max_new_tokens=5, output_scores=True, return_dict_in_generate=True
    )
    assert scored.sequences.shape[1] - skipped == len(scored.scores)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_prefixes_of_different_lengths_go_on_side_by_side(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    inputs = processor(NOTES, three_stays(make_series))
    skipped = 1 if model.config.is_encoder_decoder else 0
    whole = model.generate(**inputs, max_new_tokens=20, min_new_tokens=20, do_sample=False)[:, skipped:]
    lengths = [3, 9, 6]
    prefix = torch.stack([torch.cat((row.new_ones(9 - n), row[:n])) for row, n in zip(whole, lengths, strict=True)])
    mask = torch.tensor([[0] * (9 - n) + [1] * n for n in lengths])
    rest = model.generate(
        **inputs, target_prefix=prefix, target_prefix_mask=mask, max_new_tokens=11, min_new_tokens=11, do_sample=False
    )[:, skipped:]
    for row, n in enumerate(lengths):
        assert rest[row].tolist() == whole[row, n : n + 11].tolist()


def test_a_decoder_that_counts_positions_refuses_padded_prefixes(
    make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model("bart"), make_processor()
    prefix = torch.ones(3, 4, dtype=torch.long)
    mask = torch.tensor([[0, 1, 1, 1], [1] * 4, [1] * 4])
    with pytest.raises(ModelInputError, match="group them"):
        model.generate(
            **processor(NOTES, three_stays(make_series)),
            target_prefix=prefix,
            target_prefix_mask=mask,
            max_new_tokens=2,
        )
    model.generate(
        **processor(NOTES, three_stays(make_series)),
        target_prefix=prefix,
        target_prefix_mask=torch.ones_like(mask),
        max_new_tokens=2,
    )


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_given_text_is_continued_by_one_sentence_that_begins_as_asked(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor, facts = make_model(kind), make_processor(), facts_of(make_series)
    reader = TargetReader(processor, model.config)
    groundings = [reader.grounding(one) for one in facts]
    given = [processor.target(["Shock"], text) for text in ('"Dyspnea" fits. A b.', "A", "Cough is no. B c d e.")]
    tokens = [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in given]
    longest = max(map(len, tokens))
    lines = []
    for seed, (text, grounding, finished) in enumerate(zip(given, groundings, (2, 1, 2), strict=True)):
        row = reader.after(reader.start(), text, grounding)
        assert row is not None
        assert row.rationale.listed == {"Shock"}
        begun = row._replace(rationale=row.rationale._replace(literals=(" Fine, so", " Well, so")))
        lines.append(Line(grounding, begun, finished, seed))
    model.generate(
        **processor(NOTES, three_stays(make_series)),
        target_prefix=torch.tensor([[1] * (longest - len(ids)) + ids for ids in tokens]),
        target_prefix_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in tokens]),
        custom_generate=GroundedWriting(Chooser(reader, 0.0), lines),
        max_new_tokens=60,
    )
    for before, text, line in zip(tokens, given, lines, strict=True):
        written = processor.tokenizer.decode([*before, *line.ids], skip_special_tokens=True).removeprefix(text)
        assert written.startswith((" Fine, so", " Well, so")), written
        sentences = sentence_spans(written)
        # Without the token that would begin the next one.
        assert len(sentences) == 1 or len(line.ids) == 60


def test_a_draw_depends_on_its_seed_and_its_step_alone() -> None:
    together = seeded_noise([5, None, 7], [4, 4, 9], 50)
    assert torch.equal(seeded_noise([7], [9], 50), together[2:])
    assert torch.equal(together[1], torch.zeros(50))
    assert not torch.equal(seeded_noise([8], [9], 50), together[2:])
    assert not torch.equal(seeded_noise([7], [8], 50), together[2:])


def test_draws_follow_the_probabilities() -> None:
    scores = torch.tensor([[0.7, 0.2, 0.1]]).log()
    seeds = range(4000)
    draws = (scores + seeded_noise(seeds, [1] * len(seeds), 3)).argmax(dim=1)
    shares = torch.bincount(draws, minlength=3) / len(draws)
    assert torch.allclose(shares, scores.exp()[0], atol=0.03)
    cold = (scores / 0.05 + seeded_noise(seeds, [1] * len(seeds), 3)).argmax(dim=1)
    assert set(cold.tolist()) == {0}


def test_a_width_of_nothing_is_refused(make_model: Any, make_processor: Any) -> None:
    processor = make_processor()
    with pytest.raises(SettingsError, match="at least one"):
        GroundedConstraint(TargetReader(processor, make_model().config), [], width=0)
