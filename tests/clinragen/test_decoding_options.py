"""Constrained lists and probabilities where a user asks for them: predict, evaluate, and a recipe."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import command, fails_with_one_line, in_process
from yaml_files import change

from clinragen.evaluation.run import CONSTRAINED_NOTICE
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import load_recipe
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.processing_clinragen import NO_DIAGNOSIS
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea and fever. History of hypertension."


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder and a note. The model would end at once; where that is not allowed, it writes of shock."""
    path = tmp_path_factory.mktemp("model")
    model, processor = make_model("bart"), make_processor()
    bias = model.language_model.final_logits_bias[0]
    bias[processor.list_ids(["Shock"])] = 100.0
    bias[processor.tokenizer.eos_token_id] = 200.0
    model.generation_config.max_new_tokens = 90
    model.save_pretrained(path)
    processor.save_pretrained(path)
    (path / "note.txt").write_text(NOTE)
    return path


def test_predict_lists_configured_diseases_and_the_probability_of_each(folder: Path, vocabulary: Vocabulary) -> None:
    done = command("predict", folder, "--note", folder / "note.txt", "--probabilities")
    assert done.returncode == 0, done.stderr[-1500:]
    listed, _, rest = done.stdout.partition("Rationale")
    assert [line.strip() for line in listed.splitlines() if line.strip()] == ["Diagnoses", "Shock"]
    assert "malformed" not in done.stdout
    percentages = [float(number) for number in re.findall(r"(\d+\.\d)%", rest)]
    assert len(percentages) == len(vocabulary.diseases)
    assert percentages == sorted(percentages, reverse=True)


def test_predict_shows_the_unconstrained_output_where_that_is_asked_for(folder: Path) -> None:
    printed = in_process("predict", folder, "--note", folder / "note.txt", "--no-constrained").stdout
    assert "malformed" in printed
    assert "%" not in printed


def test_the_beams_of_predict_reach_the_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

    seen: list[Any] = []
    generate = ClinRaGenForConditionalGeneration.generate

    def listen(self: Any, *args: Any, **settings: Any) -> Any:
        seen.append(settings["num_beams"])
        return generate(self, *args, **settings)

    monkeypatch.setattr(ClinRaGenForConditionalGeneration, "generate", listen)
    assert in_process("predict", folder, "--note", folder / "note.txt", "--num-beams", 3).returncode == 0
    assert seen == [3]
    fails_with_one_line(in_process("predict", folder, "--note", folder / "note.txt", "--num-beams", 0), "--num-beams")


def test_an_evaluation_can_be_constrained_and_says_so(tiny_run: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    for option in ("--constrained", "--no-constrained"):
        folders = ("--cohort", tiny_run / "rationales", "--full", tiny_run / "train" / "multimodal")
        done = in_process("evaluate", *folders, "--output", tmp_path / option, option)
        assert done.returncode == 0, done.stderr[-1500:]
        notices = read_json(tmp_path / option / "metrics.json")["notices"]
        assert (CONSTRAINED_NOTICE in notices) == (option == "--constrained")
        assert (CONSTRAINED_NOTICE in (tmp_path / option / "report.md").read_text()) == (option == "--constrained")
    names = set(vocabulary.disease_names)
    texts = read_json(tmp_path / "--constrained" / "predictions.json")["full"]
    for text in texts:
        listed, ended, _ = text.removeprefix("### Disease Diagnosed: ").partition(". ### Rationale:")
        *first, last = listed.split(",")
        assert set(first) <= names
        # The longest output may end inside a name.
        assert last in names | {NO_DIAGNOSIS} if ended else any(name.startswith(last) for name in names)
    plain = read_json(tiny_run / "evaluation" / "predictions.json")["full"]
    assert read_json(tmp_path / "--no-constrained" / "predictions.json")["full"] == plain != texts


def test_a_recipe_says_whether_its_evaluation_is_constrained(tiny_recipe: Path, tmp_path: Path) -> None:
    path = shutil.copytree(tiny_recipe.parent, tmp_path / "recipe") / "recipe.yaml"
    for value in (True, False):
        change(path, "evaluate", "constrained", value=value)
        assert plan_stages(load_recipe(path), path, tmp_path, 0, None)[-2].config.constrained is value
    change(path, "evaluate", "constrained", value="perhaps")
    with pytest.raises(SettingsError, match="constrained: expected true or false, got 'perhaps'"):
        load_recipe(path)
