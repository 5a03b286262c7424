"""Zero-shot diagnoses: what a language model is shown, and how its answer is read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer, chat_server
from tiny_examples import tiny_splits

from clinragen.evaluation.baselines.zero_shot import ZeroShot
from clinragen.evaluation.config import EvaluateConfig
from clinragen.llm.client import LLMClient
from clinragen.llm.journal import Journal
from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline import evaluate
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from dataset_builder.storage.progress import no_report
from modeling_clinragen.vocabulary_clinragen import Vocabulary

OPEN = {"credentialed": False}


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def examples(vocabulary: Vocabulary, notes: list[str]) -> list[dict[str, Any]]:
    rows = tiny_splits(vocabulary)["test"].to_list()
    return [{**row, "note": note} for row, note in zip(rows, notes, strict=False)]


def ask(server: ChatServer, vocabulary: Vocabulary, rows: list[dict[str, Any]], folder: Path) -> tuple[Any, Any]:
    async def work() -> tuple[Any, Any]:
        with Journal(folder) as journal:
            async with LLMClient(OpenAIServer(server.url, "tiny", OPEN), journal, concurrency=4) as client:
                return await ZeroShot(client, vocabulary, vocabulary.range_set("clinical")).diagnose(rows)

    return asyncio.run(work())


def test_an_answer_is_read_by_the_names_of_the_vocabulary(
    server: ChatServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    names = vocabulary.disease_names
    # The server answers with the first line of the note.
    server.behave(pattern=r"Medical note:\n(.*?)\n", reply=r"\1")
    notes = [f"{names[3]}, {names[7]}", names[0].upper(), "None", "I would not say.", "", f'"{names[2]}"']
    decisions, choices = ask(server, vocabulary, examples(vocabulary, notes), tmp_path)
    expected = np.zeros((6, len(names)), dtype=int)
    expected[0, [3, 7]] = expected[1, 0] = 1
    # What stands in quotation marks is the patient's, not a name that is given.
    assert np.array_equal(decisions, expected)
    assert choices["unnamed"] == 3
    assert choices["model"] == "tiny"
    # Asked again, the journal answers.
    asked = server.counts()["asked"]
    assert np.array_equal(ask(server, vocabulary, examples(vocabulary, notes), tmp_path)[0], expected)
    assert server.counts()["asked"] == asked


def test_the_prompt_has_the_patient_and_nothing_that_is_asked_for(
    server: ChatServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (row,) = examples(vocabulary, ["Fever and cough since two days."])
    row |= {"diagnoses": ["SECRET"], "rationale_note": "SECRET", "rationale_lab": "SECRET", "lab_summary": "SECRET"}
    server.behave()
    ask(server, vocabulary, [row], tmp_path)
    system, task = server.counts()["last"]["body"]["messages"]
    assert system["role"] == "system"
    assert "Fever and cough since two days." in task["content"]
    words = LabSeries.from_example(vocabulary, row).in_words(vocabulary.range_set("clinical"))
    assert words in task["content"]
    assert all(f"\n{name}\n" in task["content"] for name in vocabulary.disease_names)
    assert "SECRET" not in str(server.counts()["last"])


def test_without_note_and_labs_it_says_so(server: ChatServer, vocabulary: Vocabulary, tmp_path: Path) -> None:
    (row,) = examples(vocabulary, [""])
    empty: dict[str, Any] = {"lab_hours": [], "lab_values": [], "lab_observed": []}
    server.behave()
    ask(server, vocabulary, [{**row, **empty}], tmp_path)
    content = server.counts()["last"]["body"]["messages"][1]["content"]
    assert "(there is no note)" in content
    assert "(nothing was measured)" in content


def test_the_evaluation_scores_it_beside_the_others(server: ChatServer, tiny_run: Path, tmp_path: Path) -> None:
    server.behave(pattern=r"Possible diseases, one in each line:\n.*?\n(.*?)\n", reply=r"\1")
    config = EvaluateConfig(
        texts=2,
        baselines="light",
        zero_shot=LLMConfig(model_name="tiny", base_url=server.url, concurrency=2),
    )
    inputs = {"cohort": tiny_run / "rationales", "full": tiny_run / "train" / "multimodal"}
    (tmp_path / "out").mkdir()
    evaluate.run(config, inputs, tmp_path / "out", no_report)
    metrics = read_json(tmp_path / "out" / "metrics.json")
    cohort = load_examples(tiny_run / "rationales")
    second = cohort.vocabulary.disease_names[1]
    hits = sum(second in names for names in cohort["test"]["diagnoses"])
    wanted = sum(map(len, cohort["test"]["diagnoses"]))
    found = metrics["systems"]["zero_shot"]
    assert found["micro_f1"]["value"] == pytest.approx(2 * hits / (len(cohort["test"]) + wanted))
    assert "micro_auroc" not in found
    assert metrics["zero_shot"]["model"] == "tiny"
    assert "Zero-shot language model" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "out.journal").is_dir()
