"""A language model as the teacher: a real server answers, through the library and the real command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, chat_server
from tiny_mimic import crowd

from clinragen.teaching import TeacherSettings, teach_cohort, teach_shard
from dataset_builder.build import build_cohort
from dataset_builder.files import read_json
from dataset_builder.language_models.opening import ModelSettings
from dataset_builder.rationales.teaching import Shard
from dataset_builder.schema import SPLITS, load_examples
from modeling_clinragen.errors import GovernanceError, SettingsError

SCRIPT = Path(sys.executable).parent / "clinragen"
# What the server makes of a question about a patient with these diagnoses.
DIAGNOSES = r"(?:Known diagnoses: |which of\nthe diagnoses \()(.*?)(?:\), and|\n)"
SAYS = r"It goes with \1."


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    # A known open licence: tables without one count as credentialed.
    tables = crowd(30).write(folder / "tables")
    (tables / "LICENSE.txt").write_text("Open Database License (ODbL) v1.0")
    build_cohort("mimic-iv", tables, folder / "cohort", note_policy="structured")
    return folder / "cohort"


def settings(server: ChatServer, **changed: Any) -> TeacherSettings:
    model = ModelSettings("openai", "a-model", server.url, **{"timeout": 2.0, "concurrency": 8, **changed})
    return TeacherSettings("openai", model=model)


def silent(done: float, total: float | None, remark: str) -> None:
    pass


def texts(folder: Path) -> dict[str, tuple[str, str]]:
    rows = [row for split in SPLITS for row in load_examples(folder)[split]]
    return {row["example_id"]: (row["rationale_note"], row["rationale_lab"]) for row in rows}


def test_a_served_model_teaches_a_cohort_and_a_second_run_asks_nothing(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    report = teach_cohort(cohort, None, settings(server), tmp_path / "out", tmp_path / "journal", silent)
    said = texts(tmp_path / "out")
    assert report["kept"] == report["examples"] == len(said) > 20
    assert all(note.startswith("It goes with ") and lab.startswith("It goes with ") for note, lab in said.values())
    asked = server.counts()["asked"]
    assert sum(asked.values()) >= len(said)
    provenance = read_json(tmp_path / "out" / "provenance.json")
    assert provenance["steps"][-1]["service"]["local"] is True
    assert provenance["rationales"]["settings"]["model"] == "a-model"
    again = teach_cohort(cohort, None, settings(server), tmp_path / "again", tmp_path / "journal", silent)
    assert server.counts()["asked"] == asked
    assert again == report
    assert texts(tmp_path / "again") == said
    # A journal and a report hold no more of a patient than they must.
    assert "Known diagnoses" not in next((tmp_path / "journal").glob("*.jsonl")).read_text()
    assert "It goes with" not in (tmp_path / "out" / "rationales.json").read_text()


def test_a_bad_rationale_is_repaired_once_and_then_rejected(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    server.behave()
    report = teach_cohort(cohort, None, settings(server), tmp_path / "out", tmp_path / "journal", silent)
    assert report["kept"] == 0
    assert set(texts(tmp_path / "out").values()) == {("", "")}
    assert report["filter"]["first"]["rejected"] == report["examples"]
    repairs = [question for question in server.counts()["asked"] if "two rationales have these faults" in question]
    assert len(repairs) >= 1
    assert all("ends within a sentence" in question for question in repairs)
    # R_m, R_t and one repair for each, less what two patients have in common.
    assert 2 * report["examples"] < sum(server.counts()["asked"].values()) <= 3 * report["examples"]


def test_shards_fill_one_journal_from_which_the_cohort_is_written(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    for number in (1, 2):
        assert teach_shard(cohort, None, settings(server), Shard(number, 2), tmp_path / "journal", silent)
    asked = sum(server.counts()["asked"].values())
    report = teach_cohort(cohort, None, settings(server), tmp_path / "out", tmp_path / "journal", silent)
    assert sum(server.counts()["asked"].values()) == asked
    assert report["kept"] == report["examples"]
    with pytest.raises(SettingsError, match="no shards"):
        teach_shard(cohort, None, TeacherSettings(), Shard(1, 2), tmp_path / "journal", silent)


def test_credentialed_examples_go_nowhere_else(cohort: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    subprocess.run(["cp", "-r", str(cohort), str(closed)], check=True)
    provenance = read_json(closed / "provenance.json")
    (closed / "provenance.json").write_text(json.dumps({**provenance, "credentialed": True}))
    model = ModelSettings("openai", "a-model", "https://service.example/v1")
    with pytest.raises(GovernanceError, match="stay on this machine"):
        teach_cohort(closed, None, TeacherSettings("openai", model=model), tmp_path / "o", tmp_path / "j", silent)
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "j").exists()


def test_settings_that_do_not_fit_are_refused() -> None:
    for wrong, named in (
        ({"teacher": "parrot"}, "parrot"),
        ({"teacher": "rules", "base_url": "http://127.0.0.1"}, "base_url"),
        ({"teacher": "openai", "warmth": 1}, "warmth"),
    ):
        with pytest.raises(SettingsError, match=named):
            TeacherSettings.of(wrong, seed=0)
    chosen = TeacherSettings.of({"teacher": "transformers", "model_name": "m", "max_tokens": 9}, seed=1)
    assert (chosen.model, chosen.max_tokens) == (ModelSettings("transformers", "m"), 9)
    elsewhere = TeacherSettings.of({"teacher": "openai", "model_name": "m", "base_url": "http://127.0.0.1:1"}, seed=1)
    here = TeacherSettings.of({"teacher": "openai", "model_name": "m", "base_url": "http://127.0.0.1:2"}, seed=1)
    assert elsewhere.decisive == here.decisive


def command(*words: object) -> list[str]:
    return [str(SCRIPT), "rationales", *map(str, words)]


def test_killed_and_started_again_the_command_line_repeats_no_answer(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS, latency=0.2)
    words = command(
        *("--dataset", cohort, "--output", tmp_path / "out", "--teacher", "openai", "--model-name", "a-model"),
        *("--base-url", server.url, "--concurrency", 2),
    )
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while sum(server.counts()["answered"].values()) < 12:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "out").exists()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr[-1500:]
    assert "kept" in done.stdout
    # At most those in flight when it was killed were answered twice.
    assert sum(server.counts()["answered"].values()) <= 2 * len(texts(tmp_path / "out")) + 2
    assert not [text for text in (done.stdout, done.stderr) if "It goes with" in text]


def test_the_prompt_can_be_read_without_a_cohort() -> None:
    done = subprocess.run(command("--show-prompt"), capture_output=True, text=True, check=True)
    assert "<note>" in done.stdout
    assert "<measurements>" in done.stdout
