"""The whole evaluation on a made-up cohort: what it writes, what it says first, and what it refuses."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_cohort import ABOUT_NOTES, SIZES, checking_of, make_cohort

from clinragen.evaluation import answers
from clinragen.evaluation.baselines.logistic import LogisticBaseline
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.examples import count_cut
from clinragen.evaluation.run import evaluate_systems
from clinragen.evaluation.scoring import VERIFIED_NOTICE
from clinragen.evaluation.systems import System, in_order, system_name, systems_of
from dataset_builder.contract.truth import HospitalTruth, TrueEvidence
from dataset_builder.storage.config_fields import deciding
from dataset_builder.storage.files import read_json
from dataset_builder.storage.governance import SYNTHETIC_NOTICE
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.phases import PHASES


@pytest.fixture(scope="module")
def save_model(make_model: Any, make_processor: Any) -> Callable[..., Path]:
    """Save a tiny model of a vocabulary that writes what it wants to."""

    def save(folder: Path, vocabulary: Vocabulary) -> Path:
        model = make_model("bart", vocabulary=vocabulary)
        model.generation_config.max_new_tokens = 12
        model.save_pretrained(folder)
        make_processor(vocabulary=vocabulary).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="module")
def models(save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path_factory: Any) -> dict[str, System]:
    folder = save_model(tmp_path_factory.mktemp("models") / "model", vocabulary)
    return systems_of({"full": folder, "note_only": folder, "labs_only": folder})


@pytest.fixture(scope="module")
def evaluated(models: dict[str, System], vocabulary: Vocabulary, tmp_path_factory: Any) -> tuple[Path, list[Progress]]:
    folder, reported = tmp_path_factory.mktemp("evaluation"), []
    evaluate_systems(
        folder,
        make_cohort(vocabulary),
        models,
        EvaluateConfig(batch_size=3, notices=("A sentence of the recipe.",)),
        checking=checking_of(vocabulary, "paper"),
        report=reported.append,
    )
    return folder, reported


def test_an_evaluation_writes_numbers_report_figures_and_texts(evaluated: tuple[Path, list[Progress]]) -> None:
    folder, _ = evaluated
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json",
        "report.md",
        "cost.json",
        "f1_per_disease.png",
        "patient_series.png",
        "reliability.png",
        "risk_coverage.png",
        "patient.json",
        "predictions.json",
        "predictions.safetensors",
        "provenance.json",
    }
    # Of the full model, whose weights it names; seconds and bytes of this machine.
    cost = read_json(folder / "cost.json")
    assert cost["patients"] == SIZES["test"]
    assert 0 < cost["seconds_in_batches"] < 60
    assert 0 < cost["seconds_alone"] < 60
    assert 10**8 < cost["memory_bytes"] < 10**11
    metrics = read_json(folder / "metrics.json")
    baselines = {"gradient_boosting", "gradient_boosting_note", "gradient_boosting_labs"}
    baselines |= {"logistic_regression", "prevalence"}
    assert set(metrics["systems"]) == {"full", "note_only", "labs_only", *baselines}
    assert {name for name, scores in metrics["systems"].items() if "micro_auroc" in scores} == baselines
    assert set(metrics["gradient_boosting"]) == {"both", "note", "labs"}
    assert metrics["gradient_boosting"]["note"]["setting"] == "full"
    assert set(metrics["strongest"]) == {"full", "note_only", "labs_only"}
    assert set(metrics["rationale"]) == set(metrics["names"]) == {"full", "note_only", "labs_only"}
    assert metrics["training"] == {"examples": 24, "validation_examples": 12}
    assert metrics["held_out"]["examples"] == 8
    texts = read_json(folder / "predictions.json")
    assert texts["example_id"] == [f"made-up-{number}" for number in range(36, 44)]
    assert {len(texts["texts"][name]) for name in metrics["rationale"]} == {8}
    assert {name: len(shown) for name, shown in texts["shown"].items()} == dict.fromkeys(metrics["rationale"], 8)
    read = metrics["notes_cut"]["full"]
    assert (read["examples"], read["of"], read["tokens_read"]) == (0, 8, read["tokens"])
    assert metrics["notes_cut"]["note_only"] == read
    assert metrics["notes_cut"]["labs_only"] is None
    assert "Full model: every note is read whole." in (folder / "report.md").read_text()
    # The teacher's rationale is one quotation that the note has and one true statement.
    assert metrics["teacher"]["claims"]["shown"]["kinds"]["note"]["supported"]["value"] == 1.0
    assert metrics["teacher"]["evidence"] is None
    assert read_json(folder / "provenance.json")["steps"][-1]["step"] == "evaluate"
    assert "points outside the paper range are marked" in (folder / "report.md").read_text()


def test_the_notices_come_from_the_recipe_and_the_provenance(evaluated: tuple[Path, list[Progress]]) -> None:
    folder, _ = evaluated
    notices = read_json(folder / "metrics.json")["notices"]
    assert notices == ["A sentence of the recipe.", SYNTHETIC_NOTICE, ABOUT_NOTES, VERIFIED_NOTICE]
    head = (folder / "report.md").read_text().partition("## Verdict")[0]
    assert all(notice in head for notice in notices)


def test_progress_counts_the_examples_of_all_systems(evaluated: tuple[Path, list[Progress]]) -> None:
    _, reported = evaluated
    counted = [progress for progress in reported if progress.unit == "examples"]
    # Each system generates freely and then with every sentence checked.
    passes = [
        f"{name}: {texts}" for name in ("full model", "note only", "labs only") for texts in ("texts", "checked texts")
    ]
    assert [(progress.remark, progress.done) for progress in counted] == [
        (one, done) for one in passes for done in (3, 6, 8)
    ]
    assert {progress.total for progress in counted} == {8}


def test_a_raw_evaluation_says_nothing_of_checks_and_credentialed_results_are_private(
    models: dict[str, System], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    reported: list[Progress] = []
    metrics = evaluate_systems(
        tmp_path,
        make_cohort(vocabulary, credentialed=True, synthetic=False),
        {"full": models["full"]},
        EvaluateConfig(raw=True),
        checking=checking_of(vocabulary),
        report=reported.append,
    )
    assert metrics["notices"] == [ABOUT_NOTES]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert [progress.done for progress in reported if progress.unit == "examples"] == [SIZES["test"]]
    for entries in metrics["rationale"].values():
        assert entries["claims"]["raw"] == entries["claims"]["shown"]


def test_nothing_that_is_shown_is_contradicted_and_each_list_is_of_the_vocabulary(
    evaluated: tuple[Path, list[Progress]], vocabulary: Vocabulary
) -> None:
    folder, _ = evaluated
    for entries in read_json(folder / "metrics.json")["rationale"].values():
        shown = entries["claims"]["shown"]["data"]
        assert (shown["contradicted"]["count"], shown["unverifiable"]["count"]) == (0, 0)
    predictions = read_json(folder / "predictions.json")
    for listed in predictions["diagnoses"].values():
        assert len(listed) == SIZES["test"]
        for names in listed:
            assert set(names) <= set(vocabulary.disease_names)
            assert len(set(names)) == len(names)


def test_claims_are_scored_in_a_vocabulary_of_ones_own(
    save_model: Callable[..., Path], lactate_vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems = systems_of({"full": save_model(tmp_path / "model", lactate_vocabulary)})
    written = "### Disease Diagnosed: Shock. ### Rationale: Lactate was measured. Lactate was not measured."
    monkeypatch.setattr(answers, "write_targets", lambda model, processor, patients, **_: [written] * len(patients))
    metrics = evaluate_systems(
        tmp_path / "out",
        make_cohort(lactate_vocabulary),
        systems,
        EvaluateConfig(),
        checking=checking_of(lactate_vocabulary),
    )
    claims = metrics["rationale"]["full"]["claims"]["raw"]["data"]
    assert claims["supported"]["count"] + claims["contradicted"]["count"] == claims["claims"] == 2 * SIZES["test"]
    assert claims["with_contradiction"]["count"] == SIZES["test"]
    assert metrics["rationale"]["full"]["claims"]["shown"]["data"]["contradicted"]["count"] == 0
    assert "12 of 12 variables" in (tmp_path / "out" / "report.md").read_text()


def test_omissions_are_counted_against_the_truth_of_the_hospital(
    models: dict[str, System], vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort(vocabulary)
    named = vocabulary.diseases[0]
    written = f'### Disease Diagnosed: {named.name}. ### Rationale: "Dyspnea" supports {named.name}.'
    monkeypatch.setattr(answers, "write_targets", lambda model, processor, patients, **_: [written] * len(patients))
    evidence = {key: TrueEvidence(("Dyspnea",), ()) for key in (named.key, vocabulary.diseases[1].key)}

    def scored(folder: str, stays: list[int]) -> Any:
        return evaluate_systems(
            tmp_path / folder,
            cohort,
            {"full": models["full"]},
            EvaluateConfig(raw=True),
            checking=checking_of(vocabulary),
            truth=HospitalTruth({(stay, stay): evidence for stay in stays}),
        )

    found = scored("out", cohort["test"]["stay_id"][:])["rationale"]["full"]["evidence"]["shown"]["note"]
    assert (found["present"]["value"], found["listed"]["value"]) == (0.5, 1.0)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "It cites the evidence of 50.0 %" in report
    assert "## Evidence that is cited" in report
    with pytest.raises(InputDataError, match="none of the cohort's held-out stays"):
        scored("other", [999])
    assert not (tmp_path / "other").exists()


def test_a_cohort_of_another_vocabulary_is_refused_before_anything_is_generated(
    models: dict[str, System], vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generated(*_: Any, **__: Any) -> list[str]:
        raise AssertionError("generated although the vocabularies differ")

    monkeypatch.setattr(answers, "write_targets", generated)
    first, second, *others = vocabulary.variables
    swapped = replace(vocabulary, variables=(second, first, *others))
    with pytest.raises(SettingsError) as refused:
        evaluate_systems(
            tmp_path / "out", make_cohort(swapped), models, EvaluateConfig(), checking=checking_of(swapped)
        )
    both = f"{first.key} ({first.unit}), {second.key} ({second.unit})", f"{second.key} ({second.unit}), {first.key}"
    assert all(listed in str(refused.value) for listed in both)
    assert not (tmp_path / "out").exists()


def test_notes_that_are_not_read_whole_are_counted(vocabulary: Vocabulary, make_processor: Any) -> None:
    test = make_cohort(vocabulary)["test"]
    processor = make_processor()
    whole = count_cut(processor, test, labs=False)
    around = processor(note="").input_ids.shape[1]
    processor.max_source_tokens = around + whole.tokens // whole.of
    cut = count_cut(processor, test, labs=False)
    assert (whole.examples, whole.of, whole.tokens_read) == (0, len(test), whole.tokens)
    read = [processor(note=row["note"]).input_ids.shape[1] - around for row in test]
    assert (cut.tokens_read, cut.tokens, cut.of) == (sum(read), whole.tokens, len(test))
    assert 0 < cut.examples < len(test)
    # The marker of a series takes some of the room.
    assert count_cut(processor, test, labs=True).tokens_read < cut.tokens_read


def test_what_cannot_be_evaluated_is_refused(
    models: dict[str, System], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    cohort, checking = make_cohort(vocabulary), checking_of(vocabulary)
    with pytest.raises(SettingsError, match="no system 'full'"):
        evaluate_systems(tmp_path, cohort, {"note_only": models["note_only"]}, EvaluateConfig(), checking=checking)
    cohort["test"] = cohort["test"].select([])
    with pytest.raises(InputDataError, match="test split is empty"):
        evaluate_systems(tmp_path, cohort, models, EvaluateConfig(), checking=checking)
    with pytest.raises(SettingsError, match="batch_size"):
        EvaluateConfig(batch_size=0)


def test_the_batch_size_does_not_decide_the_result() -> None:
    assert deciding(EvaluateConfig(batch_size=4)) == deciding(EvaluateConfig(batch_size=64))
    assert deciding(EvaluateConfig(num_beams=4)) != deciding(EvaluateConfig())


def test_the_range_set_reaches_the_baseline(vocabulary: Vocabulary) -> None:
    cohort = make_cohort(vocabulary)
    probabilities = [
        LogisticBaseline(vocabulary, vocabulary.range_set(name), "labs", c_grid=(1.0,))
        .fit(cohort["train"], cohort["validation"])
        .probabilities(cohort["test"])
        for name in ("clinical", "paper")
    ]
    assert not np.array_equal(*probabilities)


def test_systems_are_those_of_the_phases(tmp_path: Path) -> None:
    systems = systems_of({"labs_only": tmp_path / "lab", "full": tmp_path / "both", "unknown": tmp_path})
    assert list(systems) == ["full", "labs_only"]
    assert systems["labs_only"] == System("labs_only", "lab", tmp_path / "lab", False, True, ("rationale_lab",))
    assert systems["full"].rationales == ("rationale_note", "rationale_lab")


def test_the_table_of_phases_names_the_systems() -> None:
    titles = {phase.system: phase.system_title for phase in PHASES if phase.system is not None}
    assert {name: system_name(name) for name in titles} == titles
    shuffled = dict.fromkeys(["prevalence", "joint", "labs_only", "full", "note_only"])
    assert [name for name, _ in in_order(shuffled)] == ["full", "note_only", "labs_only", "prevalence", "joint"]
    assert system_name("joint") == "Joint"
