"""What a training records of its inputs: how much of the notes was read, and what they are like."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tiny_examples import tiny_splits

from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.profile_clinragen import FEWEST_EXAMPLES
from modeling_clinragen.registration import register_auto_classes
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import ModelConfig
from trainers.model_card import write_model_card
from trainers.run_phase import NewModel, train_phase

SHAPE = {
    "model_type": "t5",
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
}
EXAMPLES = FEWEST_EXAMPLES + 5


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary, EXAMPLES)


def train(folder: Path, cohort: CohortSplits, phase: str = "backbone", start: Path | None = None) -> Path:
    (folder / "t5.json").write_text(json.dumps(SHAPE))
    (folder / "phase.yaml").write_text(
        "max_steps: 2\nlearning_rate: 0.001\nper_device_train_batch_size: 4\ntrain_backbone: true\nlogging_steps: 1\n"
    )
    config = ModelConfig(
        scratch=folder / "t5.json",
        vocab_size=500,
        instruction="",
        max_source_tokens=64,
        max_target_tokens=32,
        lab_width=8,
        lab_layers=1,
        lab_heads=2,
        lab_max_steps=80,
        knowledge_fusion="none",
        lora_r=2,
    )
    output = folder / phase
    output.mkdir()
    train_phase(phase, output, cohort=cohort, start=start or NewModel(config), config=folder / "phase.yaml")
    return output


@pytest.fixture(scope="module")
def model(cohort: CohortSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("training"), cohort)


def test_a_trained_folder_has_the_profile_of_its_inputs(model: Path, cohort: CohortSplits) -> None:
    register_auto_classes()
    processor = ClinRaGenProcessor.from_pretrained(model)
    profile, train_split = processor.profile, cohort["train"]
    assert profile is not None
    assert (profile.examples, profile.without_note, profile.without_series) == (EXAMPLES, 0.0, 0.0)
    ids = [processor.tokenizer(note, add_special_tokens=False)["input_ids"] for note in train_split["note"]]
    assert profile.notes_cut.tokens == sum(map(len, ids))
    room = 64 - len(processor.tokenizer("Lab tests:", add_special_tokens=False)["input_ids"])
    assert profile.notes_cut.examples == sum(len(row) > room for row in ids) > 0
    assert processor.note_cut == "middle"
    series = series_column(train_split)
    assert processor.unlike(processor.read_report(train_split["note"][0], series[0])) == ()
    assert processor.unlike(processor.read_report("asdkjh qwe zxc " * 30, series[0]))


def test_each_phase_records_what_it_was_shown(model: Path, cohort: CohortSplits, tmp_path: Path) -> None:
    note = train(tmp_path, cohort, "note", start=model)
    profile = ClinRaGenProcessor.from_pretrained(note).profile
    assert profile is not None
    assert (profile.without_note, profile.without_series, profile.variables) == (0.0, 1.0, ())


def test_the_model_card_says_how_much_was_read(model: Path) -> None:
    score = {"value": 0.25, "low": 0.2, "high": 0.3}
    names = ("micro_f1", "micro_precision", "micro_recall", "macro_f1")
    metrics = {
        "systems": {"full": dict.fromkeys(names, score)},
        "rationale": {"full": {"bleu": None, "well_formed": 0.5}},
        "held_out": {"examples": 7, "subjects": 5},
        "training": {"examples": EXAMPLES, "validation_examples": 4},
    }
    write_model_card(model, metrics=metrics, provenance={}, phases=["backbone"])
    cut = json.loads((model / "processor_config.json").read_text())["profile"]["notes_cut"]
    assert (
        "- Notes longer than 64 tokens, prompt included: their head and tail are read. In the last phase's training, "
        f"{cut['examples']} of {EXAMPLES} notes were longer; {cut['tokens_read']:,} of all {cut['tokens']:,} tokens "
        "were read."
    ) in (model / "README.md").read_text()


def test_cut_notes_are_said_once_not_with_every_batch(
    cohort: CohortSplits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        train(tmp_path, cohort)
    said = [record.getMessage() for record in caplog.records if "not read whole" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("Training: ")
    words = {word for note in cohort["train"]["note"] for word in note.split() if len(word) > 5}
    assert not words & set(said[0].split())


def test_a_few_examples_leave_no_profile(vocabulary: Vocabulary, tmp_path: Path) -> None:
    few = tiny_splits(vocabulary, FEWEST_EXAMPLES - 1)
    assert ClinRaGenProcessor.from_pretrained(train(tmp_path, few)).profile is None
