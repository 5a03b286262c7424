"""Ablations: what a file may say, the recipe that it becomes, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT, fails_with_one_line, in_process
from tiny_recipe import write_tiny_recipe
from yaml_files import change

from clinragen.pipeline.ablation_file import Ablation, read_ablations
from clinragen.pipeline.ablation_recipe import WrittenRecipe, written_recipes
from clinragen.pipeline.ablation_run import Run
from clinragen.pipeline.recipe import load_recipe, shipped_recipe
from modeling_clinragen.errors import SettingsError

SKIPPING = ("no-phases", "skip-note", "skip-lab", "end-to-end")
"""The ablations of the phases that change nothing but which are trained."""
GOOD: Mapping[str, Any] = {
    "format": 1,
    "title": "A line",
    "recipe": "recipe/recipe.yaml",
    "change": {"model": {"lab_layers": 2}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe").mkdir()
    write_tiny_recipe(tmp_path / "recipe")
    return tmp_path


def put(folder: Path, name: str = "one", **content: Any) -> Path:
    path = folder / f"{name}.yaml"
    kept = {key: value for key, value in {**GOOD, **content}.items() if value is not None}
    path.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return path


def written(path: Path, texts: int | None = None) -> WrittenRecipe:
    return written_recipes(read_ablations([path]), texts)[path.stem]


def stage_folders(
    lines: Sequence[Ablation], recipes: Mapping[str, WrittenRecipe], output: Path
) -> dict[str, dict[str, Path]]:
    """Where each line's stages lie, by line and stage."""
    places = {}
    for line in lines:
        run = Run(ablation=line, recipe=recipes[line.name], seed=3, output=output)
        run.recipe.write(run.folder / "recipe")
        places[line.name] = {stage.name: stage.folder for stage in run.stages(None)}
    return places


def test_the_shipped_ablations_are_recipes_that_differ_from_the_quickstart() -> None:
    paths = sorted((ROOT / "recipes" / "ablations").glob("*.yaml"))
    lines = read_ablations(paths)
    assert {line.recipe.resolve() for line in lines} == {ROOT / "recipes" / "quickstart.yaml"}
    recipes = written_recipes(lines, 100)
    assert {recipe.files["recipe.yaml"]["evaluate"]["texts"] for recipe in recipes.values()} == {100}
    assert list(recipes["paper"].files["recipe.yaml"]["train"]) == ["backbone", "note", "lab", "multimodal"]
    assert "muon_learning_rate" not in recipes["no-muon"].files["backbone.yaml"]
    recipe = recipes["half-knowledge"].files["model.yaml"]
    assert (recipe["knowledge_share"], recipe["knowledge_fusion"]) == (0.5, "gated")
    # An installed package has them beside its recipes.
    assert len(list(shipped_recipe("quickstart").parent.glob("ablations/*.yaml"))) == len(paths) >= 10


def test_the_shipped_ablations_of_the_phases_change_the_paper_s_recipe(tmp_path: Path) -> None:
    paths = sorted((ROOT / "recipes" / "ablations" / "phases").glob("*.yaml"))
    lines = read_ablations(paths)
    assert {line.recipe.resolve() for line in lines} == {ROOT / "recipes" / "tiny-t5-paper-short.yaml"}
    recipes = written_recipes(lines, 100)
    phases = {name: list(recipe.files["recipe.yaml"]["train"]) for name, recipe in recipes.items()}
    assert phases["reference"] == ["backbone", "note", "lab", "multimodal"]
    assert phases["skip-note"] == ["backbone", "lab", "multimodal"]
    assert phases["skip-lab"] == ["backbone", "note", "multimodal"]
    assert phases["end-to-end"] == ["backbone", "multimodal"]
    assert phases["no-phases"] == ["backbone"]
    shares = [recipes[f"knowledge-{share}"].files["model.yaml"]["knowledge_share"] for share in (25, 50, 75)]
    assert shares == [0.25, 0.5, 0.75]
    assert recipes["unfiltered-teacher"].files["recipe.yaml"]["rationales"]["filter"] is False
    assert len(list(shipped_recipe("quickstart").parent.glob("ablations/phases/*.yaml"))) == len(paths) >= 15
    # A line takes over the phases that are trained in the recipe's way, up to the first that is not.
    places = stage_folders(lines, recipes, tmp_path)
    phases_taken = {
        name: [
            stage.removeprefix("train ")
            for stage, place in found.items()
            if stage.startswith("train ") and place == places["reference"].get(stage)
        ]
        for name, found in places.items()
    }
    assert phases_taken["no-phases"] == phases_taken["skip-note"] == phases_taken["end-to-end"] == ["backbone"]
    assert phases_taken["skip-lab"] == ["backbone", "note"]
    assert not any(taken for name, taken in phases_taken.items() if name not in ("reference", *SKIPPING))


def test_a_changed_recipe_is_an_ordinary_one_wherever_it_lies(folder: Path) -> None:
    (folder / "recipe" / "world").mkdir()
    (folder / "more.yaml").write_text("max_steps: 9\nallow_skipped_phases: true\n")
    change(folder / "recipe" / "recipe.yaml", "synthesize", "world", value="world")
    path = put(
        folder,
        change={
            "model": {"lab_layers": 2, "lab_summary": None},
            "train": {"note": None, "lab": None, "multimodal": {"file": "more.yaml", "max_steps": 7}},
            "synthesize": {"patients": 50},
            "evaluate": {"alone": False},
        },
    )
    recipe = load_recipe(written(path, texts=5).write(folder / "elsewhere"))
    assert list(recipe.train) == ["backbone", "multimodal"]
    assert yaml.safe_load(recipe.train["multimodal"].read_text()) == {"max_steps": 7, "allow_skipped_phases": True}
    assert recipe.synthesize is not None
    assert (recipe.synthesize.patients, recipe.synthesize.world) == (50, folder / "recipe" / "world")
    assert (recipe.evaluate.alone, recipe.evaluate.texts) == (False, 5)
    model = yaml.safe_load(recipe.model.read_text())
    assert model["lab_layers"] == 2
    assert "lab_summary" not in model
    # A phase that is left out leaves no file of an earlier change behind.
    written(put(folder, "other")).write(folder / "elsewhere")
    assert (folder / "elsewhere" / "note.yaml").is_file()
    written(path).write(folder / "elsewhere")
    assert not (folder / "elsewhere" / "note.yaml").exists()


def test_stages_are_shared_as_far_as_their_settings_are_the_same(folder: Path) -> None:
    paths = [
        put(folder, "model"),
        put(folder, "window", title="W", change={"build": {"window": "first-24h"}}),
        put(folder, "wording", title="R", change={"rationales": {"range_set": "paper"}}),
    ]
    lines = read_ablations(paths)
    recipes = written_recipes(lines, None)
    places = {name: list(found.values()) for name, found in stage_folders(lines, recipes, folder / "out").items()}
    first = places["reference"]
    assert len(set(first)) == len(first)
    shared = {
        name: sum(one == other for one, other in zip(first, folders, strict=True)) for name, folders in places.items()
    }
    assert shared == {"reference": len(first), "model": 4, "window": 1, "wording": 3}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"change": {"model": {"lab_layer": 2}}}, ["one.yaml: model", "unknown setting 'lab_layer'"]),
        ({"change": {"models": {"lab_layers": 2}}}, ["one.yaml: change", "unknown setting 'models'"]),
        ({"change": {"train": {"note": {"max_step": 2}}}}, ["one.yaml: train: note", "unknown setting 'max_step'"]),
        ({"change": {"evaluate": {"texts": 0}}}, ["one.yaml: evaluate: texts", "at least 1"]),
        ({"change": {"model": {"lab_layers": 1}}}, ["one.yaml: change: changes nothing"]),
        ({"change": {"train": {"note": {"text_share": 1.0}}}}, ["one.yaml: change: changes nothing"]),
        ({"change": None}, ["one.yaml: change: changes nothing"]),
        ({"change": {"train": {"notes": {"max_steps": 2}}}}, ["train: notes", "no such phase"]),
        ({"change": {"train": {"notes": None}}}, ["train: notes", "no such phase to leave out"]),
        ({"change": {"train": {"note": {"file": "none.yaml"}}}}, ["train: note: file: none.yaml is missing"]),
        ({"change": {"train": {"note": 3}}}, ["train: note", "expected settings"]),
        ({"change": {"train": {"note": None}}}, ["one.yaml: train", "'lab' starts from 'note'"]),
        ({"recipe": "none.yaml"}, ["one.yaml: recipe", "none.yaml is missing"]),
        ({"instead": "none.yaml"}, ["one.yaml: instead", "none.yaml is missing"]),
        ({"title": None}, ["one.yaml: missing setting 'title'"]),
        ({"format": 2}, ["one.yaml: format", "this version reads 1"]),
    ],
)
def test_a_faulty_file_is_refused_in_one_line_before_anything_runs(
    folder: Path, content: Mapping[str, Any], parts: list[str]
) -> None:
    path = put(folder, **content)
    with pytest.raises(SettingsError) as caught:
        written(path)
    assert str(caught.value).startswith(str(path))
    done = in_process("ablate", path, "--output", folder / "out")
    fails_with_one_line(done, *parts)
    assert not (folder / "out").exists()


def test_files_of_two_recipes_and_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    write_tiny_recipe(folder / "other")
    one, two = put(folder), put(folder, "two", title="Two", recipe="other/recipe.yaml")
    fails_with_one_line(in_process("ablate", one, two), "two.yaml: recipe", "the files of one recipe at a time")
    fails_with_one_line(in_process("ablate", one, one), "has the same name")
    fails_with_one_line(in_process("ablate", one, put(folder, "three")), "has the same title")
    fails_with_one_line(in_process("ablate", put(folder, "reference")), "the name reference is taken")


def test_bad_options_are_refused(folder: Path) -> None:
    path, out = put(folder), folder / "out"
    fails_with_one_line(in_process("ablate"), "files")
    fails_with_one_line(in_process("ablate", folder / "none.yaml"), "none.yaml")
    fails_with_one_line(in_process("ablate", path, "--seeds", 0, "--output", out), "--seeds", "at least 1, got 0")
    fails_with_one_line(in_process("ablate", path, "--seed", -1, "--output", out), "--seed", "-1")
    fails_with_one_line(in_process("ablate", path, "--texts", 0, "--output", out), "--texts", "at least 1")
    fails_with_one_line(in_process("ablate", path, "--only-table", "--output", out), "has no runs")
    fails_with_one_line(in_process("ablate", path, "--root", folder, "--output", out), "makes its own tables")
    assert not out.exists()
