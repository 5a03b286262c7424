"""The `rationales` stage with a language model as the teacher: a real server answers, through library and commands."""

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
from tiny_mimic import SHIPPED, crowd, make_cohort
from typer.testing import CliRunner

from clinragen.cli.main import app
from clinragen.knowledge.assemble import base_of
from clinragen.knowledge.writer import fill_knowledge
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.rationales import RationalesConfig, ask_shard
from clinragen.pipeline.stage import GivenFolder, Stage
from clinragen.pipeline.stages import RATIONALES
from dataset_builder.contract.definitions import Definitions, read_definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.storage.config_fields import deciding, make_config
from dataset_builder.storage.files import read_json
from dataset_builder.storage.governance import is_credentialed, read_provenance, write_provenance
from dataset_builder.storage.progress import Progress, no_report
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
    make_cohort("mimic-iv", tables, folder / "cohort", note_policy="structured")
    return folder / "cohort"


def config(server: ChatServer, **changed: Any) -> RationalesConfig:
    llm = LLMConfig(model_name="a-model", base_url=server.url, timeout=2.0, concurrency=8)
    return RationalesConfig(**{"teacher": "llm", "llm": llm, **changed})


def teach(
    cohort: Path, chosen: RationalesConfig, output: Path, knowledge: Path | None = None, report: Any = no_report
) -> dict[str, Any]:
    """Run the stage anew and return the report of the rationales."""
    inputs = {"cohort": GivenFolder(cohort, "cohort")}
    inputs |= {} if knowledge is None else {"knowledge": GivenFolder(knowledge, "knowledge")}
    shutil.rmtree(output, ignore_errors=True)
    Stage(RATIONALES, chosen, inputs, output, report).run()
    found: dict[str, Any] = read_json(output / "rationales.json")
    return found


def texts(folder: Path) -> dict[str, tuple[str, str]]:
    rows = [row for split in SPLITS for row in load_examples(folder)[split]]
    return {row["example_id"]: (row["rationale_note"], row["rationale_lab"]) for row in rows}


def test_a_served_model_teaches_a_cohort_and_a_second_run_sends_nothing(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    reported: list[Progress] = []
    report = teach(cohort, config(server), tmp_path / "out", report=reported.append)
    written = texts(tmp_path / "out")
    assert report["kept"] == report["examples"] == len(written) > 20
    assert all(note.startswith("It goes with ") and lab.startswith("It goes with ") for note, lab in written.values())
    assert (reported[-1].done, reported[-1].total) == (len(written), len(written))
    assert "tokens" in reported[-1].remark
    asked = server.counts()["asked"]
    assert sum(asked.values()) >= len(written)
    provenance = read_json(tmp_path / "out" / "provenance.json")
    step = provenance["steps"][-1]
    assert [service["local"] for service in step["services"]] == [True]
    assert (step["teacher"], step["range_set"]) == ("a-model", "clinical")
    assert provenance["rationales"]["settings"]["model"] == "a-model"
    assert report["usage"]["answers"] == sum(asked.values())
    again = teach(cohort, config(server), tmp_path / "out")
    assert server.counts()["asked"] == asked
    assert again == report
    assert texts(tmp_path / "out") == written
    # Journal and report contain no more about a patient than they must.
    assert "Known diagnoses" not in next((tmp_path / "out.journal").glob("*.jsonl")).read_text()
    assert "It goes with" not in (tmp_path / "out" / "rationales.json").read_text()


def test_a_bad_rationale_is_repaired_once_and_then_rejected(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    server.behave()
    report = teach(cohort, config(server), tmp_path / "out")
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
    inputs = {"cohort": cohort}
    for part in ("1/2", "2/2"):
        assert ask_shard(tmp_path / "out", inputs, config(server), part, no_report)
    asked = sum(server.counts()["asked"].values())
    report = teach(cohort, config(server), tmp_path / "out")
    assert sum(server.counts()["asked"].values()) == asked
    assert report["kept"] == report["examples"]
    with pytest.raises(SettingsError, match="no shards"):
        ask_shard(tmp_path / "out", inputs, RationalesConfig(), "1/2", no_report)


def test_a_shard_and_the_whole_speak_the_cohorts_vocabulary(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS)
    own = shutil.copytree(cohort, tmp_path / "own")
    definitions = read_definitions(own)
    variables = tuple(
        dataclasses.replace(one, name="pulse") if one.key == "heart_rate" else one
        for one in definitions.vocabulary.variables
    )
    renamed = dataclasses.replace(definitions.vocabulary, variables=variables)
    write_definitions(own, Definitions(renamed, definitions.variables, definitions.diseases))
    ask_shard(tmp_path / "out", {"cohort": own}, config(server), "1/1", no_report)
    asked = server.counts()["asked"]
    assert any("- pulse (bpm): " in question for question in asked)
    teach(own, config(server), tmp_path / "out")
    assert server.counts()["asked"] == asked
    assert read_definitions(tmp_path / "out").vocabulary == renamed


def test_sampling_is_seeded(server: ChatServer, cohort: Path, tmp_path: Path) -> None:
    for temperature, seed in ((0.0, None), (0.7, 5)):
        chosen = config(server, temperature=temperature, seed=5)
        ask_shard(tmp_path / "out", {"cohort": cohort}, chosen, "1/9", no_report)
        sent = server.counts()["last"]["body"]
        assert (sent["temperature"], sent.get("seed")) == (temperature, seed)


@pytest.mark.parametrize("closed", ["cohort", "knowledge"])
def test_credentialed_examples_and_terms_go_nowhere_else(cohort: Path, tmp_path: Path, closed: str) -> None:
    cohort = shutil.copytree(cohort, tmp_path / "cohort")
    base = tmp_path / "knowledge"
    base.mkdir()
    fill_knowledge(base, base_of(SHIPPED), SHIPPED, parents=[read_provenance(cohort)])
    provenance = read_provenance(tmp_path / closed)
    write_provenance(tmp_path / closed, {**provenance, "release": "closed", "credentialed": True})
    elsewhere = LLMConfig(model_name="a-model", base_url="https://service.example/v1")
    with pytest.raises(GovernanceError, match="stay on this machine"):
        teach(cohort, RationalesConfig(teacher="llm", llm=elsewhere), tmp_path / "out", base)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.journal").exists()
    # What is made here is as restricted as what it is made of, and still of this cohort.
    teach(cohort, RationalesConfig(), tmp_path / "out", base)
    made = read_provenance(tmp_path / "out")
    assert is_credentialed(made)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert made["settings"] == read_provenance(cohort)["settings"]
    assert [step["step"] for step in made["steps"]] == ["build", "knowledge", "rationales"]


def test_settings_that_do_not_fit_are_refused() -> None:
    for wrong, named in (
        ({"teacher": "parrot"}, "parrot"),
        ({"teacher": "llm"}, "needs a language model"),
        ({"teacher": "rules", "llm": {"model_name": "m", "base_url": "http://127.0.0.1"}}, "uses no language model"),
        ({"teacher": "llm", "warmth": 1}, "warmth"),
        ({"teacher": "llm", "llm": {"model_name": "m", "base_url": "http://h", "concurrency": "many"}}, "concurrency"),
        ({"teacher": "llm", "llm": {"provider": "transformers", "model_name": "m", "base_url": "x"}}, "base_url"),
        ({"teacher": "llm", "llm": {"model_name": "m", "base_url": "http://h", "prices": [1]}}, "prices"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1.0}, "temperature"),
    ):
        with pytest.raises(SettingsError, match=named):
            make_config(RationalesConfig, wrong, "rationales")
    chosen = make_config(
        RationalesConfig,
        {"teacher": "llm", "llm": {"provider": "transformers", "model_name": "m"}, "max_tokens": 9},
        "rationales",
        seed=1,
    )
    assert (chosen.llm, chosen.max_tokens, chosen.seed) == (LLMConfig(provider="transformers", model_name="m"), 9, 1)
    here, elsewhere = (
        RationalesConfig(teacher="llm", llm=LLMConfig(model_name="m", base_url=f"http://127.0.0.1:{port}"))
        for port in (1, 2)
    )
    assert deciding(here) == deciding(elsewhere)


def test_killed_and_started_again_the_command_line_repeats_no_answer(
    server: ChatServer, cohort: Path, tmp_path: Path
) -> None:
    server.behave(pattern=DIAGNOSES, reply=SAYS, latency=0.2)
    words = ["rationales", "--cohort", str(cohort), "--output", str(tmp_path / "out"), "--concurrency", "2"]
    words += ["--teacher", "llm", "--model-name", "a-model", "--base-url", server.url]
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
    # The server may finish what was in flight when the command was killed.
    assert 0 < before < answers
    assert answers - before <= sum(server.counts()["answered"].values()) <= answers - before + 2
    assert "It goes with" not in done.output


def test_an_output_in_the_cohort_is_refused_before_anything_is_sent(server: ChatServer, cohort: Path) -> None:
    server.behave()
    words = ["--cohort", cohort, "--output", cohort / "inside", "--shard", "1/2"]
    model = ["--teacher", "llm", "--model-name", "m", "--base-url", server.url]
    done = CliRunner().invoke(app, ["rationales", *map(str, words), *model])
    assert isinstance(done.exception, InputDataError)
    assert "overlaps with the input" in str(done.exception)
    assert not server.counts()["asked"]
    assert not list(cohort.glob("inside*"))


def test_the_prompt_can_be_read_without_a_cohort() -> None:
    done = CliRunner().invoke(app, ["rationales", "--show-prompt"])
    assert done.exit_code == 0
    assert "<note>" in done.output
    assert "<measurements>" in done.output
