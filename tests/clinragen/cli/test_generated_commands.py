"""The commands are made from the configs: every setting is an option with its help, default and range, once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from command_line import ROOT, SCRIPT, fails_with_one_line, in_process
from typer.testing import CliRunner

from clinragen.cli import knowledge, stage_commands
from clinragen.cli.main import app
from clinragen.explain_config import ExplainConfig
from clinragen.pipeline.reference import reference
from clinragen.pipeline.stages import STAGES
from dataset_builder.storage.config_fields import expected
from trainers.phases import PHASES

CONFIGS = {kind.name: kind.config for kind in STAGES if kind.name != "publish"}
COMMANDS = {**CONFIGS, "predict": ExplainConfig, "demo": ExplainConfig}
# The name of a repeatable option is the singular; arguments have no name; the rest is for recipes or other options.
SINGULAR = {"build.skip_filters": "skip_filter", "knowledge.sources": "source"}
ARGUMENTS = {"build.source", "train.phase"}
NOT_OFFERED = {"train.overrides", "evaluate.notices", "evaluate.zero_shot"}
# What each command needs besides, with folders that `folders` makes.
NEEDED: dict[str, list[str]] = {
    "synthesize": ["--output", "out"],
    "build": ["mimic-iv", "--note-policy", "full", "--root", "given", "--output", "out"],
    "knowledge": ["--cohort", "given", "--output", "out"],
    "rationales": ["--cohort", "given", "--output", "out"],
    "train": ["note", "--config", "note.yaml", "--cohort", "given", "--parent", "given", "--output", "out"],
    "evaluate": ["--cohort", "given", "--full", "given", "--output", "out"],
}


class CapturedError(Exception):
    """Raised in place of a stage's run."""


def settings(kind: type, without: Collection[str] = ()) -> Iterator[tuple[Any, Any]]:
    """The fields of a config and of the configs in it, with their types; `without` names configs that are left out."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        options = get_args(hints[one.name]) or (hints[one.name],)
        nested = next((option for option in options if isinstance(option, type) and is_dataclass(option)), None)
        if nested is not None:
            yield from settings(nested) if not any(key.endswith(f".{one.name}") for key in without) else ()
        else:
            yield one, hints[one.name]


def command_of(name: str) -> Any:
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


def options_of(command: Any) -> dict[str, Any]:
    """The options and arguments of a command by the setting that they give."""
    return {parameter.name: parameter for parameter in command.params if parameter.name != "context"}


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The config of the stage that a command would run, in a folder with what the commands need."""
    found: list[Any] = []

    def capture(kind: Any, config: Any, *args: Any, **more: Any) -> None:
        found.append(config)
        raise CapturedError

    for module in (stage_commands, knowledge):
        monkeypatch.setattr(module, "run_stage", capture)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given").mkdir()
    (tmp_path / "note.yaml").write_text("max_steps: 1\n")
    (tmp_path / "split.csv").write_text("subject_id,split\n1,train\n")
    return found


def run(name: str, *words: object) -> None:
    done = CliRunner().invoke(app, [name, *NEEDED[name], *map(str, words)])
    assert isinstance(done.exception, CapturedError), (done.output, done.exception)


# --- what is offered


@pytest.mark.parametrize(("name", "kind"), COMMANDS.items())
def test_every_setting_is_an_option_with_its_help(name: str, kind: type) -> None:
    offered = options_of(command_of(name))
    shown = " ".join(CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100"}).output.split())
    if name == "evaluate":
        # A whole config, which is in no option.
        assert "zero_shot" not in offered
        assert "provider" not in offered
    for one, hint in settings(kind, without=NOT_OFFERED):
        key = f"{name}.{one.name}"
        if key in NOT_OFFERED:
            assert one.name not in offered
            continue
        parameter = offered[one.name]
        assert one.metadata["help"].rstrip(".") in parameter.help
        if one.metadata["choices"] or one.metadata["at_least"] is not None:
            assert expected(one, hint).removesuffix(" or nothing") in parameter.help or get_args(hint)
        if key in ARGUMENTS:
            assert parameter.opts == [one.name]
        else:
            flag = f"--{SINGULAR.get(key, one.name).replace('_', '-')}"
            assert parameter.opts == [flag]
            assert f"{flag} " in shown
            if hint is bool:
                assert parameter.secondary_opts == [flag.replace("--", "--no-", 1)]


@pytest.mark.parametrize("name", [*COMMANDS, "quickstart", "run", "download", "check"])
def test_no_option_is_offered_twice_and_each_has_a_help_text(name: str) -> None:
    command = command_of(name)
    flags = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    assert len(flags) == len(set(flags))
    assert all(flag == flag.lower() and "_" not in flag for flag in flags if flag.startswith("-"))
    assert all(parameter.help and parameter.help[-1] in ".]" for parameter in command.params), name
    assert command.help


def test_the_models_of_an_evaluation_are_those_of_the_table_of_phases() -> None:
    offered = options_of(command_of("evaluate"))
    assert {phase.system for phase in PHASES if phase.system} <= set(offered)
    assert offered["full"].required
    assert not offered["note_only"].required


# --- what is made of the options


@pytest.mark.parametrize(("name", "kind"), CONFIGS.items())
def test_the_defaults_are_those_of_the_config(captured: list[Any], name: str, kind: type) -> None:
    run(name)
    (config,) = captured
    assert isinstance(config, kind)
    given = {"source": "mimic-iv", "note_policy": "full", "phase": "note", "config": Path("note.yaml")}
    required = {one.name: given[one.name] for one in fields(kind) if one.name in given}
    assert config == kind(**required)


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("synthesize", ["--patients", 7, "--seed", 3], {"patients": 7, "seed": 3}),
        (
            "build",
            ["--skip-filter", "adults", "--skip-filter", "coded", "--all-codes", "--split-fractions", 0.5, 0.2, 0.3],
            {"skip_filters": ("adults", "coded"), "all_codes": True, "split_fractions": (0.5, 0.2, 0.3)},
        ),
        (
            "build",
            ["--split-file", "split.csv", "--engine", "spark"],
            {"split_file": Path("split.csv"), "engine": "spark"},
        ),
        ("build", ["--max-steps", "none"], {"max_steps": None}),
        ("build", ["--max-steps", 7], {"max_steps": 7}),
        ("knowledge", ["--source", "given", "--extract", "curated"], {"sources": ("given",), "extract": ("curated",)}),
        ("rationales", ["--temperature", 0.5, "--range-set", "paper"], {"temperature": 0.5, "range_set": "paper"}),
        (
            "train",
            ["--learning-rate", "1e-3", "--max_steps", 3],
            {"overrides": ("--learning-rate", "1e-3", "--max_steps", "3")},
        ),
        ("evaluate", ["--raw", "--num-beams", 2], {"raw": True, "num_beams": 2}),
    ],
)
def test_options_reach_the_config(captured: list[Any], name: str, words: list[Any], expected: dict[str, Any]) -> None:
    run(name, *words)
    assert {key: getattr(captured[0], key) for key in expected} == expected


@pytest.mark.parametrize("name", ["rationales", "knowledge"])
def test_options_of_a_language_model_make_its_config(captured: list[Any], name: str) -> None:
    words = {
        "rationales": ["--teacher", "llm"],
        "knowledge": ["--source", "given", "--extract", "llm"],
    }[name]
    model = ["--model-name", "m", "--base-url", "http://127.0.0.1:1", "--prices", 1, 2.5, "--no-enforce-schema"]
    run(name, *words, *model, "--max-tokens", 9)
    found = captured[0].llm
    assert (found.model_name, found.provider, found.prices) == ("m", "openai", (1.0, 2.5))
    assert not found.enforce_schema
    assert captured[0].max_tokens == 9
    run(name)
    assert captured[1].llm is None


# --- what is refused


@pytest.mark.parametrize(
    ("name", "words", "parts"),
    [
        ("synthesize", ["--patients", 0], ["--patients: expected a whole number from 1 to 500000, got 0"]),
        ("synthesize", ["--patients", "many"], ["--patients", "integer"]),
        ("build", ["--window", "first-12h"], ["--window: expected one of stay, first-24h, first-48h"]),
        ("build", ["--grid", "daily"], ["--grid: expected one of event, hourly, got 'daily'"]),
        ("build", ["--skip-filter", "adult"], ["--skip-filter: expected one of no_transfers"]),
        (
            "build",
            ["--max-steps", 0],
            ["--max-steps: expected a whole number", "of at least 1 (rows), or nothing, got 0"],
        ),
        ("build", ["--split-fractions", 0.5, 0.2], ["--split-fractions"]),
        ("knowledge", ["--per-topic", 0], ["--per-topic: expected a whole number of at least 1 (passages), got 0"]),
        ("knowledge", ["--extract", "magic"], ["--extract: expected one of curated, statistical, llm, got 'magic'"]),
        ("knowledge", ["--source", "nowhere"], ["unknown source 'nowhere'"]),
        ("rationales", ["--teacher", "parrot"], ["--teacher: expected one of rules, llm, got 'parrot'"]),
        ("rationales", ["--temperature", -1], ["--temperature: expected a number of at least 0"]),
        ("rationales", ["--teacher", "llm"], ["--model-name"]),
        (
            "rationales",
            ["--teacher", "llm", "--model-name", "m", "--timeout", 0],
            ["--timeout: expected a number of at least 0.1 (seconds)"],
        ),
        (
            "rationales",
            ["--teacher", "llm", "--model-name", "m", "--provider", "post"],
            ["--provider: expected one of openai, transf"],
        ),
        (
            "rationales",
            ["--timeout", 120, "--model-name", "m"],
            ["teacher 'rules' uses no language model; leave --model-name, --timeout out"],
        ),
        ("knowledge", ["--timeout", 120], ["without --extract llm no language model is used; leave --timeout out"]),
        ("build", ["--max-steps", "all"], ["--max-steps", "'all' is neither a whole number nor none"]),
        ("build", ["--seed", -1], ["--seed: expected a whole number from 0 to 4294967295, got -1"]),
        ("synthesize", ["--seed", 2**32], ["--seed: expected a whole number from 0 to 4294967295"]),
        ("train", ["--seed", -1], ["--seed: expected a whole number from 0"]),
        ("train", ["--model", "note.yaml"], ["--model: is for a new model; leave it out with --parent"]),
        ("train", ["--knowledge", "given"], ["--knowledge: is for a new model"]),
        ("rationales", ["--shard", "3/2"], ["3/2"]),
        ("train", ["--seed", "x"], ["--seed"]),
        ("evaluate", ["--num-beams", 0], ["--num-beams: expected a whole number of at least 1 (beams), got 0"]),
        ("evaluate", ["--batch-size", 0], ["--batch-size"]),
        ("evaluate", ["--beams", 2], ["--beams"]),
    ],
)
def test_a_value_that_cannot_be_ends_in_one_line(
    captured: list[Any], name: str, words: list[Any], parts: list[str]
) -> None:
    fails_with_one_line(in_process(name, *NEEDED[name], *words), *parts)
    assert not captured
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["train", "notes", "--config", "note.yaml", "--cohort", "given", "--parent", "given", "--output", "o"],
            "clinragen: PHASE: expected one of backbone, note, lab, multimodal, got 'notes'",
        ),
        (["train", "note", "--config", "note.yaml", "--cohort", "given", "--output", "o"], "--parent DIR"),
        (["synthesize"], "--output"),
        (["build", "--note-policy", "full", "--root", "given", "--output", "o"], "source"),
        (["rationales", "--cohort", "none", "--output", "o"], "none"),
        (["predict", "given"], "--note FILE"),
        (["demo", "given", "--port", "99999"], "--port"),
        (["demo", "given", "--num-beams", "0"], "--num-beams"),
        (["recipe", "check"], "recipe"),
        (["quickstart", "--seed", "-1"], "--seed"),
        (["run", "recipe.yaml", "--seed", str(2**32)], "--seed"),
    ],
)
def test_what_is_missing_is_named(captured: list[Any], words: list[str], part: str) -> None:
    fails_with_one_line(in_process(*words), part)
    assert not captured


# --- the program itself


def test_the_version_is_the_package_s() -> None:
    done = in_process("--version")
    assert (done.returncode, done.stdout) == (0, f"clinragen {version('clinragen')}\n")


def test_completion_is_offered_and_completes() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "--install-completion" in shown
    assert "--show-completion" in shown
    asked = {"_CLINRAGEN_COMPLETE": "complete_bash", "COMP_WORDS": "clinragen synthesize --pat", "COMP_CWORD": "2"}
    environment = {**os.environ, **asked}
    done = subprocess.run([str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "--patients" in done.stdout.split()


def test_the_settings_page_is_the_generated_one() -> None:
    page = ROOT / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference(), "run `make reference`"


def test_the_settings_page_has_every_setting() -> None:
    page = reference()
    for kind in STAGES:
        for one, _ in settings(kind.config):
            assert f"{one.name}` |" in page, (kind.name, one.name)


def test_settings_of_an_explanation_reach_the_model(
    captured: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from clinragen.demo import serve

    seen: list[Any] = []
    monkeypatch.setattr(serve, "serve", lambda model, config, **more: seen.append((model, config, more)))
    words = ["demo", tmp_path, "--num-beams", 2, "--raw", "--probabilities", "--port", 0]
    assert in_process(*words).returncode == 0
    config = ExplainConfig(num_beams=2, raw=True, probabilities=True)
    assert seen == [(tmp_path, config, {"cohort": None, "port": 0})]
