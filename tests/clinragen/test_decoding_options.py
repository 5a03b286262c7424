"""Free output and probabilities where a user asks for them: predict, evaluate, and a recipe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import command, fails_with_one_line, in_process
from scripted_model import save_short_model
from yaml_files import change

from clinragen.evaluation.scoring import VERIFIED_NOTICE
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import load_recipe
from dataset_builder.storage.files import read_json
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea and fever. History of hypertension."


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder and a note. The model would end at once; where that is not allowed, it writes of shock."""
    path = save_short_model(tmp_path_factory.mktemp("model"), make_model, make_processor)
    (path / "note.txt").write_text(NOTE)
    return path


def test_predict_lists_configured_diseases_and_the_probability_of_each(folder: Path, vocabulary: Vocabulary) -> None:
    done = command("predict", folder, "--note", folder / "note.txt", "--probabilities")
    assert done.returncode == 0, done.stderr[-1500:]
    listed, _, rest = done.stdout.partition("Rationale")
    lines = [line.strip() for line in listed.splitlines() if line.strip()]
    # The model lists it, but writes no sentence that gives evidence for it.
    assert lines == ["Diagnoses", "none with evidence", "Named without evidence, so not asserted", "Shock"]
    assert "(nothing that the data support)" in rest
    assert "malformed" not in done.stdout
    percentages = [float(number) for number in re.findall(r"(\d+\.\d)%", rest)]
    assert len(percentages) == len(vocabulary.diseases)
    assert percentages == sorted(percentages, reverse=True)


def test_predict_shows_the_free_output_where_that_is_asked_for(folder: Path) -> None:
    printed = in_process("predict", folder, "--note", folder / "note.txt", "--raw").stdout
    assert "malformed" in printed
    assert "%" not in printed


def test_predict_loads_no_library_that_only_training_needs(folder: Path) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print({'datasets', 'pandas', 'trl', 'matplotlib', 'gradio'} & set(sys.modules)))\n"
        "from clinragen.cli.main import main\n"
        "main()"
    )
    words = ["predict", str(folder), "--note", str(folder / "note.txt")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_beams_of_predict_reach_the_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

    seen: list[Any] = []
    generate = ClinRaGenForConditionalGeneration.generate

    def listen(self: Any, *args: Any, **settings: Any) -> Any:
        seen.append(settings["num_beams"])
        return generate(self, *args, **settings)

    monkeypatch.setattr(ClinRaGenForConditionalGeneration, "generate", listen)
    assert in_process("predict", folder, "--note", folder / "note.txt", "--num-beams", 3).returncode == 0
    # The draft; without any evidence of a listed disease in the note nothing more is written.
    assert seen == [3]
    fails_with_one_line(in_process("predict", folder, "--note", folder / "note.txt", "--num-beams", 0), "--num-beams")


def test_an_evaluation_is_verified_unless_it_is_raw_and_says_so(
    tiny_run: Path, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    folders = ("--cohort", tiny_run / "rationales", "--full", tiny_run / "train" / "multimodal")
    done = in_process("evaluate", *folders, "--output", tmp_path / "raw", "--raw")
    assert done.returncode == 0, done.stderr[-1500:]
    for folder, verified in ((tiny_run / "evaluation", True), (tmp_path / "raw", False)):
        assert (VERIFIED_NOTICE in read_json(folder / "metrics.json")["notices"]) == verified
        assert (VERIFIED_NOTICE in (folder / "report.md").read_text()) == verified
    processor = ClinRaGenProcessor.from_pretrained(tiny_run / "model")
    checked, free = (read_json(folder / "predictions.json") for folder in (tiny_run / "evaluation", tmp_path / "raw"))
    # What is written freely is the same, and with `--raw` that is also what is shown and scored.
    assert checked["texts"]["full"] == free["texts"]["full"]
    parsed = [processor.parse(text) for text in free["texts"]["full"]]
    assert free["diagnoses"]["full"] == [list(answer.diagnoses) for answer in parsed]
    assert free["shown"]["full"] == [None if answer.problem else answer.rationale for answer in parsed]
    assert free["shown"]["full"] != checked["shown"]["full"]
    for diagnoses in checked["diagnoses"]["full"]:
        assert set(diagnoses) <= set(vocabulary.disease_names)
        assert len(set(diagnoses)) == len(diagnoses)
    claims = read_json(tiny_run / "evaluation" / "metrics.json")["rationale"]["full"]["claims"]["shown"]["data"]
    assert (claims["contradicted"]["count"], claims["unverifiable"]["count"]) == (0, 0)


def test_a_recipe_says_whether_its_evaluation_is_raw(tiny_recipe: Path, tmp_path: Path) -> None:
    path = shutil.copytree(tiny_recipe.parent, tmp_path / "recipe") / "recipe.yaml"
    for value in (True, False):
        change(path, "evaluate", "raw", value=value)
        assert plan_stages(load_recipe(path), path, tmp_path, 0, None)[-2].config.raw is value
    change(path, "evaluate", "raw", value="perhaps")
    with pytest.raises(SettingsError, match="raw: expected true or false, got 'perhaps'"):
        load_recipe(path)
