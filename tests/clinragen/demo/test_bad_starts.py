"""`clinragen demo` that cannot open a page: one line that names the fault and the cure, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
from command_line import fails_with_one_line, in_process
from demo_server import write_cohort

from clinragen.demo.page import open_page
from clinragen.demo.patient import OWN
from dataset_builder.storage.files import write_json
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, which a page that did not open leaves as it was."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def refused(temporary: Path, *words: object, parts: tuple[str, ...]) -> None:
    done = in_process("demo", *words)
    fails_with_one_line(done, *parts)
    assert "Open http" not in done.stdout
    assert list(temporary.iterdir()) == []


def test_no_model(tmp_path: Path, temporary: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path, Path("hf://owner/name")):
        refused(temporary, folder, "--port", "0", parts=("not a model folder", "give another folder"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    refused(temporary, tmp_path, "--port", "0", parts=("no model could be loaded; give a folder that",))


def test_no_gradio(small_run: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    refused(temporary, small_run / "model", "--port", "0", parts=("pip install 'clinragen[demo]'",))


def test_a_port_that_is_taken_or_is_none(small_run: Path, temporary: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused(temporary, small_run / "model", "--port", port, parts=(f"port {port} of 127.0.0.1", "--port"))
    for wrong in ("70000", "-1"):
        refused(temporary, small_run / "model", "--port", wrong, parts=("--port: expected a whole number from 0 to",))
    refused(temporary, small_run / "model", "--port", "http", parts=("--port",))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"vocabulary": None, "range_set": None, "format_version": None}, ("older version", "train it again")),
        ({"format_version": 99}, ("has the format 99", "update clinragen")),
    ],
)
def test_a_model_of_another_version(
    small_run: Path, tmp_path: Path, temporary: Path, change: dict[str, object], parts: tuple[str, ...]
) -> None:
    folder = Path(shutil.copytree(small_run / "model", tmp_path / "model"))
    path = folder / "processor_config.json"
    content = {**json.loads(path.read_text()), **change}
    write_json(path, {name: value for name, value in content.items() if value is not None})
    refused(temporary, folder, "--port", "0", parts=parts)


def test_a_cohort_that_is_none(small_run: Path, tmp_path: Path, temporary: Path) -> None:
    words = (small_run / "model", "--port", "0", "--cohort")
    refused(temporary, *words, tmp_path / "absent", parts=("is not a built cohort",))
    cohort = tmp_path / "cohort"
    (cohort / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (cohort / "data" / f"{split}.parquet").write_bytes(b"PAR1")
    refused(temporary, *words, cohort, parts=("cohort",))


def test_a_page_without_patients_takes_a_reader_s_own(small_run: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    import pyarrow.parquet as pq

    cohort = write_cohort(tmp_path / "cohort", vocabulary)
    path = cohort / "data" / "test.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    for given in (None, cohort):
        page = open_page(small_run / "model", cohort=given)
        (box,) = (one for one in page.config["components"] if one["props"].get("elem_id") == "patient")
        assert [value for _, value in box["props"]["choices"]] == [OWN]
        assert box["props"]["value"] == OWN
