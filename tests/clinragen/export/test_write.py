"""Answers as files: the form by the ending, for the owner alone, whole or not at all; and the model's origin."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from exported_answers import MALFORMED, MOMENT, ORIGIN, answer
from scripted_model import save_short_model

from clinragen.export.forms import require_exportable
from clinragen.export.origin import model_origin
from clinragen.export.result import explanation_json, explanation_result
from clinragen.export.write import export_explanation, rendered
from modeling_clinragen.errors import InputDataError, SettingsError


def test_json_comes_back_as_it_was() -> None:
    for given in (answer(), MALFORMED, answer("labs only"), answer(probabilities=None, thresholds=None)):
        read = json.loads(explanation_json(given))
        assert read == explanation_result(given)
        assert [sentence["text"] for sentence in read["withheld"]] == [one.text for one in given.withheld]
        assert read["thresholds"] == given.thresholds


@pytest.mark.parametrize(("name", "begins"), [("a.PDF", b"%PDF-"), ("a.json", b"{"), ("a.fhir.json", b"{")])
def test_the_ending_says_in_which_form_and_the_file_is_its_owner_s(tmp_path: Path, name: str, begins: bytes) -> None:
    path = tmp_path / "of_today" / name
    export_explanation(path, answer(), ORIGIN, MOMENT)
    content = path.read_bytes()
    assert content.startswith(begins)
    assert content == rendered(require_exportable(path), answer(), ORIGIN, MOMENT)
    assert ("resourceType" in json.loads(content)) == ("fhir" in name) if begins == b"{" else True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [name]
    # A file that others could read is replaced by one that they cannot.
    path.chmod(0o644)
    export_explanation(path, answer(), ORIGIN, MOMENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a.txt", "a", "pdf", "a.json.gz", "a.fhir"])
def test_another_ending_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be exported to; end the name with \.pdf, \.json or \.fhir\.json"):
        export_explanation(tmp_path / name, answer(), ORIGIN, MOMENT)
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_not_replaced(tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    note.write_text("Dyspnea.")
    with pytest.raises(InputDataError, match="overlaps with the input"):
        require_exportable(note, [tmp_path / "labs.csv", note])
    assert require_exportable(tmp_path / "other.json", [note]) == ".json"


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_short_model(tmp_path_factory.mktemp("own") / "of_mine", make_model, make_processor)


def test_a_revision_is_of_the_weights_and_the_configuration_alone(folder: Path, tmp_path: Path) -> None:
    one = model_origin(folder)
    assert one.name == "of_mine"
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("Another card.")
    assert (model_origin(copy).name, model_origin(copy).revision) == ("copy", one.revision)
    weights = next(copy.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_origin(copy).revision != one.revision


def test_the_origin_says_what_the_model_was_trained_on(folder: Path, tmp_path: Path) -> None:
    assert model_origin(folder).data == "a source that is not recorded (licence not recorded)"
    copy = shutil.copytree(folder, tmp_path / "copy")
    hospital = {"title": "A hospital", "version": "2.1", "licence": {"id": "x", "name": "Some licence"}}
    (copy / "provenance.json").write_text(json.dumps({**hospital, "origins": [hospital, {**hospital, "title": "B"}]}))
    found = model_origin(copy).data
    assert found == "A hospital, version 2.1 (Some licence); B, version 2.1 (Some licence)"
    (copy / "provenance.json").write_text("not JSON")
    assert "not recorded" in model_origin(copy).data
