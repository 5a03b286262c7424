"""Two ablations and the recipe with two seeds each: what they share, how they are compared, and what a kill leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import in_process
from tiny_recipe import write_tiny_recipe
from yaml_files import change

from clinragen.pipeline.ablation_file import read_ablations
from clinragen.pipeline.ablation_recipe import written_recipes
from clinragen.pipeline.ablation_run import Run, run_all
from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.stage import Stage
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from dataset_builder.storage.progress import no_report

SEEDS = (4, 5)
TEXTS = 1
LINES = ["reference", "no-summary", "same"]


def write(folder: Path, name: str, **content: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"format": 1, "recipe": "recipe.yaml", "title": name, **content}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A recipe of one phase, and beside it one ablation of the model and one that changes no result."""
    folder = tmp_path_factory.mktemp("ablations")
    recipe = write_tiny_recipe(folder)
    change(recipe, "train", value={"backbone": "phase.yaml"})
    change(recipe, "synthesize", value={"patients": 30})
    change(recipe, "evaluate", "alone", value=False)
    change(folder / "phase.yaml", "max_steps", value=2)
    change(folder / "phase.yaml", "train_backbone", value=True)
    change(folder / "model.yaml", "max_target_tokens", value=24)
    return [
        write(folder, "no-summary", change={"model": {"lab_summary": False}}),
        write(folder, "same", change={"evaluate": {"device": "cpu", "alone": True}}),
    ]


def runs_in(output: Path, files: list[Path]) -> list[Run]:
    ablations = read_ablations(files)
    recipes = written_recipes(ablations, TEXTS)
    return [
        Run(ablation=one, recipe=recipes[one.name], seed=seed, output=output) for seed in SEEDS for one in ablations
    ]


def ablate(output: Path, files: list[Path], *more: str) -> Any:
    seeds = [word for seed in SEEDS for word in ("--seed", seed)]
    done = in_process("ablate", *files, *seeds, "--texts", TEXTS, "--output", output, *more)
    assert done.returncode == 0, done.stderr[-2000:]
    return SimpleNamespace(table=read_json(output / "ablations.json"), page=(output / "ablations.md").read_text())


@pytest.fixture(scope="module")
def history(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Runs that are interrupted in the second seed, looked at, and gone on with."""
    output = tmp_path_factory.mktemp("runs")
    said: list[str] = []

    def until(stop: str | None) -> Callable[[str, int, int], None]:
        def announce(label: str, number: int, of: int) -> None:
            if label == stop:
                raise KeyboardInterrupt
            said.append(label)

        return announce

    with pytest.raises(KeyboardInterrupt):
        run_all(runs_in(output, files), None, no_report, until("no-summary, seed 5: evaluate"))
    between = ablate(output, files, "--only-table")
    failed = run_all(runs_in(output, files), None, no_report, until(None))
    return SimpleNamespace(output=output, said=said, between=between, failed=failed, after=ablate(output, files))


def line(table: Any, name: str) -> Any:
    return next(one for one in table["lines"] if one["name"] == name)


def test_what_comes_before_the_evaluation_is_made_once_where_its_settings_are_the_same(
    history: SimpleNamespace,
) -> None:
    assert history.failed == {}
    shared = ("synthesize", "build", "knowledge", "rationales")
    trained = ("reference", "no-summary")  # "same" scores the recipe's model
    assert sorted(history.said) == sorted(
        [f"reference, seed {seed}: {stage}" for seed in SEEDS for stage in shared]
        + [f"{name}, seed {seed}: train backbone" for seed in SEEDS for name in trained]
        + [f"{name}, seed {seed}: evaluate" for seed in SEEDS for name in LINES]
    )
    for seed in SEEDS:
        records = [read_json(history.output / f"seed-{seed}" / name / "run.json") for name in LINES]
        models = [record["models"]["backbone"] for record in records]
        assert models[0] == models[2] != models[1]
        seconds = [record["seconds"] for record in records]
        # What a shared training took counts in every line that needs it.
        assert all(set(taken) == {"train backbone", "evaluate"} and min(taken.values()) > 0 for taken in seconds)
        assert seconds[0]["train backbone"] == seconds[2]["train backbone"] != seconds[1]["train backbone"]
    for seed in SEEDS:
        kept = list((history.output / f"seed-{seed}").rglob("gradient_boosting.safetensors"))
        assert len({path.resolve() for path in kept}) == 1


def test_an_unfinished_run_is_listed_and_in_no_table(history: SimpleNamespace) -> None:
    table = history.between.table
    assert [(one["name"], one["seed"]) for one in table["unfinished"]] == [("no-summary", 5), ("same", 5)]
    assert table["unfinished"][0]["reason"].startswith("not finished")
    assert table["unfinished"][1]["reason"] == "not run yet"
    assert line(table, "reference")["seeds"] == [4, 5]
    assert line(table, "no-summary")["seeds"] == line(table, "no-summary")["differences"]["full"]["seeds"] == [4]
    assert "- no-summary (`no-summary`), seed 5: not finished" in history.between.page
    assert "Not finished" not in history.after.page
    assert history.after.table["unfinished"] == []


def test_an_interrupted_run_gives_what_an_uninterrupted_one_does(
    history: SimpleNamespace, files: list[Path], tmp_path: Path
) -> None:
    whole = [run for run in runs_in(tmp_path, files) if run.seed == 5 and run.ablation.name == "no-summary"]
    shutil.copytree(history.output / "seed-5" / "shared", tmp_path / "seed-5" / "shared")
    assert run_all(whole, None, no_report, lambda *_: None) == {}
    for name in ("metrics.json", "predictions.json"):
        resumed = history.output / "seed-5" / "no-summary" / "evaluation" / name
        assert read_json(resumed) == read_json(whole[0].evaluation / name)


def test_the_same_command_again_runs_nothing_and_changes_nothing(history: SimpleNamespace, files: list[Path]) -> None:
    records = sorted(history.output.glob("seed-*/*/run.json"))
    times = [path.stat().st_mtime_ns for path in records]
    again = ablate(history.output, files)
    assert len(records) == 6
    assert [path.stat().st_mtime_ns for path in records] == times
    assert (again.table, again.page) == (history.after.table, history.after.page)
    assert ablate(history.output, files, "--only-table").table == history.after.table


def test_waiting_for_what_another_process_makes_takes_no_seconds(
    history: SimpleNamespace, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds() -> dict[str, Any]:
        kept = sorted(history.output.glob("seed-*/shared/*.seconds.json"))
        records = sorted(history.output.glob("seed-*/*/run.json"))
        return {str(path): read_json(path)["seconds"] for path in (*kept, *records)}

    before = seconds()
    assert len(before) == len(SEEDS) * (2 + len(LINES))
    # As when it was made between the look and the lock.
    monkeypatch.setattr(Stage, "finished", lambda stage: False)
    assert run_all(runs_in(history.output, files), None, no_report, lambda *_: None) == {}
    assert seconds() == before


def micro_f1(labels: np.ndarray, given: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Micro F1 on every resample, from `weights` `(resamples, examples)`."""
    hits, wrong = ((weights * (given & labels).sum(axis=1)).sum(axis=1), (given != labels).sum(axis=1))
    return np.asarray(2 * hits / (2 * hits + (weights * wrong).sum(axis=1)))


def test_the_difference_is_paired_within_seeds_and_averaged_over_them(history: SimpleNamespace) -> None:
    differences = []
    for seed in SEEDS:
        folder = history.output / f"seed-{seed}"
        cohort = load_examples(folder / "no-summary" / read_json(folder / "no-summary" / "run.json")["cohort"])
        test, names = cohort["test"], cohort.vocabulary.disease_names
        labels = np.array(test["labels"], dtype=bool)
        subjects, place = np.unique(test["subject_id"], return_inverse=True)
        drawn = np.random.default_rng(seed).multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), 1000)
        weights = np.vstack([np.ones(len(subjects)), drawn])[:, place]
        scores = []
        for name in ("no-summary", "reference"):
            found = read_json(folder / name / "evaluation" / "predictions.json")
            assert found["example_id"] == test["example_id"][:]
            given = np.array([[one in listed for one in names] for listed in found["diagnoses"]["full"]])
            scores.append(micro_f1(labels, given, weights))
        differences.append(scores[0] - scores[1])
    mean = (differences[0] + differences[1]) / 2
    low, high = np.percentile(mean[1:], [2.5, 97.5])
    shown = line(history.after.table, "no-summary")["differences"]["full"]
    assert shown["seeds"] == list(SEEDS)
    assert shown["micro_f1"] == pytest.approx({"value": mean[0], "low": low, "high": high})
    assert low < high


def test_a_line_has_the_means_of_its_evaluations_and_only_the_models_that_it_scored(history: SimpleNamespace) -> None:
    for name in LINES:
        found = line(history.after.table, name)
        for system in found["scores"]:
            metrics = [
                read_json(history.output / f"seed-{seed}" / name / "evaluation" / "metrics.json")["systems"][system]
                for seed in SEEDS
            ]
            values = [one["macro_f1"]["value"] for one in metrics]
            assert found["scores"][system]["macro_f1"]["mean"] == pytest.approx(np.mean(values))
    assert list(line(history.after.table, "no-summary")["scores"]) == ["full"]
    assert set(line(history.after.table, "same")["scores"]) == {"full", "note_only", "labs_only"}
    assert line(history.after.table, "reference")["differences"] == {}


def test_a_change_without_an_effect_differs_by_nothing(history: SimpleNamespace) -> None:
    zero = {"value": 0.0, "low": 0.0, "high": 0.0}
    found = line(history.after.table, "same")["differences"]
    assert found["full"]["micro_f1"] == found["full"]["macro_f1"] == zero
    # The recipe does not score its model on one modality, so that there is nothing to subtract.
    assert list(found) == ["full"]


def test_boosting_is_a_line_from_the_recipe_s_evaluations(history: SimpleNamespace) -> None:
    found = line(history.after.table, "gradient_boosting")
    for seed in SEEDS:
        metrics = read_json(history.output / f"seed-{seed}" / "reference" / "evaluation" / "metrics.json")
        for system, baseline in (("full", "gradient_boosting"), ("note_only", "gradient_boosting_note")):
            value = metrics["systems"][baseline]["micro_f1"]["value"]
            assert found["scores"][system]["micro_f1"]["by_seed"][str(seed)] == value
    minus = np.mean(
        [
            found["scores"]["full"]["micro_f1"]["by_seed"][str(seed)]
            - line(history.after.table, "reference")["scores"]["full"]["micro_f1"]["by_seed"][str(seed)]
            for seed in SEEDS
        ]
    )
    assert found["differences"]["full"]["micro_f1"]["value"] == pytest.approx(minus)


def test_a_run_s_folder_has_a_recipe_and_how_it_was_made(history: SimpleNamespace) -> None:
    folder = history.output / "seed-4" / "no-summary"
    recipe = load_recipe(folder / "recipe" / "recipe.yaml")
    assert list(recipe.train) == ["backbone"]
    assert recipe.evaluate.texts == TEXTS
    assert yaml.safe_load(recipe.model.read_text())["lab_summary"] is False
    record = read_json(folder / "run.json")
    assert (record["name"], record["seed"]) == ("no-summary", 4)
    assert record["change"] == {"model": {"lab_summary": False}}
    assert record["config"]["model.yaml"]["lab_summary"] is False
    assert record["versions"]["torch"]
    assert set(record["seconds"]) == {"train backbone", "evaluate"}
    assert min(record["seconds"].values()) > 0
    assert (folder / record["models"]["backbone"] / "model.safetensors").is_file()


def test_other_settings_or_a_changed_evaluation_do_not_count(
    history: SimpleNamespace, files: list[Path], tmp_path: Path
) -> None:
    copied = shutil.copytree(history.output, tmp_path / "runs", symlinks=True)
    other = in_process("ablate", *files, "--seed", 4, "--texts", TEXTS + 1, "--output", copied, "--only-table")
    assert other.returncode == 0
    table = read_json(copied / "ablations.json")
    assert table["lines"] == []
    assert {one["reason"].partition(";")[0] for one in table["unfinished"]} == {"made with other settings"}
    predictions = copied / "seed-4" / "same" / "evaluation" / "predictions.json"
    content = read_json(predictions)
    content["diagnoses"]["full"] = [[] for _ in content["diagnoses"]["full"]]
    predictions.write_text(json.dumps(content))
    table = ablate(copied, files, "--only-table").table
    assert [(one["name"], one["seed"]) for one in table["unfinished"]] == [("same", 4)]
    assert "was changed afterwards" in table["unfinished"][0]["reason"]
