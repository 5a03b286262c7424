"""transformers' `pipeline` of a model folder: what it gives, with and without the package, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from transformers import AutoModelForMultimodalLM, pipeline

from dataset_builder.contract.lab_csv import read_lab_csv, write_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen import ClinicalRationalePipeline, ClinRaGenConfig
from modeling_clinragen.diagnosing_clinragen import diagnose_patients, write_targets
from modeling_clinragen.errors import InputDataError, ModelInputError
from modeling_clinragen.pipeline_clinragen import read_columns
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea and fever."
CSV = "hours,heart rate (bpm),Temperature (°F)\n0,118,\n4,124,101.3\n"
KEYS = ["diagnoses", "probabilities", "problem", "rationale", "text", "warnings"]
# By what is installed: neither package, or both, imported behind transformers.
WITHOUT = """
import json, sys
sys.modules["clinragen"] = sys.modules["modeling_clinragen"] = None
from transformers import pipeline
made = pipeline("clinical-rationale", model=sys.argv[1], trust_remote_code=True)
unnamed = pipeline(model=sys.argv[1], trust_remote_code=True)
assert "transformers_modules" in type(made).__module__ and type(unnamed) is type(made)
print(json.dumps(made(note=sys.argv[2], labs="labs.csv", max_new_tokens=12)))
"""
WITH = """
import json, sys
from transformers import pipeline
import clinragen
made = pipeline(model=sys.argv[1])
named = pipeline("clinical-rationale", model=sys.argv[1])
assert type(made).__module__ == type(named).__module__ == "modeling_clinragen.pipeline_clinragen"
print(json.dumps(made(note=sys.argv[2], labs="labs.csv", max_new_tokens=12)))
"""


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a disease head."""
    folder = tmp_path_factory.mktemp("pipeline") / "model"
    make_model("t5", disease_head=True, credentialed=False).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    (folder.parent / "labs.csv").write_text(CSV, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Any:
    return pipeline(model=str(folder))


@pytest.mark.parametrize("script", [WITHOUT, WITH], ids=["without the package", "with it"])
def test_a_fresh_process_gives_the_same(script: str, folder: Path, made: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), NOTE],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env={
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "1",
            "PATH": "",
            "OMP_NUM_THREADS": "1",
            **({"PYTHONPATH": str(ROOT)} if script == WITH else {}),
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    expected = made(note=NOTE, labs=folder.parent / "labs.csv", max_new_tokens=12)
    assert sorted(found) == KEYS
    assert found.pop("probabilities") == pytest.approx(expected.pop("probabilities"), rel=1e-5)
    assert found == expected


def test_it_gives_what_the_model_writes_and_its_head_finds(folder: Path, made: Any, vocabulary: Vocabulary) -> None:
    assert type(made) is ClinicalRationalePipeline
    series = {"hours": [0.0, 4.0], "heart_rate": [118.0, 124.0], "Temperature (°F)": [None, 101.3]}
    patients = [(NOTE, series), (None, series), (NOTE, None)]
    notes, labs = zip(*patients, strict=True)
    found = made(note=list(notes), labs=list(labs), max_new_tokens=12)
    for patient, one in zip(patients, found, strict=True):
        (text,) = write_targets(made.model, made.processor, [patient], do_sample=False, max_new_tokens=12)
        chances = diagnose_patients(made.model, made.processor, [patient])[0].tolist()
        parsed = made.processor.parse(text)
        assert one["text"] == text
        assert one["diagnoses"] == list(parsed.diagnoses)
        assert (one["rationale"], one["problem"]) == (parsed.rationale, parsed.problem)
        assert list(one["probabilities"]) == list(vocabulary.disease_names)
        assert list(one["probabilities"].values()) == pytest.approx(chances, abs=1e-6)
    # One by one, in one batch, from a file, and from an object in memory: the same.
    assert made(note=list(notes), labs=list(labs), max_new_tokens=12, batch_size=1)[1]["text"] == found[1]["text"]
    assert made(labs=str(folder.parent / "labs.csv"), max_new_tokens=12)["text"] == found[1]["text"]
    again = made.model.as_pipeline(made.processor, max_new_tokens=12)
    assert again(NOTE)["text"] == found[2]["text"]
    long = again(NOTE * 900)
    assert "tokens" in long["warnings"][0]


def test_the_config_names_the_task_and_the_other_class_loads(folder: Path) -> None:
    saved = json.loads((folder / "config.json").read_text())
    task = {"impl": "pipeline_clinragen.ClinicalRationalePipeline", "pt": ["AutoModelForSeq2SeqLM"]}
    assert saved["custom_pipelines"] == {"clinical-rationale": {**task, "type": "multimodal"}}
    assert (folder / "pipeline_clinragen.py").is_file()
    config = ClinRaGenConfig.from_pretrained(folder)
    assert list(config.custom_pipelines) == ["clinical-rationale"]
    # Whoever has the package need not trust the folder's code.
    assert "clinical-rationale" not in config.custom_pipelines
    assert json.loads(config.to_json_string())["custom_pipelines"] == saved["custom_pipelines"]
    assert type(AutoModelForMultimodalLM.from_pretrained(folder)).__name__ == "ClinRaGenForConditionalGeneration"


def test_a_csv_is_read_as_the_package_reads_it(made: Any, vocabulary: Vocabulary, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.array([variable.fill for variable in vocabulary.variables]) * rng.uniform(0.95, 1.0, (9, 11))
    values[rng.random(values.shape) < 0.5] = np.nan
    write_lab_csv(tmp_path / "labs.csv", LabSeries.from_values(vocabulary, np.arange(9.0), values))
    theirs = read_lab_csv(tmp_path / "labs.csv", vocabulary)
    ours = made.processor.standard_series(read_columns(tmp_path / "labs.csv"))
    np.testing.assert_array_equal(ours["hours"], theirs.hours)
    expected = np.where(theirs.observed, theirs.values, np.nan)
    np.testing.assert_allclose(ours["values"], expected, rtol=1e-6)
    text = (tmp_path / "labs.csv").read_text(encoding="utf-8")
    (tmp_path / "semicolons.csv").write_text("\ufeff" + text.replace(",", ";"), encoding="utf-8")
    assert read_columns(tmp_path / "semicolons.csv") == read_columns(tmp_path / "labs.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'hours'"),
        ("heart_rate\n80\n", "has no column 'hours'"),
        ("hours,heart_rate\n0,eighty\n", r"bad\.csv: row 2, column 'heart_rate'.* is not a number"),
        ("hours,heart_rate\n0,80,90\n", "row 2 has 3 cells"),
        ("hours,heart_rate,heart_rate\n0,80,90\n", "two columns"),
        ("hours,heart_rate\n0,caf\xe9\n", "UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_without_its_values(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputDataError, match=message) as caught:
        read_columns(path)
    assert "eighty" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_call_without_a_patient_is_refused(made: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match="nothing to go on"):
        made()
    with pytest.raises(ModelInputError, match="2 notes and 1 series"):
        made(note=[NOTE, NOTE], labs=[None])
    with pytest.raises(ModelInputError, match="beside a list"):
        made(note=NOTE, labs=[None, None])
    with pytest.raises(InputDataError, match=r"none\.csv"):
        made(labs=tmp_path / "none.csv")
    (tmp_path / "labs.csv").write_text("hours,heart rait\n0,80\n")
    with pytest.raises(ModelInputError, match="heart rait"):
        made(labs=tmp_path / "labs.csv")
