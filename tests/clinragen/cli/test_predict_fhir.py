"""`clinragen predict --fhir`: the same answer as for the note and the table that the resources say, and back again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fails_with_one_line, in_process
from scripted_model import save_short_model
from tiny_fhir import bundle, document, encounter, observation, quantity
from tiny_mimic import START

NOTE = "Dyspnea and fever.\nHistory of hypertension."
BEATS = ((0, 118), (4, 124), (8, 131))


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and one patient as a note and a table, and as a Bundle."""
    path = save_short_model(tmp_path_factory.mktemp("model"), make_model, make_processor)
    (path / "note.txt").write_text(NOTE)
    rows = [f"{hour},{value}" for hour, value in BEATS]
    (path / "labs.csv").write_text("\n".join(["hours,heart rate (bpm)", *rows]) + "\n")
    values = [
        observation(1, START + timedelta(hours=hour), "8867-4", valueQuantity=quantity(value, "/min"))
        for hour, value in BEATS
    ]
    stay = encounter("stay", 1, (START, START + timedelta(days=1)))
    resources = [{"resourceType": "Patient", "id": "1"}, stay, document(1, NOTE), *values]
    (path / "bundle.json").write_text(json.dumps(bundle(resources)), encoding="utf-8")
    return path


def test_the_answer_is_that_for_note_and_table(folder: Path) -> None:
    by_files = in_process("predict", folder, "--note", folder / "note.txt", "--labs", folder / "labs.csv", "--json")
    by_fhir = in_process("predict", folder, "--fhir", folder / "bundle.json", "--json")
    assert by_files.returncode == by_fhir.returncode == 0, by_fhir.stderr[-1500:]
    assert json.loads(by_files.stdout) == json.loads(by_fhir.stdout)


def test_an_exported_answer_can_be_read_again(folder: Path, tmp_path: Path) -> None:
    from clinragen.inference import Explainer

    exported = tmp_path / "answer.fhir.json"
    done = in_process("predict", folder, "--fhir", folder / "bundle.json", "--export", exported)
    assert done.returncode == 0, done.stderr[-1500:]
    explainer = Explainer.from_pretrained(folder)
    first, again = explainer.read_fhir(folder / "bundle.json"), explainer.read_fhir(exported)
    assert np.array_equal(again.series.hours, [0, 4, 8])
    assert again.series == first.series
    assert first.note == NOTE
    assert again.note is None  # An exported answer has the words that it quotes, and not the note.


def test_it_takes_the_place_of_note_and_table(folder: Path) -> None:
    done = in_process("predict", folder, "--fhir", folder / "bundle.json", "--note", folder / "note.txt")
    fails_with_one_line(done, "leave --note and --labs out")
