"""Diagnosing everybody by the head and explaining a sample: nothing but the number of rationales changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_cohort import checking_of, make_cohort

from clinragen.evaluation.answers import answer_systems
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.run import evaluate_systems
from clinragen.evaluation.systems import System, in_order, main_phase, systems_alone, systems_of
from dataset_builder.contract.arrays import series_column
from dataset_builder.storage.files import read_json
from modeling_clinragen.diagnosing_clinragen import write_lists
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.run_phase import load_parent


@pytest.fixture(scope="module")
def headed(make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path_factory: Any) -> dict[str, System]:
    """A model whose head lists about half of the diseases, as all three systems."""
    folder = tmp_path_factory.mktemp("headed")
    model = make_model("t5", lab_summary=True, disease_head=True, list_from="head")
    with torch.no_grad():
        model.disease_head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(3))
    model.generation_config.max_new_tokens = 12
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    main = systems_of({"full": folder})
    return main | systems_alone(main["full"])


@pytest.fixture(scope="module")
def written(headed: dict[str, System], vocabulary: Vocabulary, tmp_path_factory: Any) -> dict[str, tuple[Path, Any]]:
    cohort, checking = make_cohort(vocabulary), checking_of(vocabulary)
    folders = {}
    for name, config in (
        ("all", EvaluateConfig(baselines="light")),
        ("some", EvaluateConfig(baselines="light", texts=3)),
    ):
        folder = tmp_path_factory.mktemp(name)
        folders[name] = (folder, evaluate_systems(folder, cohort, headed, config, checking=checking))
    return folders


def test_a_sample_of_rationales_changes_no_diagnosis(written: dict[str, tuple[Path, Any]]) -> None:
    whole, some = (read_json(written[name][0] / "predictions.json") for name in ("all", "some"))
    assert whole["diagnoses"] == some["diagnoses"]
    for system in ("full", "note_only", "labs_only"):
        kept = [row for row, text in enumerate(some["texts"][system]) if text is not None]
        assert kept == some["rows"]
        assert len(kept) == 3
        assert all(text is not None for text in whole["texts"][system])
        assert [some["texts"][system][row] for row in kept] == [whole["texts"][system][row] for row in kept]
        assert [some["shown"][system][row] for row in kept] == [whole["shown"][system][row] for row in kept]
        assert some["shown"][system].count(None) >= 5
    assert written["all"][1]["systems"] == written["some"][1]["systems"]
    assert written["some"][1]["rationale"]["full"]["sentences"]["asked"]["of"] <= 3


def test_probabilities_are_ranked_and_the_lists_are_those_above_the_thresholds(
    headed: dict[str, System], vocabulary: Vocabulary
) -> None:
    cohort = make_cohort(vocabulary)
    found = answer_systems(cohort, headed, EvaluateConfig(texts=2), checking=checking_of(vocabulary))
    names = np.array(vocabulary.disease_names)
    for answer in found.values():
        assert answer.head is not None
        assert answer.diagnoses == answer.head.listed == [tuple(names[row >= 0.5]) for row in answer.head.test]
        assert answer.head.validation.shape == (len(cohort["validation"]), len(names))
    # The systems are one model that is shown different things.
    full, note_only, labs_only = (found[name].head for name in ("full", "note_only", "labs_only"))
    assert full is not None
    assert note_only is not None
    assert labs_only is not None
    for split in ("test", "validation"):
        assert not np.allclose(vars(full)[split], vars(labs_only)[split])
        assert not np.allclose(vars(note_only)[split], vars(labs_only)[split])


def test_the_decoder_s_own_lists_are_scored_beside_those_of_the_head(
    headed: dict[str, System], written: dict[str, tuple[Path, Any]], vocabulary: Vocabulary
) -> None:
    cohort = make_cohort(vocabulary)
    metrics = written["some"][1]
    assert [name for name, _ in in_order(metrics["systems"])][:2] == ["full", "full_decoder"]
    assert metrics["systems"]["full_decoder"]["micro_f1"] != metrics["systems"]["full"]["micro_f1"]
    assert "full_minus_full_decoder" in metrics["differences"]
    # It is no baseline, and only the full model has it.
    assert "full_decoder" not in metrics["strongest"].values()
    assert "Full model, its decoder's list" in (written["some"][0] / "report.md").read_text("utf-8")
    model, processor = load_parent(headed["full"].folder)
    patients = zip(cohort["test"]["note"], series_column(cohort["test"]), strict=True)
    lists = write_lists(model, processor, list(patients))
    found = answer_systems(cohort, headed, EvaluateConfig(texts=2), checking=checking_of(vocabulary))
    assert found["full"].other_list is not None
    assert found["full"].other_list[0] == "full_decoder"
    assert found["full"].other_list[1] == lists
    assert found["note_only"].other_list is None


def test_without_a_head_the_others_get_the_decoder_s_list(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    make_model("t5").save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    cohort, systems = make_cohort(vocabulary), systems_of({"full": tmp_path})
    found = answer_systems(cohort, systems, EvaluateConfig(texts=3), checking=checking_of(vocabulary))["full"]
    model, processor = load_parent(tmp_path)
    lists = write_lists(
        model, processor, list(zip(cohort["test"]["note"], series_column(cohort["test"]), strict=True))
    )
    others = [row for row in range(len(lists)) if row not in found.rows]
    assert len(found.rows) == 3
    assert [found.diagnoses[row] for row in others] == [lists[row] for row in others]


def test_without_a_head_a_list_behind_the_rationale_needs_the_text(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    make_model("t5").save_pretrained(tmp_path)
    make_processor(layout="rationale-first").save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"texts is 3, but .* lists the diseases after the rationale"):
        answer_systems(
            make_cohort(vocabulary),
            systems_of({"full": tmp_path}),
            EvaluateConfig(texts=3),
            checking=checking_of(vocabulary),
        )


@pytest.mark.parametrize(
    ("trained", "main"),
    [
        (["backbone"], "backbone"),
        (["backbone", "note", "lab", "multimodal"], "multimodal"),
        (["note"], None),
        (["backbone", "note", "lab"], None),
    ],
)
def test_the_full_model_is_the_last_one_that_reads_both(trained: list[str], main: str | None) -> None:
    assert main_phase(trained) == main
