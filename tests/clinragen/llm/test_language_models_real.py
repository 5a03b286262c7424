"""Real models: tiny random ones in this process, and one behind `transformers serve`, used end to end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import TEXT_CONFIGS
from typer.testing import CliRunner

from clinragen.llm.client import LLMClient
from clinragen.llm.in_process import InProcessModel
from clinragen.llm.journal import Journal, read_journal
from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.types import Answer, LanguageModel, Message, Request
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError

TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{{ raise_exception('no system role: ' + messages[0].content) }}"
NOTES = ["No chest pain.", "History of hypertension and diabetes; dyspnea.", "heart rate is higher than normal", "x"]
REQUESTS = [Request((Message("system", "Explain."), Message("user", note)), 12) for note in NOTES]


@pytest.fixture(scope="session")
def save_model(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Save a tiny random model with its tokenizer; return the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    def save(kind: str, template: str | None = TEMPLATE, **fields: Any) -> str:
        folder = tmp_path_factory.mktemp(kind)
        own = {"vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
        config = AutoConfig.for_model(**{**TEXT_CONFIGS[kind], **own, **fields})
        torch.manual_seed(0)
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        auto.from_config(config).save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


@pytest.fixture(scope="session")
def chat_model(save_model: Callable[..., str]) -> str:
    return save_model("llama", max_position_embeddings=16384)


def ask(model: LanguageModel, requests: Sequence[Request], journal: Path) -> list[Answer]:
    async def all_of_them(opened: Journal) -> list[Answer]:
        async with LLMClient(model, opened) as client:
            return await asyncio.gather(*map(client.complete, requests))

    with Journal(journal) as opened:
        return asyncio.run(all_of_them(opened))


def generate_alone(folder: str, text: str, *, bare: bool) -> tuple[list[int], list[int], str]:
    """Token ids of a prompt and of its continuation, and the text of that, by the library alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    seq2seq = AutoConfig.from_pretrained(folder).is_encoder_decoder
    model = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=bare).input_ids
    with torch.no_grad():
        (row,) = model.generate(ids, max_new_tokens=12, do_sample=False)
    new = row[1 if seq2seq else ids.shape[1] :].tolist()
    return ids[0].tolist(), new, tokenizer.decode(new, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("kind", "template"), [("llama", TEMPLATE), ("qwen3", None), ("t5", None), ("bart", TEMPLATE)]
)
def test_a_batch_answers_what_each_request_alone_is_answered(
    save_model: Callable[..., str], tmp_path: Path, kind: str, template: str | None
) -> None:
    folder = save_model(kind, template)
    answers = ask(InProcessModel(folder, batch_size=3, device="cpu"), REQUESTS, tmp_path)
    for note, answer in zip(NOTES, answers, strict=True):
        text = f"<system>Explain.<user>{note}<assistant>" if template else f"Explain.\n\n{note}"
        prompt, new, words = generate_alone(folder, text, bare=template is None)
        assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == (words, len(prompt), len(new))


def test_sampling_follows_the_seed(chat_model: str, tmp_path: Path) -> None:
    def draw(seeds: Sequence[int], folder: str) -> list[str]:
        requests = [Request(REQUESTS[0].messages, 12, temperature=1.0, seed=seed) for seed in seeds]
        return [answer.text for answer in ask(InProcessModel(chat_model), requests, tmp_path / folder)]

    first = draw([1, 2, 3], "a")
    assert len(set(first)) == 3
    assert draw([3, 1], "b") == [first[2], first[0]]


def test_an_interruption_gives_up_what_the_model_is_writing(chat_model: str, tmp_path: Path) -> None:
    async def interrupted(journal: Journal) -> float:
        async with LLMClient(InProcessModel(chat_model), journal) as client:
            task = asyncio.create_task(client.complete(Request(REQUESTS[0].messages, 16000)))
            await asyncio.wait([task], timeout=2)
            assert not task.done()
            started = time.monotonic()
        assert task.cancelled()
        return time.monotonic() - started

    with Journal(tmp_path) as journal:
        # The whole answer would take half a minute or more.
        assert asyncio.run(interrupted(journal)) < 5
        assert len(journal) == 0


def test_an_answer_ends_with_the_models_own_end(save_model: Callable[..., str], tmp_path: Path) -> None:
    from transformers import GenerationConfig

    folder = save_model("llama")
    _, spoken, _ = generate_alone(folder, f"<system>Explain.<user>{NOTES[0]}<assistant>", bare=False)
    (cut,) = ask(InProcessModel(folder), REQUESTS[:1], tmp_path / "a")
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 12)
    # From now on the model's fifth word is one of its ends.
    GenerationConfig(eos_token_id=[1, spoken[4]], pad_token_id=0).save_pretrained(folder)
    ended, _ = ask(InProcessModel(folder), REQUESTS[:2], tmp_path / "b")
    assert (ended.finish_reason, ended.completion_tokens) == ("stop", spoken.index(spoken[4]) + 1)
    assert cut.text.startswith(ended.text[:-1])


@pytest.mark.parametrize(
    ("template", "words", "max_tokens", "error", "message"),
    [
        (TEMPLATE, 300, 8, ModelInputError, "r7: prompt and answer exceed the 256 tokens"),
        (TEMPLATE, 1, 256, ModelInputError, "r7: prompt and answer exceed the 256 tokens"),
        (NO_SYSTEM, 1, 8, SettingsError, "does not support the roles"),
    ],
)
def test_what_cannot_be_answered_is_reported(
    save_model: Callable[..., str],
    tmp_path: Path,
    template: str,
    words: int,
    max_tokens: int,
    error: type[Exception],
    message: str,
) -> None:
    model = InProcessModel(save_model("llama", template))
    with pytest.raises(error, match=message) as caught:
        ask(model, [Request((Message("user", "dyspnea " * words),), max_tokens, key="r7")], tmp_path)
    assert "dyspnea" not in str(caught.value)


def test_a_folder_without_a_model_is_named_and_a_pickle_is_not_one(
    save_model: Callable[..., str], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    pickled = Path(save_model("llama"))
    weights = pickled / "model.safetensors"
    torch.save(load_file(weights), pickled / "pytorch_model.bin")
    weights.unlink()
    for folder in (tmp_path, pickled):
        with pytest.raises(InputDataError, match="no language model"):
            InProcessModel(str(folder))


@pytest.fixture(scope="module")
def served(chat_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of `transformers serve` with the tiny model."""
    written = tmp_path_factory.mktemp("serve") / "serve.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", chat_model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with written.open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    assert json.load(answer)["status"] == "ok"
                break
            except OSError:
                assert process.poll() is None, written.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def test_transformers_serve_answers_as_the_same_model_does_in_process(
    served: str, chat_model: str, tmp_path: Path
) -> None:
    here = ask(InProcessModel(chat_model), REQUESTS, tmp_path / "here")
    there = ask(OpenAIServer(served, chat_model, {"credentialed": True}), REQUESTS, tmp_path / "there")
    assert [answer.text for answer in there] == [answer.text for answer in here]
    assert [answer.prompt_tokens for answer in there] == [answer.prompt_tokens for answer in here]
    with pytest.raises(SettingsError, match=r"refused with HTTP 400"):
        ask(OpenAIServer(served, "another", {"credentialed": True}), REQUESTS[:1], tmp_path / "another")


@pytest.mark.parametrize("kind", ["openai", "transformers"])
def test_a_real_model_takes_a_cohort_through_the_whole_stage(
    request: pytest.FixtureRequest, chat_model: str, tmp_path: Path, kind: str
) -> None:
    from tiny_mimic import crowd

    from clinragen.cli.main import app
    from dataset_builder.cohort.build import build_cohort
    from dataset_builder.cohort.config import CohortConfig

    cohort = tmp_path / "cohort"
    build_cohort("mimic-iv", crowd(3).write(tmp_path / "tables"), cohort, CohortConfig(note_policy="structured"))
    words = ["--cohort", cohort, "--output", tmp_path / "out", "--teacher", "llm", "--provider", kind]
    words += ["--model-name", chat_model]
    words += ["--base-url", request.getfixturevalue("served")] if kind == "openai" else []
    done = CliRunner().invoke(app, ["rationales", *map(str, words), "--max-tokens", "8"], catch_exceptions=False)
    assert done.exit_code == 0, done.output[-1500:]
    report = read_json(tmp_path / "out" / "rationales.json")
    count = report["examples"]
    assert f"kept 0 of {count} rationales" in done.output  # the model is random
    assert report["filter"]["final"]["rejected"] == count
    (journal,) = (tmp_path / "out.journal").iterdir()
    answers, _ = read_journal(journal)
    assert 2 * count <= len(answers) <= 3 * count
    assert {answer.completion_tokens for answer in answers.values()} <= set(range(17))
