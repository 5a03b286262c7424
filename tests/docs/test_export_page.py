"""docs/export.md: its commands and its Python write the files that it says, and its table has every field."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import fails_with_one_line, in_process
from conftest import ROOT
from exported_answers import answer
from pdf_text import pdf_text
from scripted_model import save_short_model

from clinragen.export.result import explanation_result

PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page's reader has."""
    path = tmp_path_factory.mktemp("reader")
    save_short_model(path / "runs" / "quickstart" / "model", make_model, make_processor)
    (path / "note.txt").write_text("Dyspnea and fever.\nHistory of hypertension.")
    (path / "labs.csv").write_text("hours,heart rate (bpm)\n0,118\n4,124\n8,131\n")
    return path


def test_its_commands_and_its_python_write_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    commands = re.findall(r"^clinragen (predict .*)$", PAGE, re.MULTILINE)
    files = [Path(words.split()[-1]) for words in commands]
    for words, file in zip(commands, files, strict=True):
        done = in_process(*shlex.split(words))
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Diagnoses"), done.stderr[-1500:]
        assert file.stat().st_mode & 0o777 == 0o600
    by_command = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/export.md", "exec"), {})
    pdf, plain, fhir = (file.read_bytes() for file in files)
    assert plain == by_command[Path("answer.json")]
    assert json.loads(plain)["probabilities"]
    assert json.loads(fhir)["resourceType"] == "Bundle"
    assert "heart rate (bpm) 118 to 131, 3 measured" in pdf_text(pdf)


def test_what_is_printed_as_json_is_what_is_written(folder: Path) -> None:
    model = folder / "runs" / "quickstart" / "model"
    done = in_process("predict", model, "--note", folder / "note.txt", "--json", "--export", folder / "one.json")
    assert done.stdout == (folder / "one.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--export", "answer.doc"], "answer.doc: cannot be exported to; end the name with .pdf, .json or .fhir.json"),
        (["--export", "labs.json", "--labs", "labs.json"], "labs.json: overlaps with the input"),
        (["--export", "answer.json", "--cohort", "cohort"], "--export: is for one patient"),
    ],
    ids=["ending", "input", "cohort"],
)
def test_a_file_that_cannot_be_is_refused_before_a_model_is_read(tmp_path: Path, words: list[str], part: str) -> None:
    note = [] if "--cohort" in words else ["--note", str(tmp_path / "note.txt")]
    fails_with_one_line(in_process("predict", tmp_path / "no_model", *note, *words), part)


def test_every_field_of_the_answer_is_in_the_table() -> None:
    section = PAGE.partition("## JSON")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(explanation_result(answer()))
