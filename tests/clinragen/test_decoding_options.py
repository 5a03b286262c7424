"""Constrained lists and probabilities where a user asks for them: predict, evaluate, and a recipe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from test_end_to_end import command

from clinragen.cli.main import main
from clinragen.pipeline.evaluate import CONSTRAINED_NOTICE
from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.stages import all_stages
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.processing_clinragen import NO_DIAGNOSIS

NOTE = "Dyspnea and fever. History of hypertension."
NAMES = set(shipped_definitions().vocabulary.disease_names)


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder and a note. The model wants to end at once; where it may not, it wants to write of shock."""
    path = tmp_path_factory.mktemp("model")
    model, processor = make_model("bart"), make_processor()
    wishes = model.language_model.final_logits_bias[0]
    wishes[processor.list_ids(["Shock"])] = 100.0
    wishes[processor.tokenizer.eos_token_id] = 200.0
    model.generation_config.max_new_tokens = 90
    model.save_pretrained(path)
    processor.save_pretrained(path)
    (path / "note.txt").write_text(NOTE)
    return path


def run_main(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["clinragen", *map(str, words)])
    main()


def test_predict_lists_configured_diseases_and_says_how_probable_all_are(folder: Path) -> None:
    done = command("predict", folder, "--note", folder / "note.txt", "--probabilities")
    assert done.returncode == 0, done.stderr[-1500:]
    listed, _, rest = done.stdout.partition("Rationale")
    assert [line.strip() for line in listed.splitlines() if line.strip()] == ["Diagnoses", "Shock"]
    assert "malformed" not in done.stdout
    percentages = [float(number) for number in re.findall(r"(\d+\.\d)%", rest)]
    assert len(percentages) == len(NAMES)
    assert percentages == sorted(percentages, reverse=True)


def test_predict_shows_what_the_model_writes_of_itself_where_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(monkeypatch, "predict", folder, "--note", folder / "note.txt", "--no-constrained")
    printed = capsys.readouterr().out
    assert "malformed" in printed
    assert "%" not in printed


def test_an_evaluation_can_be_constrained_and_says_so(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in ("--constrained", "--no-constrained"):
        folders = ("--cohort", tiny_run / "rationales", "--full", tiny_run / "train" / "multimodal")
        run_main(monkeypatch, "evaluate", *folders, "--output", tmp_path / option, option)
        notices = read_json(tmp_path / option / "metrics.json")["notices"]
        assert (CONSTRAINED_NOTICE in notices) == (option == "--constrained")
        assert (CONSTRAINED_NOTICE in (tmp_path / option / "report.md").read_text()) == (option == "--constrained")
    texts = read_json(tmp_path / "--constrained" / "predictions.json")["full"]
    for text in texts:
        listed, ended, _ = text.removeprefix("### Disease Diagnosed: ").partition(". ### Rationale:")
        *names, last = listed.split(",")
        assert set(names) <= NAMES
        # The longest output may end inside a name.
        assert last in NAMES | {NO_DIAGNOSIS} if ended else any(name.startswith(last) for name in NAMES)
    plain = read_json(tiny_run / "evaluation" / "predictions.json")["full"]
    assert read_json(tmp_path / "--no-constrained" / "predictions.json")["full"] == plain != texts


def test_a_recipe_says_whether_its_evaluation_is_constrained(tiny_recipe: Path, tmp_path: Path) -> None:
    text = tiny_recipe.read_text()
    assert "evaluate: {batch_size: 16}" in text
    chosen = {}
    for value in ("true", "false", "perhaps"):
        path = tiny_recipe.with_name(f"{value}.yaml")
        path.write_text(text.replace("{batch_size: 16}", f"{{batch_size: 16, constrained: {value}}}"))
        if value == "perhaps":
            with pytest.raises(SettingsError, match="constrained is 'perhaps'; give true or false"):
                all_stages(load_recipe(path), tmp_path, 0, None)
        else:
            chosen[value] = all_stages(load_recipe(path), tmp_path, 0, None)[-2].settings["constrained"]
    assert chosen == {"true": True, "false": False}
