"""`lab_input: words`: the language model reads a series as text, and nothing else of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import SETTINGS, SHAPE, TERMS, arguments, fitting

from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import ModelInputError, SettingsError
from trainers.build_model import ModelConfig, build_model
from trainers.lab_trainer import LabConfig, LabTrainer
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer

WORDS = {**SETTINGS, "max_source_tokens": 400, "lab_input": "words", "knowledge_fusion": "none", "lab_summary": False}


@pytest.fixture
def worded(cohort: CohortSplits, tmp_path: Path) -> tuple[Any, Any]:
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    return build_model(ModelConfig(scratch=tmp_path / "t5.json", **WORDS), cohort, TERMS, 0)


def source(processor: Any, note: str, series: Any) -> str:
    batch = processor(note, [series])
    assert set(batch) == {"input_ids", "attention_mask"}
    return str(processor.tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True))


def test_the_words_stand_behind_the_note(worded: tuple[Any, Any], cohort: CohortSplits) -> None:
    _, processor = worded
    ranges = cohort.vocabulary.range_set(cohort.range_set)
    for row, series in zip(cohort["train"], series_column(cohort["train"]), strict=True):
        # The builder's own summary of the same stay.
        words = LabSeries.from_example(cohort.vocabulary, row).in_words(ranges)
        assert words
        expected = processor.tokenizer(f"{processor.lab_marker} {words}", add_special_tokens=False)["input_ids"]
        assert processor(row["note"], [series])["input_ids"][0].tolist()[-len(expected) :] == expected
    assert processor.lab_marker not in source(processor, "A note.", None)


def test_a_batch_is_its_examples(worded: tuple[Any, Any], cohort: CohortSplits) -> None:
    _, processor = worded
    rows = cohort["train"].select(range(4))
    series = series_column(rows)
    batch = processor(list(rows["note"]), series)
    for number, (note, one) in enumerate(zip(rows["note"], series, strict=True)):
        single = processor(note, [one])
        kept = batch["attention_mask"][number].bool()
        assert batch["input_ids"][number][kept].tolist() == single["input_ids"][0].tolist()


def test_the_note_is_cut_to_leave_room_for_the_words(worded: tuple[Any, Any], cohort: CohortSplits) -> None:
    _, processor = worded
    series = series_column(cohort["train"])[0]
    bare = len(processor("", [series])["input_ids"][0])
    processor.max_source_tokens = bare + 10
    reading = processor.reading("dyspnea " * 300, series)
    assert len(reading.ids) == 10
    assert len(processor("dyspnea " * 300, [series])["input_ids"][0]) == bare + 10


def test_a_bad_series_is_refused_as_for_vectors(worded: tuple[Any, Any]) -> None:
    _, processor = worded
    width = len(processor.vocabulary.variables)
    for hours, values, message in (
        ([1.0, 0.0], np.ones((2, width)), "ascending"),
        ([0.0], np.full((1, width), np.inf), "finite"),
        ([0.0], np.ones((1, width + 1)), "expected"),
    ):
        with pytest.raises(ModelInputError, match=message):
            processor("A note.", [{"hours": hours, "values": values}])


def test_other_labs_give_another_answer(worded: tuple[Any, Any], cohort: CohortSplits) -> None:
    model, processor = worded
    width = len(processor.vocabulary.variables)
    fills = np.array([variable.fill for variable in processor.vocabulary.variables])
    calm, wild = ({"hours": np.arange(3.0), "values": np.tile(fills, (3, 1)) * scale} for scale in (1.0, 3.0))
    assert width == calm["values"].shape[1]
    target = processor.target(["Shock"], "The pulse is fast.")
    losses = [model(**processor("A note.", [one], [target])).loss for one in (calm, wild)]
    assert not torch.isclose(*losses)


def test_it_trains_and_is_the_same_when_loaded(worded: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path) -> None:
    model, processor = worded
    model.config.phase = "note"
    args = arguments(MultimodalConfig, tmp_path, allow_skipped_phases=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    MultimodalTrainer(model, args, cohort["train"], **fitting(processor, cohort)).train()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    processor.save_pretrained(tmp_path / "saved")
    loaded = ClinRaGenProcessor.from_pretrained(tmp_path / "saved")
    assert loaded.lab_input == "words"
    series = series_column(cohort["test"])[0]
    assert torch.equal(loaded("A note.", [series])["input_ids"], processor("A note.", [series])["input_ids"])


def test_a_phase_that_trains_the_lab_encoder_alone_is_refused(
    worded: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = worded
    model.config.phase = "note"
    with pytest.raises(SettingsError, match=r"'lab' trains what reads lab vectors.*leave the phase out"):
        LabTrainer(model, arguments(LabConfig, tmp_path), cohort["train"], **fitting(processor, cohort))


@pytest.mark.parametrize("changed", [{"lab_summary": True}, {"knowledge_fusion": "attention"}])
def test_what_needs_vectors_is_refused_with_words(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lab_input: labs in words"):
        ModelConfig(scratch=tmp_path / "t5.json", **{**WORDS, **changed})


def test_an_unknown_input_is_refused(make_processor: Any) -> None:
    with pytest.raises(SettingsError, match="unknown lab_input 'pictures'; choose one of vectors, words"):
        make_processor(lab_input="pictures")


def test_older_folders_have_vectors(make_processor: Any, tmp_path: Path) -> None:
    make_processor().save_pretrained(tmp_path)
    file = tmp_path / "processor_config.json"
    content = json.loads(file.read_text())
    assert content.pop("lab_input") == "vectors"
    file.write_text(json.dumps({**content, "format_version": 2}))
    assert ClinRaGenProcessor.from_pretrained(tmp_path).lab_input == "vectors"
    assert asdict(ModelConfig(backbone="x"))["lab_input"] == "vectors"
