"""Batches of a phase: what is left out at random, and that what is kept in memory changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_examples import tiny_splits

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.processing_clinragen import IGNORED
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.data import PhaseCollator, PhaseExamples
from trainers.encoding import KEPT, EncodingCache
from trainers.phases import phase_named

BOTH = phase_named("multimodal")


@pytest.fixture(scope="module")
def examples(make_processor: Any, vocabulary: Vocabulary) -> tuple[Any, list[dict[str, Any]]]:
    processor = make_processor()
    return processor, PhaseExamples(tiny_splits(vocabulary, 40)["train"], BOTH, processor).items


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_is_what_the_processor_makes_of_it_again_and_again(examples: Any) -> None:
    processor, items = examples
    collator = PhaseCollator(processor, BOTH)
    batch = collator(items[:6])
    targets = [processor.target(item["diagnoses"], *item["rationales"].values()) for item in items[:6]]
    direct = processor([item["note"] for item in items[:6]], [item["series"] for item in items[:6]], targets)
    for name in ("input_ids", "attention_mask", "lab_features", "lab_mask"):
        assert torch.equal(batch[name], direct[name])
    assert torch.equal(batch["labels"][:, : direct["labels"].shape[1]], direct["labels"])
    assert same(collator(items[:6]), batch)
    # Beyond the limit everything is made again, and is the same.
    collator.cache = EncodingCache(processor, most_bytes=0)
    bare = [{name: value for name, value in item.items() if name != KEPT} for item in items[:6]]
    assert same(collator(bare), batch)
    assert not any(item[KEPT] for item in bare)


def test_what_is_kept_of_one_drawing_serves_another(make_processor: Any, vocabulary: Vocabulary) -> None:
    """Whatever is shown of an example first, where notes are cut always, beside their labs only, or never."""
    rows = tiny_splits(vocabulary, 40)["train"]
    alone = sorted(len(make_processor()([note])["input_ids"][0]) for note in rows[:8]["note"])
    processor = make_processor(max_source_tokens=alone[4])
    settings = {"diseases": vocabulary.disease_names, "evidence": True, "modality_dropout": 0.6}
    kept = PhaseCollator(processor, BOTH, **settings)
    items = PhaseExamples(rows, BOTH, processor).items[:8]
    readings = [[processor.reading(item["note"], one) for one in (None, item["series"])] for item in items]
    whole = {tuple(len(one.ids) == one.total for one in pair) for pair in readings}
    assert whole == {(False, False), (True, False), (True, True)}
    for seed in range(8):
        torch.manual_seed(seed)
        batch = kept(items)
        torch.manual_seed(seed)
        fresh = [{name: value for name, value in item.items() if name != KEPT} for item in items]
        assert same(batch, PhaseCollator(processor, BOTH, **settings)(fresh))


def test_an_item_of_another_split_is_not_taken_for_the_one_in_its_place(examples: Any) -> None:
    processor, items = examples
    collator = PhaseCollator(processor, BOTH)
    collator(items[:3])
    others = [{**item, KEPT: {}, "note": f"Cough. {item['note']}"} for item in items[:3]]
    assert same(collator(others), PhaseCollator(processor, BOTH)([{**item, KEPT: {}} for item in others]))


def test_only_a_share_of_the_batch_has_a_target(examples: Any, vocabulary: Vocabulary) -> None:
    processor, items = examples
    collator = PhaseCollator(processor, BOTH, diseases=vocabulary.disease_names, text_share=0.25)
    batch = collator(items[:8])
    assert int((batch["labels"] != IGNORED).any(dim=1).sum()) == 2
    for item, row in zip(items[:8], batch["disease_targets"], strict=True):
        assert {vocabulary.disease_names[place] for place in row.nonzero().flatten()} == set(item["diagnoses"])
    assert int((collator.whole()(items[:8])["labels"] != IGNORED).any(dim=1).sum()) == 8


def test_an_example_that_loses_a_modality_explains_the_other(examples: Any) -> None:
    processor, items = examples
    batch = PhaseCollator(processor, BOTH, modality_dropout=1.0)(items)
    without_labs = ~batch["lab_mask"].any(dim=1)
    assert 0 < int(without_labs.sum()) < len(items)
    for row, item in enumerate(items):
        text = processor.tokenizer.decode(batch["labels"][row][batch["labels"][row] != IGNORED])
        name = "rationale_note" if without_labs[row] else "rationale_lab"
        ids = processor.target_ids(processor.target(item["diagnoses"], item["rationales"][name]))
        assert text == processor.tokenizer.decode(ids)
        if not without_labs[row]:
            alone = processor([""], [item["series"]])["input_ids"][0]
            assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == alone.tolist()


def test_tokens_are_left_out_and_some_always_stay(examples: Any) -> None:
    processor, items = examples
    whole = PhaseCollator(processor, BOTH)(items)
    some = PhaseCollator(processor, BOTH, token_dropout=0.5)(items)
    assert torch.equal(some["input_ids"], whole["input_ids"])
    left = float(some["attention_mask"].sum() / whole["attention_mask"].sum())
    assert 0.35 < left < 0.65
    assert not (some["attention_mask"] > whole["attention_mask"]).any()
    none = PhaseCollator(processor, BOTH, token_dropout=1.0)(items)
    assert none["attention_mask"].any(dim=1).all()


def test_what_cannot_work_is_refused(examples: Any) -> None:
    processor, _ = examples
    with pytest.raises(SettingsError, match="text_share below 1 needs a model with a disease head"):
        PhaseCollator(processor, BOTH, text_share=0.5)
    with pytest.raises(SettingsError, match="modality_dropout needs two modalities, and the phase 'note' reads one"):
        PhaseCollator(processor, phase_named("note"), modality_dropout=0.5)
