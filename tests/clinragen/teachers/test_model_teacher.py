"""A language model as the teacher: a real server answers, through the library and the real command line."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, chat_server
from dataset_builder.contract.vocabulary import RESOURCES
from tiny_mimic import crowd
from typer.testing import CliRunner

from clinragen.cli.main import app
from clinragen.knowledge import write_knowledge
from clinragen.llm.client import Prices
from clinragen.llm.providers import ModelSettings
from clinragen.pipeline.rationales import TeacherSettings, teach_cohort, teach_shard
from clinragen.pipeline.stages import given, rationales
from clinragen.teachers.distill import Shard
from dataset_builder.cohort.build import build_cohort
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.storage.files import read_json
from dataset_builder.storage.governance import is_credentialed, read_provenance, write_provenance
from modeling_clinragen.errors import GovernanceError, InputDataError, SettingsError

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
    assert [service["local"] for service in provenance["steps"][-1]["services"]] == [True]
    assert provenance["rationales"]["settings"]["model"] == "a-model"
    assert report["usage"]["answers"] == sum(asked.values())
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


def test_a_shard_is_asked_for_in_the_words_of_the_whole(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    own = shutil.copytree(cohort, tmp_path / "own")
    (own / "vocabulary").mkdir()
    shipped = (RESOURCES / "variables.yaml").read_text()
    (own / "vocabulary" / "variables.yaml").write_text(shipped.replace("name: heart rate", "name: pulse"))
    teach_shard(own, None, settings(server), Shard(1, 1), tmp_path / "own-taught.journal", silent)
    asked = server.counts()["asked"]
    assert any("- pulse (bpm): " in question for question in asked)
    rationales(tmp_path / "own-taught", given(own, "cohort"), None, settings(server)).run()
    assert server.counts()["asked"] == asked
    assert (tmp_path / "own-taught" / "vocabulary" / "variables.yaml").is_file()


def test_sampling_is_seeded(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    for temperature, seed in ((0.0, None), (0.7, 5)):
        chosen = dataclasses.replace(settings(server), temperature=temperature, seed=5)
        teach_shard(cohort, None, chosen, Shard(1, 9), tmp_path / "journal", silent)
        sent = server.counts()["last"]["body"]
        assert (sent["temperature"], sent.get("seed")) == (temperature, seed)


@pytest.mark.parametrize("closed", ["cohort", "knowledge"])
def test_credentialed_examples_and_terms_go_nowhere_else(
    server: ChatServer, cohort: Path, tmp_path: Path, closed: str
) -> None:
    cohort = shutil.copytree(cohort, tmp_path / "cohort")
    base = tmp_path / "knowledge"
    write_knowledge(base, [], parents=[read_provenance(cohort)])
    provenance = read_provenance(tmp_path / closed)
    write_provenance(tmp_path / closed, {**provenance, "release": "closed", "credentialed": True})
    model = ModelSettings("openai", "a-model", "https://service.example/v1")

    def teach(teacher: TeacherSettings) -> None:
        teach_cohort(cohort, base / "knowledge.json", teacher, tmp_path / "out", tmp_path / "journal", silent)

    with pytest.raises(GovernanceError, match="stay on this machine"):
        teach(TeacherSettings("openai", model=model))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "journal").exists()
    # What was made here is as closed as what it was made of, and still of this cohort.
    teach(TeacherSettings())
    made = read_provenance(tmp_path / "out")
    assert is_credentialed(made)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert made["settings"] == read_provenance(cohort)["settings"]
    assert [step["step"] for step in made["steps"]] == ["build", "knowledge", "rationales"]


def test_settings_that_do_not_fit_are_refused() -> None:
    for wrong, named in (
        ({"teacher": "parrot"}, "parrot"),
        ({"teacher": "rules", "base_url": "http://127.0.0.1"}, "base_url"),
        ({"teacher": "openai", "warmth": 1}, "warmth"),
        ({"teacher": "openai", "concurrency": "many"}, "concurrency cannot be 'many'"),
        ({"teacher": "openai", "kind": "openai"}, "kind"),
        ({"teacher": "openai", "prices": {"prompt": 1}}, "prices must say prompt, completion"),
        ({"teacher": "openai", "prices": 3}, "prices must say"),
        ({"teacher": "openai", "acknowledgement": {"keeps_nothing": True}}, "must say keeps_nothing, trains_on"),
    ):
        with pytest.raises(SettingsError, match=named):
            TeacherSettings.of(wrong, seed=0)
    chosen = TeacherSettings.of({"teacher": "transformers", "model_name": "m", "max_tokens": 9}, seed=1)
    assert (chosen.model, chosen.max_tokens) == (ModelSettings("transformers", "m"), 9)
    priced = {"model_name": "m", "timeout": 60, "prices": {"prompt": 1, "completion": 2}}
    assert TeacherSettings.of({"teacher": "openai", **priced}, seed=1).model == ModelSettings(
        "openai", "m", timeout=60, prices=Prices(1, 2)
    )
    with pytest.raises(SettingsError, match="runs in this process"):
        ModelSettings("transformers", "m", "http://127.0.0.1:1").open({})
    elsewhere = TeacherSettings.of({"teacher": "openai", "model_name": "m", "base_url": "http://127.0.0.1:1"}, seed=1)
    here = TeacherSettings.of({"teacher": "openai", "model_name": "m", "base_url": "http://127.0.0.1:2"}, seed=1)
    assert elsewhere.decisive == here.decisive


def test_killed_and_started_again_the_command_line_repeats_no_answer(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS, latency=0.2)
    words = ["rationales", "--dataset", str(cohort), "--output", str(tmp_path / "out"), "--concurrency", "2"]
    words += ["--teacher", "openai", "--model-name", "a-model", "--base-url", server.url]
    process = subprocess.Popen([str(SCRIPT), *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while sum(server.counts()["answered"].values()) < 12:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "out").exists()
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    before = len(next((tmp_path / "out.journal").iterdir()).read_text().splitlines())
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output[-1500:]
    assert "kept" in done.output
    answers = read_json(tmp_path / "out" / "rationales.json")["usage"]["answers"]
    assert f"in all {answers} answers of the teacher, {15 * answers} tokens" in done.output
    # The server may finish what those in flight had asked for when they were killed.
    assert 0 < before < answers
    assert answers - before <= sum(server.counts()["answered"].values()) <= answers - before + 2
    assert "It goes with" not in done.output


def test_an_output_in_the_cohort_is_refused_before_anything_is_asked(server: ChatServer, cohort: Path) -> None:
    server.behave()
    words = ["--cohort", cohort, "--output", cohort / "lessons", "--shard", "1/2"]
    asked = ["--teacher", "openai", "--model-name", "m", "--base-url", server.url]
    done = CliRunner().invoke(app, ["rationales", *map(str, words), *asked])
    assert isinstance(done.exception, InputDataError)
    assert "lies in the input" in str(done.exception)
    assert not server.counts()["asked"]
    assert not list(cohort.glob("lessons*"))


def test_the_prompt_can_be_read_without_a_cohort() -> None:
    done = CliRunner().invoke(app, ["rationales", "--show-prompt"])
    assert done.exit_code == 0
    assert "<note>" in done.output
    assert "<measurements>" in done.output
