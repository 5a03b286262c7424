"""A faulty recipe is refused before the first stage starts, in one line with file, key and what was expected."""

from __future__ import annotations

import json
import re
import shutil
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from command_line import ROOT, fails_with_one_line, in_process
from yaml_files import change, remove

from clinragen.cli.run_recipe import run_recipe
from clinragen.pipeline.recipe import Recipe, load_recipe
from clinragen.pipeline.stages import STAGES
from dataset_builder.storage.config_fields import expected, make_config, setting_types
from modeling_clinragen.errors import SettingsError
from trainers.model_config import ModelConfig
from trainers.phase_config import PhaseConfig

# Stages whose settings are a section of the recipe; `train` has a section of another form.
SECTIONS = {name: kind.config for kind in STAGES if (name := kind.name) in setting_types(Recipe) and name != "train"}
LLM = {"provider": "openai", "model_name": "m", "base_url": "http://127.0.0.1:1/v1"}


@pytest.fixture
def recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A correct recipe whose files may be changed."""
    return shutil.copytree(tiny_recipe.parent, tmp_path / "recipe") / "recipe.yaml"


def refuses(path: Path, *parts: str) -> None:
    """The recipe is refused, by library and command, with one line that begins with a file and has all `parts`."""
    output = path.parent / "output"
    with pytest.raises(SettingsError) as caught:
        run_recipe(path, output, 0, root=None)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path.parent)), message
    for part in parts:
        assert re.search(part, message), message
    assert not output.exists()
    assert not list(path.parent.glob("output*"))
    done = in_process("recipe", "check", path)
    assert done.returncode == 1
    fails_with_one_line(done, message)


def test_a_correct_recipe_is_confirmed_in_one_line(recipe: Path) -> None:
    for path in (recipe, *sorted((ROOT / "recipes").glob("*.yaml"))):
        done = in_process("recipe", "check", path)
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{path}: correct; phases backbone")


def test_an_empty_section_has_the_defaults(recipe: Path) -> None:
    change(recipe, "knowledge", value=None)
    change(recipe, "evaluate", value=None)
    assert load_recipe(recipe).evaluate.num_beams == 1


def test_relative_paths_are_taken_from_the_recipe(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe.parent
    (folder / "own" / "variables").mkdir(parents=True)
    (folder / "own" / "vocabulary.yaml").write_text("format: 1\nvariables: [heart_rate]\n")
    (folder / "split.csv").write_text("subject_id,split\n1,train\n")
    (folder / "corpus").mkdir()
    (folder / "source.yaml").write_text("{}")
    change(recipe, "build", "source", value="source.yaml")
    change(recipe, "build", "vocabulary", value="own")
    change(recipe, "build", "split_file", value="split.csv")
    change(recipe, "knowledge", "sources", value=["pubmed", "corpus"])
    (folder / "world").mkdir()
    change(recipe, "synthesize", "world", value="world")
    monkeypatch.chdir("/")
    found = load_recipe(recipe)
    assert found.build.source == str(folder / "source.yaml")
    assert found.build.vocabulary == folder / "own"
    assert found.build.split_file == folder / "split.csv"
    assert found.knowledge.sources == ("pubmed", str(folder / "corpus"))
    assert found.synthesize is not None
    assert found.synthesize.world == folder / "world"
    assert found.model == folder / "model.yaml"
    assert set(found.train.values()) == {folder / "phase.yaml"}
    # Names of ours stay names, whatever lies beside the recipe.
    (folder / "pubmed").mkdir()
    (folder / "mimic-iv").mkdir()
    change(recipe, "build", "source", value="mimic-iv")
    assert load_recipe(recipe).build.source == "mimic-iv"
    assert load_recipe(recipe).knowledge.sources[0] == "pubmed"


@pytest.mark.parametrize(
    ("keys", "value", "parts"),
    [
        (("builds",), {}, ("unknown setting 'builds'", "build, model, train")),
        (("build", "windows"), "stay", ("build: unknown setting 'windows'", "window")),
        (("build", "window"), "first-12h", ("build: window: expected one of stay, first-24h, first-48h", "first-12h")),
        (("build", "split_fractions"), [0.5, 0.5], ("build: split_fractions: expected a list", "a list of 2")),
        (("build", "note_policy"), None, ("build: note_policy: expected one of", "nothing")),
        (("build",), None, ("missing section 'build'",)),
        (("build",), "mimic-iv", ("build: expected settings", "mimic-iv")),
        (("build",), {"source": "mimic-iv"}, ("build: missing setting 'note_policy'", "expected one of")),
        (("model",), None, ("missing section 'model'",)),
        (("model",), 5, ("model: expected a path",)),
        (("model",), "none.yaml", (r"none\.yaml: is missing",)),
        (("train",), None, ("missing section 'train'",)),
        (("train",), {}, ("train: expected the YAML file of each phase",)),
        (("train",), ["note"], ("train: expected the YAML file of each phase",)),
        (("train", "notes"), "phase.yaml", ("train: unknown phase 'notes'", "backbone, note, lab, multimodal")),
        (("train", "note"), 3, ("train: note: expected a path",)),
        (("train", "note"), None, ("train: note: expected a path",)),
        (("train", "note"), "none.yaml", (r"none\.yaml: is missing",)),
        (("synthesize", "patients"), "many", ("synthesize: patients: expected a whole number from 1 to", "many")),
        (("synthesize", "patients"), 0, ("synthesize: patients: expected a whole number from 1 to 500000", "0")),
        (("synthesize", "seed"), 3, ("synthesize: seed", "--seed")),
        (("evaluate", "num_beams"), 0, ("evaluate: num_beams: expected a whole number of at least 1",)),
        (("rationales", "teacher"), "parrot", ("rationales: teacher: expected one of rules, llm", "parrot")),
        (("rationales", "teacher"), "llm", ("rationales: teacher 'llm' needs a language model",)),
        (("rationales", "llm"), "m", ("rationales: llm: expected settings",)),
        (("rationales", "llm"), LLM, ("rationales: teacher 'rules' uses no language model",)),
        (("rationales", "llm"), {"prices": 3}, ("rationales: llm: prices: expected a list",)),
        (("rationales", "llm"), {**LLM, "prices": [1]}, ("rationales: llm: prices: expected a list", "a list of 1")),
        (("rationales", "llm"), {**LLM, "prices": [1, "x"]}, ("rationales: llm: prices: expected a list",)),
        (
            ("rationales", "llm"),
            {**LLM, "service_keeps_nothing": "yes, I think"},
            ("rationales: llm: service_keeps_nothing: expected true or false",),
        ),
        (("rationales", "llm"), {**LLM, "concurrent": 3}, ("rationales: llm: unknown setting 'concurrent'",)),
        (("rationales", "llm"), {"provider": "post"}, ("rationales: llm: .*post",)),
        (("knowledge", "llm"), {**LLM, "timeout": 0}, ("knowledge: llm: timeout: expected a number of at least 0.1",)),
        (("knowledge", "sources"), ["nowhere"], ("knowledge: unknown source 'nowhere'",)),
        (("notices",), "Not for sale.", ("notices: expected a list",)),
        (("notices",), [1], ("notices: expected a list",)),
        (("format",), None, ("format None, this version reads 1", "recipe check")),
        (("format",), 2, ("format 2, this version reads 1",)),
        (("format",), "1", ("format '1', this version reads 1",)),
    ],
)
def test_a_fault_anywhere_is_named(recipe: Path, keys: tuple[str, ...], value: Any, parts: tuple[str, ...]) -> None:
    change(recipe, *keys, value=value)
    refuses(recipe, re.escape(str(recipe.parent)), *parts)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "expected stages and their settings"),
        (b"- build\n", "expected stages and their settings"),
        (b"just words\n", "expected stages and their settings"),
        (b"build: [1\n", "not a readable YAML file"),
        (b"build: caf\xe9\n", "UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_recipe_is_refused(recipe: Path, content: bytes | None, part: str) -> None:
    recipe.unlink()
    if content is not None:
        recipe.write_bytes(content)
    refuses(recipe, re.escape(str(recipe)), part)


def test_a_recipe_of_the_time_before_formats_gets_the_way_to_renew_it(recipe: Path) -> None:
    change(recipe, "rationales", value={"teacher": "openai", "model_name": "m"})
    remove(recipe, "format")
    refuses(recipe, "recipe of format 0, this version reads 1", "write 'format: 1' into it", "recipe check")
    change(recipe, "format", value=1)
    refuses(recipe, "rationales: unknown setting 'model_name'", "llm")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("max_step: 4\n", ("unknown setting 'max_step'", "max_steps")),
        ("max_steps: many\n", ("max_steps: expected a whole number",)),
        ("train_backbone: perhaps\n", ("train_backbone: expected true or false",)),
        ("diagnosis_weight: -1\n", ("diagnosis_weight: expected a number of at least 0",)),
        ("lr_scheduler_type: zigzag\n", ("zigzag",)),
        ("- max_steps\n", ("expected settings",)),
        ("max_steps: [4\n", ("not a readable YAML file",)),
    ],
)
def test_a_faulty_phase_file_is_named(recipe: Path, content: str, parts: tuple[str, ...]) -> None:
    path = recipe.with_name("wrong.yaml")
    path.write_text(content)
    change(recipe, "train", "lab", value=path.name)
    refuses(recipe, re.escape(str(path)), *parts)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"lora_rank": 2}, ("unknown setting 'lora_rank'", "lora_r")),
        ({"lora_r": "two"}, ("lora_r: expected a whole number from 1 to 65536", "two")),
        ({"lab_layout": "rows"}, ("lab_layout: expected one of patches, paper",)),
        ({"backbone": "google/flan-t5-small"}, ("either a backbone or a scratch config",)),
        ({"scratch": "none.json"}, (r"none\.json: is missing",)),
        ({"scratch": "model.yaml"}, ("JSON",)),
        ({"lora_r": 33}, (r"model\.yaml: lora_r is 33, but no layer of lora_targets \(q, v\).*give at most 32",)),
        ({"disease_heads": 7}, (r"model\.yaml: disease_heads is 7, which does not divide the .*width 32",)),
        ({"lab_width": 65536, "lab_layers": 256}, ("need .* of memory.*lab encoder: lower lab_width, lab_layers",)),
    ],
)
def test_a_faulty_model_file_is_named(recipe: Path, changed: dict[str, Any], parts: tuple[str, ...]) -> None:
    for name, value in changed.items():
        change(recipe.with_name("model.yaml"), name, value=value)
    refuses(recipe, *parts)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("d_ff", 10**11, "need .* of memory.*language model: lower the sizes"),
        ("num_layers", 10**6, "the language model's num_layers is 1000000; give at most 256"),
        ("d_ff", 10**30, r"t5\.json: no language model can be built of it"),
        ("d_kv", "wide", r"t5\.json: no language model can be built of it.*d_kv"),
        ("dense_act_fn", "nope", r"t5\.json: no language model can be built of it \(there is no 'nope'\)"),
        ("dtype", "nope", r"t5\.json: no language model can be built of it.*nope"),
    ],
)
def test_a_language_model_that_cannot_be_built_is_named(recipe: Path, key: str, value: Any, part: str) -> None:
    shape = recipe.with_name("t5.json")
    shape.write_text(json.dumps({**json.loads(shape.read_text()), key: value}))
    refuses(recipe, part)


# --- every field of every config


def options_of(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def wrong_for(hint: Any) -> Any:
    """A value, as YAML has it, that no option of a type takes."""
    options = options_of(hint)
    if str in options or Path in options:
        return 7 if float not in options and int not in options else {"a": 1}
    return "wrong"


def every_field(kind: type, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    hints = get_type_hints(kind)
    for one in fields(kind):
        yield (*before, one.name), (one, hints[one.name])
        for option in options_of(hints[one.name]):
            if is_dataclass(option) and isinstance(option, type):
                yield from every_field(option, (*before, one.name))


RECIPE_FIELDS = [
    pytest.param((section, *names), found, id=".".join((section, *names)))
    for section, kind in SECTIONS.items()
    for names, found in every_field(kind)
]


def test_the_fields_are_all_there() -> None:
    assert set(SECTIONS) == {"synthesize", "build", "knowledge", "rationales", "evaluate"}
    named = {".".join(one.values[0]) for one in RECIPE_FIELDS}
    assert {"build.split_fractions", "knowledge.llm.prices", "rationales.llm.service_nobody_reads"} <= named
    assert len(named) > 60


@pytest.mark.parametrize(("keys", "found"), RECIPE_FIELDS)
def test_every_setting_of_a_recipe_refuses_another_type(recipe: Path, keys: tuple[str, ...], found: Any) -> None:
    one, hint = found
    change(recipe, *keys, value=wrong_for(hint))
    with pytest.raises(SettingsError) as caught:
        load_recipe(recipe)
    message = str(caught.value)
    assert message.startswith(f"{recipe}: {keys[0]}: ")
    assert f"{keys[-1]}: " in message
    if keys[-1] != "seed":
        assert f"expected {expected(one, hint)}, got" in message or "expected settings" in message


OTHER_FIELDS = [
    pytest.param(kind, names, found, id=f"{kind.__name__}.{names[-1]}")
    for kind in [*(stage.config for stage in STAGES if stage.name not in SECTIONS), ModelConfig, PhaseConfig]
    for names, found in every_field(kind)
    if "help" in found[0].metadata and names[0] in vars(kind).get("__annotations__", {})
]


@pytest.mark.parametrize(("kind", "names", "found"), OTHER_FIELDS)
def test_every_setting_of_the_other_configs_refuses_another_type(
    kind: type, names: tuple[str, ...], found: Any
) -> None:
    with pytest.raises(SettingsError, match=rf"^there: {names[-1]}: expected .*, got"):
        make_config(kind, {names[-1]: wrong_for(found[1])}, "there")


def test_every_setting_has_a_help_text_and_bounds_that_hold_its_default() -> None:
    for kind in (*(stage.config for stage in STAGES), ModelConfig):
        for names, (one, _) in every_field(kind):
            metadata: Mapping[str, Any] = one.metadata
            text = metadata["help"]
            assert text.endswith((".", "]")), (kind, names)
            assert " " in text
