"""A recipe whose settings do not fit together is refused before anything runs, with the file and the cure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from yaml_files import change

from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.recipe_check import check_shape
from dataset_builder.synthetic.identifiers import MAX_PATIENTS
from modeling_clinragen.errors import SettingsError
from trainers.model_config import load_model_config


@pytest.fixture
def recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A correct recipe whose files may be changed."""
    return shutil.copytree(tiny_recipe.parent, tmp_path / "recipe") / "recipe.yaml"


PHASE = "phase.yaml"


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("train",), {"backbone": PHASE, "note": PHASE}, "train: lacks the phase 'multimodal'"),
        (("train",), {"backbone": PHASE, "note": PHASE, "lab": PHASE}, "train: lacks the phase 'multimodal'"),
        (("train",), {"note": PHASE, "multimodal": PHASE}, "'multimodal' starts from 'lab', but here from 'note'"),
        (
            ("train",),
            {"lab": PHASE, "multimodal": PHASE},
            "'lab' starts from 'note', but here from an untrained model",
        ),
        (("build", "source"), "mimic-vii", r"build: source: expected one of .*eicu,.* mimic-iii, mimic-iv, or"),
        (("build", "source"), "nowhere.yaml", r"build: source: expected one of .*, got 'nowhere\.yaml'"),
        (("build", "vocabulary"), "nowhere", r"nowhere: has no vocabulary\.yaml"),
        (("build", "split_file"), "nowhere.csv", r"nowhere\.csv: cannot be read"),
        (("build", "range_set"), "sick", "build: unknown range set 'sick'; choose one of clinical, paper"),
        (("rationales", "range_set"), "sick", "rationales: range_set: unknown range set 'sick'"),
        (("synthesize", "world"), "nowhere", "synthesize: world: .*nowhere is not a folder"),
        (("synthesize", "patients"), MAX_PATIENTS + 1, f"synthesize: patients: .* from 1 to {MAX_PATIENTS}"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    recipe: Path, keys: tuple[str, ...], value: Any, message: str
) -> None:
    change(recipe, *keys, value=value)
    with pytest.raises(SettingsError, match=message) as caught:
        load_recipe(recipe)
    assert str(caught.value).startswith(f"{recipe}: ")


def test_a_phase_may_be_skipped_where_its_settings_allow_it(recipe: Path) -> None:
    change(recipe, "train", value={"note": PHASE, "multimodal": PHASE})
    change(recipe.with_name(PHASE), "allow_skipped_phases", value=True)
    assert list(load_recipe(recipe).train) == ["note", "multimodal"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "t55"}, "model_type: transformers knows no 't55'"),
        ({"d_mode": 32}, "unknown key 'd_mode' for a model of type 't5'"),
    ],
)
def test_the_shape_of_a_model_from_scratch_is_checked(recipe: Path, changed: dict[str, Any], message: str) -> None:
    path = recipe.with_name("t5.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(SettingsError, match=message) as caught:
        load_recipe(recipe)
    assert str(caught.value).startswith(f"{path}: ")


def test_other_names_and_notes_of_transformers_are_known_in_a_shape(tmp_path: Path) -> None:
    check_shape(
        tmp_path,
        {"model_type": "t5", "hidden_size": 8, "torch_dtype": "float32", "transformers_version": "5", "_name": "x"},
    )


def test_a_backbone_and_a_teacher_beside_the_file_are_found(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe.parent / "flan").mkdir()
    monkeypatch.chdir("/")
    change(recipe.with_name("model.yaml"), "scratch", value=None)
    change(recipe.with_name("model.yaml"), "backbone", value="flan")
    assert load_model_config(recipe.with_name("model.yaml")).backbone == str(recipe.parent / "flan")
    llm = {"provider": "transformers", "model_name": "flan"}
    change(recipe, "rationales", value={"teacher": "llm", "llm": llm})
    found = load_recipe(recipe).rationales.llm
    assert found is not None
    assert found.model_name == str(recipe.parent / "flan")
    # A server's model has a name, whatever lies beside the recipe.
    change(recipe, "rationales", "llm", value={"model_name": "flan", "base_url": "http://127.0.0.1:1/v1"})
    found = load_recipe(recipe).rationales.llm
    assert found is not None
    assert found.model_name == "flan"
