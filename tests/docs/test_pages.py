"""Every command and code block of README and docs is run, or named in not_run.yaml with the reason and at least read.

A page's blocks are run in its order, in one folder that has what its reader has: the quickstart's output (tiny), the
recipes, a note and a CSV. stand_ins.yaml says what the tests put in place of a page's words.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
import yaml
from conftest import ROOT, TEXT_CONFIGS
from documented_blocks import Step, commands_of, pages, steps_of
from documented_runs import Workspace, check_words, make_workspace
from judge_server import honest, judge_server, rationales_in

from clinragen.cli.main import app

HERE = Path(__file__).parent
STAND_INS = yaml.safe_load((HERE / "stand_ins.yaml").read_text(encoding="utf-8"))
NOT_RUN: dict[str, list[dict[str, str]]] = yaml.safe_load((HERE / "not_run.yaml").read_text(encoding="utf-8"))
RUN_BY_ITS_OWN_TEST = {"docs/extending.md": "tests/docs/test_extending.py"}
"""Pages whose every block another test runs, and shows to do what the page says."""
SERVER = "http://127.0.0.1:8000/v1"
STEPS = {page: steps for page, text in pages().items() if (steps := steps_of(page, text))}
RUN_HERE = [page for page in STEPS if page not in RUN_BY_ITS_OWN_TEST]


@pytest.fixture(scope="session")
def backbones(make_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny language models under the names that pages have."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("backbones")
    t5 = make_model("t5", lora=False).language_model
    shape = {**TEXT_CONFIGS["llama"], "vocab_size": len(tiny_tokenizer), "max_position_embeddings": 1024}
    llama = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))
    for model, name in (
        (t5, "google/flan-t5-small"),
        (t5, "my-t5"),
        (llama, "models/smollm2"),
        (llama, "path/to/model"),
    ):
        model.save_pretrained(folder / name)
        tiny_tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A language model behind a chat server, which answers a study's questions and is a poor teacher."""

    def decide(messages: list[dict[str, str]]) -> str:
        return honest(messages) if rationales_in(messages[-1]["content"]) else "Nothing is known."

    with judge_server(decide) as running:
        yield running.url


@pytest.fixture
def workspace(
    tiny_run: Path, backbones: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Workspace]]:
    """Makes a page's folder, which becomes the current one; what a page exports holds for it alone."""

    def make(page: str) -> Workspace:
        folder = make_workspace(tmp_path / "reader", tiny_run)
        shutil.copytree(backbones, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        return Workspace(folder, {**STAND_INS["everywhere"], **STAND_INS["pages"].get(page, {}), SERVER: server})

    with patch.dict(os.environ):
        yield make


def named_by(entry: dict[str, str], page: str) -> list[Step]:
    """The steps of a page that an entry of not_run.yaml names: those that are its words, else those that have them."""
    steps = [step for step in STEPS.get(page, []) if step.kind != "output" and entry["has"] in step.content]
    return [step for step in steps if step.content == entry["has"]] or steps


def is_run(step: Step) -> bool:
    """Whether nothing in not_run.yaml names a step."""
    return not any(step in named_by(entry, step.page) for entry in NOT_RUN.get(step.page, []))


@pytest.mark.parametrize("page", RUN_HERE)
def test_the_page_s_blocks_run(page: str, workspace: Callable[[str], Workspace]) -> None:
    here = workspace(page)
    here.write_files(STEPS[page])
    for step in STEPS[page]:
        if is_run(step):
            try:
                here.run(step)
            except Exception as error:
                error.add_note(f"in {step}")
                raise
        elif step.kind == "command":
            check_words(here.substituted(step.content))
        elif step.kind == "python":
            compile(step.content, str(step), "exec")
    EXPECTED.get(page, lambda here: None)(here)


def _verified(here: Workspace) -> None:
    assert here.names["found"].verified


def _model_page(here: Workspace) -> None:
    names = here.names
    assert isinstance(names["text"], str)
    assert names["probabilities"].shape == (1, len(names["model"].config.diseases))
    assert names["attended"].weights.shape == (1, len(names["attended"].words))
    assert names["again"].config.base_model_name_or_path == "google/flan-t5-small"
    assert names["model"].config.credentialed is False


def _check_page(here: Workspace) -> None:
    assert [sentence.verdict for sentence in here.names["sentences"]] == ["contradicted"]
    assert (here.folder / "result.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert len(here.names["grounded"]().dataset) == 1


def _vocabulary_of_the_data_page(here: Workspace) -> None:
    from dataset_builder.contract.definitions import load_definitions

    vocabulary = load_definitions(here.folder / "my-vocabulary").vocabulary
    assert vocabulary.variable_keys[-1] == "lactate"
    assert vocabulary.disease_names[-1] == "Gout"


def _tutorial(here: Workspace) -> None:
    from dataset_builder.contract.schema import load_examples

    cohort = load_examples(here.folder / "my-cohort")
    assert len(cohort.vocabulary.variables) == 6
    assert len(cohort["train"])
    assert cohort.provenance["credentialed"] is False
    assert (here.folder / "runs/mine/evaluation/report.md").is_file()
    assert here.names["explainer"].vocabulary == cohort.vocabulary


EXPECTED: dict[str, Callable[[Workspace], None]] = {
    "docs/check.md": _check_page,
    "docs/data.md": _vocabulary_of_the_data_page,
    "docs/model.md": _model_page,
    "docs/start.md": _verified,
    "docs/tutorial.md": _tutorial,
    "docs/verification.md": _verified,
}
"""What a page's blocks have made, beyond having run."""


def test_what_is_not_run_is_on_its_page_once() -> None:
    wrong = []
    for page, entries in NOT_RUN.items():
        for entry in entries:
            fits = named_by(entry, page)
            if len(fits) != 1 or not entry["why"]:
                wrong.append(f"{page}: '{entry['has']}' fits {len(fits)} steps")
    assert not wrong, "\n".join(wrong)


def test_what_stands_in_is_on_its_page() -> None:
    texts = pages() | {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")
    }
    whole = "\n".join(texts.values())
    absent = [words for words in STAND_INS["everywhere"] if words.strip() not in whole]
    absent += [
        f"{page}: {words}" for page, each in STAND_INS["pages"].items() for words in each if words not in texts[page]
    ]
    assert not absent, "\n".join(absent)


def test_every_command_is_in_the_list_of_commands() -> None:
    listed = pages()["docs/commands.md"]
    program: Any = typer.main.get_command(app)
    absent = [name for name in program.commands if not re.search(rf"`clinragen {name}( [a-z]+)?`", listed)]
    assert not absent


@pytest.mark.parametrize(
    ("block", "commands"),
    [
        ("$ one --a \\\n    --b  # why\n$ two\n", ["one --a --b", "two"]),
        ("# a remark\none && two 'a # b'\n", ["one", "two 'a # b'"]),
        ("curl -d '\n{\"a\": 1}'\nnext\n", ["curl -d '\n{\"a\": 1}'", "next"]),
    ],
)
def test_commands_of_a_block(block: str, commands: list[str]) -> None:
    assert commands_of(block) == commands


def test_a_block_that_is_neither_commands_nor_marked_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a page\.md:1: .* ```text"):
        steps_of("a page.md", "```\nwhat is this\n```\n")


@pytest.mark.parametrize(
    "words",
    [
        "clinragen predict runs/model --not-an-option",
        "clinragen no-such-command",
        "clinragen evaluate --batch-size many",
        "torchrun --nproc-per-node 4 --no-python clinragen train note --cohort DIR",
        "make no-such-target",
        "python benchmarks/admissions.py --no-such-option 3",
        "pip install 'clinragen[no-such-extra]'",
        "gcc x.c",
    ],
)
def test_a_command_that_is_not_there_is_found_without_running_it(words: str) -> None:
    with pytest.raises(AssertionError):
        check_words(words)
