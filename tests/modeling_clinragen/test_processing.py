"""Inputs and targets of the model: features of series, prompts, targets and their parsing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.data import PhaseCollator
from trainers.phases import phase_named

NAMES = shipped_definitions().vocabulary.disease_names


@pytest.fixture(scope="module")
def extractor() -> ClinRaGenLabFeatureExtractor:
    return ClinRaGenLabFeatureExtractor(
        variables=["a", "b"], units=["x", "y"], means=[10, 0], stds=[2, 1], max_steps=20, patch_steps=4
    )


def test_a_series_is_described_as_computed_by_hand(extractor: ClinRaGenLabFeatureExtractor) -> None:
    hours = [0.0, 2.0, 8.0]
    values = [[np.nan, 1.0], [14.0, np.nan], [np.nan, np.nan]]
    described = extractor.describe(hours, values)
    # variable a: never seen, then 14 (two deviations up), then six hours old; variable b: 1, then two and eight hours
    expected_a = [[0, 0, 0, 0], [2, 1, 1, 2 / 24], [2, 0, np.exp(-1), 8 / 24]]
    expected_b = [[1, 1, 1, 0], [1, 0, np.exp(-2 / 6), 2 / 24], [1, 0, np.exp(-8 / 6), 8 / 24]]
    np.testing.assert_allclose(described[:, 0], expected_a, rtol=1e-6)
    np.testing.assert_allclose(described[:, 1], expected_b, rtol=1e-6)


def test_describing_never_looks_ahead(extractor: ClinRaGenLabFeatureExtractor) -> None:
    rng = np.random.default_rng(1)
    hours, values = np.arange(10.0), rng.normal(size=(10, 2))
    values[rng.random((10, 2)) < 0.4] = np.nan
    whole = extractor.describe(hours, values)
    for steps in range(1, 10):
        np.testing.assert_array_equal(extractor.describe(hours[:steps], values[:steps]), whole[:steps])


def test_bad_series_name_the_numbers(extractor: ClinRaGenLabFeatureExtractor) -> None:
    cases: list[tuple[Any, Any, str]] = [
        ([0.0, 1.0], [[1.0, 2.0]], r"\(1, 2\).*2 steps, 2 variables"),
        ([0.0], [[1.0]], r"\(1, 1\).*1 steps, 2 variables"),
        ([1.0, 0.0], [[1.0, 2.0]] * 2, "ascending order"),
        ([0.0], [[np.inf, 1.0]], "finite"),
        (np.arange(21.0), np.ones((21, 2)), "21 steps; the model reads at most 20"),
    ]
    for hours, values, message in cases:
        with pytest.raises(ModelInputError, match=message):
            extractor.describe(hours, values)
    with pytest.raises(SettingsError, match="2 variables, 1 units"):
        ClinRaGenLabFeatureExtractor(variables=["a", "b"], units=["x"], means=[0, 0], stds=[1, 1])


def test_the_extractor_says_how_many_positions_a_series_takes(
    make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model("t5"), make_processor()
    for steps in (1, 4, 5, 17):
        features = processor.feature_extractor([make_series(steps)], return_tensors="pt")
        vectors, mask, _ = model.get_lab_vectors(**features)
        assert vectors.shape[1] == int(mask.sum()) == processor.feature_extractor.num_positions(steps)


def test_long_notes_are_cut_but_never_the_prompt(make_processor: Any, tiny_tokenizer: Any, make_series: Any) -> None:
    processor = make_processor(instruction="Read:", lab_marker="Labs:", max_source_tokens=40)
    ids = processor("dyspnea " * 300, [make_series(3)])["input_ids"][0].tolist()
    text = tiny_tokenizer.decode(ids)
    assert len(ids) == 40
    assert text.startswith("Read:")
    assert text.endswith("Labs:")
    without = tiny_tokenizer.decode(processor("dyspnea", [None])["input_ids"][0])
    assert "Labs:" not in without
    with pytest.raises(SettingsError, match="max_source_tokens is 3"):
        make_processor(instruction="Read this:", max_source_tokens=3)("note")


def test_numbers_of_notes_series_and_targets_must_agree(make_processor: Any, make_series: Any) -> None:
    processor = make_processor()
    with pytest.raises(ModelInputError, match="2 notes, 1 series and 0 targets"):
        processor(["a", "b"], [make_series(2)])
    with pytest.raises(ModelInputError, match="0 notes, 0 series"):
        processor()


@pytest.mark.parametrize("layout", ["diagnosis-first", "rationale-first"])
@given(
    diagnoses=st.lists(st.sampled_from(NAMES), unique=True, max_size=6),
    rationale=st.text(st.characters(blacklist_characters="#", blacklist_categories=["C"]), max_size=80),
)
def test_what_is_written_is_read_back(layout: str, diagnoses: list[str], rationale: str, make_processor: Any) -> None:
    processor = make_processor(layout=layout)
    parsed = processor.parse(processor.target(diagnoses, rationale.strip()))
    assert list(parsed.diagnoses) == diagnoses
    assert parsed.rationale == rationale.strip()
    assert parsed.problem is None


@given(pieces=st.lists(st.sampled_from(["### Disease Diagnosed:", "### Rationale:", "Shock", ",", ".", " ", "x"])))
def test_parsing_never_raises(pieces: list[str], make_processor: Any) -> None:
    parsed = make_processor().parse("".join(pieces))
    assert isinstance(parsed.rationale, str)


def test_malformed_texts_say_what_is_wrong(make_processor: Any) -> None:
    parse = make_processor().parse
    cases = {
        "Shock": "'### Disease Diagnosed:' is missing",
        "### Disease Diagnosed: Shock.": "'### Rationale:' is missing",
        "x ### Disease Diagnosed: Shock. ### Rationale: y": "before the first section marker",
        "### Disease Diagnosed: Shock ### Rationale: y": "full stop",
        "### Disease Diagnosed: Shock,Shock. ### Rationale: y": "repeated",
        "### Disease Diagnosed: Shock,,Pneumonia. ### Rationale: y": "empty",
        "### Disease Diagnosed: Shock. ### Rationale: y ### Rationale: z": "duplicate section marker",
    }
    for text, problem in cases.items():
        assert problem in (parse(text).problem or ""), text
    assert parse("### Disease Diagnosed: No disease is diagnosed. ### Rationale: y").diagnoses == ()


def test_a_tokenizer_without_a_padding_token_serves_as_well(make_processor: Any, make_series: Any) -> None:
    notes, series = ["Fever.", "Dyspnea and fever, no chest pain."], [make_series(3), None]
    plain, llamas = make_processor(), make_processor()
    llamas.tokenizer = copy.deepcopy(plain.tokenizer)
    llamas.tokenizer.pad_token = None
    expected, found = plain(notes, series), llamas(notes, series)
    np.testing.assert_array_equal(found["attention_mask"], expected["attention_mask"])
    read = expected["attention_mask"].bool()
    np.testing.assert_array_equal(found["input_ids"][read], expected["input_ids"][read])


def test_saving_and_loading_keeps_every_setting(make_processor: Any, make_series: Any, tmp_path: Path) -> None:
    processor = make_processor(instruction="Read:", lab_marker="L:", layout="rationale-first", max_source_tokens=77)
    processor.save_pretrained(tmp_path)
    again = ClinRaGenProcessor.from_pretrained(tmp_path)
    assert (again.instruction, again.layout, again.max_source_tokens) == ("Read:", "rationale-first", 77)
    ours, theirs = (one("Fever.", [make_series(5)], "Shock") for one in (processor, again))
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy())


@pytest.mark.parametrize("layout", ["diagnosis-first", "rationale-first"])
def test_the_positions_of_the_disease_list_are_the_disease_list(
    layout: str, make_processor: Any, tiny_tokenizer: Any
) -> None:
    processor = make_processor(layout=layout)
    target = processor.target(["Shock", "Cardiac dysrhythmias"], "heart rate is high.")
    positions = processor.diagnosis_positions(target)
    ids = processor("n", target=target)["labels"][0].tolist()
    assert len(positions) == len(ids)
    listed = tiny_tokenizer.decode([token for token, inside in zip(ids, positions, strict=True) if inside])
    assert "Shock,Cardiac dysrhythmias." in listed
    assert "heart" not in listed


def test_weights_of_the_disease_list_have_mean_one(make_processor: Any) -> None:
    processor = make_processor()
    items = [
        {
            "note": "a",
            "series": None,
            "diagnoses": ["Shock"],
            "rationales": {"rationale_note": "heart rate is high from hour 4"},
        },
        {"note": "b", "series": None, "diagnoses": [], "rationales": {"rationale_note": "x"}},
    ]
    plain = PhaseCollator(processor, phase_named("note"))(items)
    assert "target_weights" not in plain
    batch = PhaseCollator(processor, phase_named("note"), diagnosis_weight=4.0)(items)
    for labels, weights in zip(batch["labels"], batch["target_weights"], strict=True):
        counted = weights[labels != -100]
        assert float(counted.mean()) == pytest.approx(1.0, rel=1e-5)
        assert sorted({round(float(value / counted.min()), 4) for value in counted}) == [1.0, 4.0]


def test_a_processor_keeps_its_vocabulary_and_range_set(
    make_processor: Any, lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    make_processor(vocabulary=lactate_vocabulary, range_set="paper").save_pretrained(tmp_path)
    again = ClinRaGenProcessor.from_pretrained(tmp_path)
    assert again.vocabulary == again.require_vocabulary() == lactate_vocabulary
    assert again.range_set == "paper"
    assert json.loads((tmp_path / "processor_config.json").read_text())["format_version"] == 3


def test_a_bare_processor_lays_out_texts_and_has_no_vocabulary(
    extractor: ClinRaGenLabFeatureExtractor, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    bare = ClinRaGenProcessor(extractor, tiny_tokenizer)
    assert bare("Fever.", {"hours": [0.0], "values": [[1.0, 2.0]]})["lab_features"].shape == (1, 1, 2, 4)
    bare.save_pretrained(tmp_path)
    for one in (bare, ClinRaGenProcessor.from_pretrained(tmp_path)):
        assert one.vocabulary is None
        with pytest.raises(SettingsError, match="no vocabulary: this model folder was written by an older version"):
            one.require_vocabulary()


def test_a_vocabulary_must_be_the_feature_extractors(make_processor: Any, vocabulary: Vocabulary) -> None:
    processor = make_processor()
    parts = (processor.feature_extractor, processor.tokenizer)
    swapped = replace(vocabulary, variables=vocabulary.variables[::-1])
    first = replace(vocabulary.variables[0], unit="kPa")
    for other in (swapped, replace(vocabulary, variables=(first, *vocabulary.variables[1:]))):
        with pytest.raises(SettingsError, match="feature extractor reads") as caught:
            ClinRaGenProcessor(*parts, vocabulary=other)
        for known in (vocabulary, other):
            assert ", ".join(f"{variable.key} ({variable.unit})" for variable in known.variables) in str(caught.value)
    with pytest.raises(SettingsError, match="unknown range set 'local'; choose one of clinical, paper"):
        ClinRaGenProcessor(*parts, vocabulary=vocabulary, range_set="local")
    with pytest.raises(SettingsError, match="the processor's vocabulary: has vocabulary format 0"):
        ClinRaGenProcessor(*parts, vocabulary={**vocabulary.to_dict(), "format": 0})
