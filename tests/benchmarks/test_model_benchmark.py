"""The speed benchmark: both sides do the same work on the same patients, and the counts are right."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import authors_way
import drawn_examples
import model as benchmark
import model_flops

TINY = {
    "vocab_size": 1000,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}
LIMITS = drawn_examples.Limits(vocabulary=1000, note_tokens=56, steps=64, target_tokens=20)
SETTINGS = benchmark.Settings(runs=2, examples=4, batch=2, new_tokens=5, shape=TINY, source_tokens=64, limits=LIMITS)


@pytest.fixture
def examples() -> list[drawn_examples.Example]:
    rng = np.random.default_rng(0)
    lengths = [(30, 20, 9), (50, 64, 20), (7, 1, 14)]
    return [drawn_examples.draw_example(*each, LIMITS, rng) for each in lengths]


@pytest.fixture(scope="module")
def authors() -> authors_way.AuthorsModel:
    backbone = benchmark.make_backbone(TINY)
    config = benchmark.make_model(backbone, LIMITS, adapters=False).config
    narrow = {"d_model": 24, "ffn_dim": 16, "num_attention_heads": 2}
    return authors_way.AuthorsModel(backbone, config, LIMITS.steps, **narrow).eval()


@pytest.fixture
def theirs(examples: list[drawn_examples.Example]) -> dict[str, torch.Tensor]:
    return authors_way.authors_batch(examples, drawn_examples.make_extractor("paper", LIMITS), note_tokens=64)


def test_both_ways_see_the_same_notes_series_and_targets(
    examples: list[drawn_examples.Example], theirs: dict[str, torch.Tensor]
) -> None:
    ours = drawn_examples.our_batch(examples, drawn_examples.make_extractor("patches", LIMITS))
    assert theirs["input_ids"].shape == (3, 64)
    assert theirs["series"].shape == (3, 64, 11)
    for row, example in enumerate(examples):
        for batch in (theirs, ours):
            assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == example.note
        assert theirs["labels"][row][theirs["labels"][row] != 0].tolist() == example.target
        assert ours["labels"][row][ours["labels"][row] != -100].tolist() == example.target
        steps = len(example.series["hours"])
        assert ours["lab_mask"][row].sum() == steps
        levels = ours["lab_features"][row, :steps, :, 0]
        torch.testing.assert_close(theirs["series"][row, :steps], levels)
        assert torch.equal(theirs["series"][row, steps:], levels[-1].expand(64 - steps, -1))


def test_drawn_lengths_are_those_of_real_notes() -> None:
    drawn = drawn_examples.draw_examples(400, drawn_examples.Limits(32128), seed=1)
    for kind, lengths in {
        "note_tokens": [len(example.note) for example in drawn],
        "steps": [len(example.series["hours"]) for example in drawn],
        "target_tokens": [len(example.target) for example in drawn],
    }.items():
        for share in (10, 50, 90):
            expected = drawn_examples.LENGTHS[kind]["lengths"][drawn_examples.LENGTHS["percentiles"].index(share)]
            assert np.percentile(lengths, share) == pytest.approx(expected, rel=0.03)
    assert max(len(example.note) for example in drawn) == 1475


def test_batches_of_like_length_hold_the_same_examples_with_less_padding() -> None:
    mixed, alike = benchmark.draw_batches(benchmark.Settings(examples=8, batch=2))
    as_set = [sorted(id(example) for batch in batches for example in batch) for batches in (mixed, alike)]
    assert as_set[0] == as_set[1]
    assert len(as_set[0]) == 8
    padded = [sum(2 * max(len(example.note) for example in batch) for batch in batches) for batches in (mixed, alike)]
    real = sum(len(example.note) for batch in alike for example in batch)
    assert real <= padded[1] < 1.05 * real < 1.1 * real < padded[0]


def test_the_authors_patches_hold_rows_that_were_not_transposed(
    authors: authors_way.AuthorsModel, theirs: dict[str, torch.Tensor]
) -> None:
    series = theirs["series"]
    # Number by number: patch p, row v, column k is number 88 p + 8 v + k of the series in memory order.
    patches = torch.empty(3, 11, 8, 8)
    for patch in range(8):
        for row in range(11):
            start = 88 * patch + 8 * row
            patches[:, row, patch] = series.reshape(3, -1)[:, start : start + 8]
    encoded = authors.lab_encoder.encoder(patches).last_hidden_state.mean(dim=1)
    labs, _ = authors.knowledge_attention(authors.lab_projection(encoded), authors.knowledge)
    read = authors.read(theirs["input_ids"], series)
    torch.testing.assert_close(read[:, 64:], labs)
    torch.testing.assert_close(read[:, :64], authors.language_model.shared(theirs["input_ids"]))


def test_the_authors_loss_counts_the_padding_of_targets_but_not_of_notes(
    authors: authors_way.AuthorsModel, theirs: dict[str, torch.Tensor]
) -> None:
    found = authors(**theirs)
    chosen = found.logits.log_softmax(-1).gather(2, theirs["labels"][..., None])
    assert theirs["labels"].shape == (3, 20)
    torch.testing.assert_close(found.loss, -chosen.sum() / 60)
    elsewhere = theirs["input_ids"].masked_fill(theirs["attention_mask"] == 0, 77)
    torch.testing.assert_close(authors(**{**theirs, "input_ids": elsewhere}).loss, found.loss)
    alone = [authors(**{name: value[row : row + 1] for name, value in theirs.items()}).loss for row in range(3)]
    torch.testing.assert_close(found.loss, sum(alone) / 3)


def test_the_authors_generate_from_all_positions_with_two_beams(
    authors: authors_way.AuthorsModel, theirs: dict[str, torch.Tensor]
) -> None:
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    encoded = authors.language_model.encoder(inputs_embeds=authors.read(theirs["input_ids"], theirs["series"]))
    expected = authors.language_model.generate(
        encoder_outputs=encoded, attention_mask=torch.ones(3, 64 + 8), num_beams=2, **settings
    )
    assert torch.equal(authors.generate(**theirs, **settings), expected)


def test_what_learns_on_both_sides() -> None:
    backbone = benchmark.make_backbone(TINY)
    whole = benchmark.make_model(backbone, LIMITS, adapters=False)
    adapted = benchmark.make_model(backbone, LIMITS, adapters=True)
    authors = authors_way.AuthorsModel(backbone, whole.config, LIMITS.steps)
    for model in (whole, adapted, authors):
        parts = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert parts - {"lab_projection"} == {"language_model", "knowledge_attention"}
    assert all(parameter.requires_grad for parameter in authors.language_model.parameters())
    assert all(parameter.requires_grad for parameter in whole.language_model.parameters())
    learning = [name for name, parameter in adapted.language_model.named_parameters() if parameter.requires_grad]
    assert all("lora_" in name for name in learning)
    # The head differs from the embedding, as in Flan-T5.
    assert backbone.lm_head.weight is not backbone.shared.weight


def test_the_default_shape_is_flan_t5s() -> None:
    with torch.device("meta"):
        backbone = benchmark.make_backbone(benchmark.Settings().shape)
        large = benchmark.make_backbone(benchmark.FLAN | benchmark.LARGE)
    assert backbone.num_parameters() == 76_961_152
    assert large.num_parameters() == 783_150_080


def test_every_way_of_generating_writes_the_same_number_of_tokens() -> None:
    for way in benchmark.generation_ways(SETTINGS):
        for batch in way.batches:
            assert way.step(batch).shape == (2, 1 + SETTINGS.new_tokens), way.name


@pytest.mark.parametrize("steps", [17, 64])
def test_the_bare_backbone_has_as_many_positions_as_our_model(steps: int) -> None:
    bare_batch, batch = benchmark.equal_batches(SETTINGS, steps)
    backbone = benchmark.make_backbone(TINY)
    ours = benchmark.make_model(backbone, LIMITS, adapters=True)
    seen: list[torch.Size] = []
    for model in (backbone, ours.language_model):
        model.encoder.block[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        model.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    benchmark.forward_pass(backbone)(bare_batch)
    benchmark.forward_pass(ours)(batch)
    assert seen[:2] == seen[2:] == [(2, 56, 32), (2, 16, 32)]


@pytest.mark.parametrize(("batch", "source", "target"), [(1, 21, 9), (3, 8, 30)])
def test_counted_operations_are_those_that_torch_counts(batch: int, source: int, target: int) -> None:
    shape = TINY | {"num_decoder_layers": 3}
    backbone = benchmark.make_backbone(shape)
    backbone.set_attn_implementation("eager")
    ids, labels = torch.randint(3, 1000, (batch, source)), torch.randint(3, 1000, (batch, target))
    with FlopCounterMode(display=False) as counter:
        loss = backbone(input_ids=ids, labels=labels).loss
    expected = model_flops.forward_flops(T5Config(**shape), batch, source, target)
    assert counter.get_total_flops() == expected
    with counter:
        loss.backward()
    assert counter.get_total_flops() == (model_flops.TRAINING - 1) * expected


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("a processor", None),
    ],
)
def test_the_best_rate_of_a_device(device: str, peak: float | None) -> None:
    assert model_flops.peak_flops(device) == peak


def test_ways_take_turns_and_ratios_are_taken_within_a_run() -> None:
    done: list[str] = []
    ways = [benchmark.Way(name, lambda batch, name=name: done.append(name), [{}, {}]) for name in "ab"]
    seconds = benchmark.measure(ways, runs=3)
    assert done == [*"aabb" * 3]
    assert [len(each) for each in seconds] == [3, 3]
    assert benchmark.ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_the_result_says_what_was_measured_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmark, "Settings", lambda **chosen: replace(SETTINGS, **chosen))
    output = tmp_path / "model.json"
    monkeypatch.setattr(sys, "argv", ["model.py", "--runs", "1", "--output", str(output)])
    benchmark.main()
    result: dict[str, Any] = json.loads(output.read_text())
    assert result["command"] == "python benchmarks/model.py --runs 1 --examples 4 --batch 2 --new-tokens 5 --seed 0"
    assert {"commit", "cores", "processor", "python", "versions", "seed", "shape", "cuda"} <= set(result)
    assert set(result["versions"]) == {"torch", "transformers", "peft"}
    for part, rungs in (("training", 7), ("generation", 6)):
        assert len(result[part]) == rungs
        assert result[part][0]["gain_so_far"] == 1.0
        gain = np.prod([rung["gain_of_this_change"] for rung in result[part]])
        assert result[part][-1]["gain_so_far"] == pytest.approx(gain, rel=0.02)
    assert {entry["steps"] for entry in result["backbone"]} == {64}
    assert all(entry["ratio"] > 0 for entry in result["backbone"])


def test_utilisation_needs_a_known_device() -> None:
    measured = benchmark.measure_utilisation(replace(SETTINGS, runs=1), "cpu")
    assert measured["utilisation"] is measured["peak_teraflops"] is None
    assert (measured["positions"], measured["target_tokens"]) == (56, 16)
    assert measured["teraflops"] > 0


def test_examples_must_fill_their_batches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["model.py", "--examples", "5", "--batch", "2"])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "5 examples do not fill batches of 2" in capsys.readouterr().err
