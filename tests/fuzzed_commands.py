"""Command lines with something wrong in them, drawn from the program's own commands and their parameters.

A new command or option is fuzzed without being named here; only what a correct value of it is may have to be added to
`CORRECT`.
"""

from __future__ import annotations

import inspect
import json
import random
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
import yaml
from hypothesis import strategies as st
from study_folder import answers_of, plain_answer

from clinragen.checking.inputs import read_standards
from clinragen.cli.main import app
from clinragen.pipeline.recipe import Recipe
from clinragen.study.answers import write_answers
from clinragen.study.config import StudyConfig
from clinragen.study.criteria import RESOURCES
from clinragen.study.folder import read_study
from clinragen.study.make import make_study
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.config_fields import setting_types
from trainers.model_config import ModelConfig
from trainers.phase_config import PhaseConfig

CORRECT: Mapping[str, tuple[str, ...]] = {
    "base_url": ("http://127.0.0.1:9",),
    "cohort": ("run/rationales",),
    "config": ("recipe/phase.yaml",),
    "criteria": ("recipe/criteria.yaml",),
    "dataset": ("mimic-iv-demo",),
    "evaluation": ("run/evaluation",),
    "files": ("recipe/ablation.yaml",),
    "full": ("run/model",),
    "knowledge": ("run/knowledge",),
    "labs": ("labs.csv",),
    "model": ("run/model",),
    "note": ("note.txt",),
    "note_policy": ("full",),
    "output": ("out/made",),
    "parent": ("run/train/backbone",),
    "phase": ("note",),
    "published": ("challenge-2012",),
    "recipe": ("recipe/recipe.yaml",),
    "root": ("run/hospital/tables",),
    "source": ("mimic-iv",),
    "sources": ("teacher",),
    "study": ("run/study",),
    "test": ("run/rationales",),
    "to": ("someone/thing",),
    "train": ("run",),
    "truth": ("run/hospital",),
    "text": ('"Fever" fits Shock.',),
}
"""A correct value of a parameter, by its name."""
MORE = {
    "ablate": ("files", "output"),
    "quickstart": ("recipe", "output"),
    "run": ("output",),
    "train": ("parent",),
    "predict": ("model", "note"),
    "check": ("text", "note"),
    "demo": ("model",),
    "knowledge": ("cohort", "output"),
    "download": ("base_url",),
    "push": ("dry_run",),
    "push-dataset": ("dry_run",),
    "push-space": ("dry_run", "output"),
    "rescore": ("output",),
    "study make": ("sources", "cases", "repeats"),
    "study judge": ("base_url", "model_name"),
}
"""What a command needs besides what it requires, so that it comes to its work and stays in its folder."""
OUTPUTS = ("output", "report")
LONG = "long" * 80
TEXTS = (
    "",
    " ",
    "nope",
    "None",
    "-1",
    "0",
    "nan",
    "1e400",
    "é数",
    "a/b",
    "../..",
    "{}",
    "[1",
    "\u202etxt",
    "x" * 5000,
)
NUMBERS = ("0", "-1", "-0.0", "1e-320", "1e308", "9" * 20, "9" * 5000, "nan", "inf", "-inf", "1_0", "٣")


@dataclass(frozen=True)
class Given:
    """The words of one parameter, and what a message may call it by."""

    words: tuple[str, ...]
    names: tuple[str, ...]


def commands() -> dict[str, Any]:
    """Every command of the program by the words that it is called with, but those that take none."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None or (words and command.invoke_without_command):
            yield " ".join(words), command
        for name, each in (below or {}).items():
            yield from walk(each, (*words, name))

    return {name: one for name, one in walk(typer.main.get_command(app), ()) if parameters(one)}


def parameters(command: Any) -> dict[str, tuple[Any, Any]]:
    """A command's parameters by name, each with its type; without those that answer and do nothing else."""
    hints = get_type_hints(inspect.unwrap(command.callback))
    return {one.name: (one, hints[one.name]) for one in command.params if one.name in hints and not one.is_eager}


def write_sandbox(folder: Path, run: Path, recipe: Path) -> None:
    """Fill a folder with what the commands read, and with files and folders that are not what they should be."""
    shutil.copytree(run, folder / "run")
    shutil.copytree(recipe.parent, folder / "recipe")
    (folder / "recipe" / "ablation.yaml").write_text(
        "format: 1\ntitle: Smaller batches\nrecipe: recipe.yaml\nchange: {evaluate: {batch_size: 3}}\n"
    )
    write_small_study(folder / "run" / "study", folder / "run" / "rationales")
    shutil.copy(RESOURCES / "criteria.yaml", folder / "recipe")
    (folder / "note.txt").write_text("Chief Complaint:\nFever and cough.\n")
    (folder / "labs.csv").write_text("hours,heart rate (bpm)\n0,80\n1,90\n")
    (folder / "out").mkdir()
    odd = folder / "odd"
    odd.mkdir()
    (odd / "folder").mkdir()
    (odd / "mine").mkdir()
    (odd / "mine" / "thesis.txt").write_text("Mine.")
    (odd / "loop").symlink_to(odd / "loop")
    for name, content in {
        "empty": b"",
        "bytes.bin": bytes(range(256)) * 20,
        "latin.txt": b"caf\xe9",
        "cut.json": (run / "model" / "config.json").read_bytes()[:200],
        "list.json": b"[1]",
        "nested.json": b"[" * 100_000,
        "digits.json": b"1" * 10_000,
        "cut.yaml": b"build: [1",
        "nested.yaml": b"a: " + b"[" * 3000 + b"]" * 3000,
        "cut.parquet": (run / "build" / "data" / "train.parquet").read_bytes()[:999],
        "é数.csv": "hours,hé\n0,1\n".encode(),
    }.items():
        (odd / name).write_bytes(content)


def write_small_study(folder: Path, cohort: Path) -> None:
    """A study of one case of a cohort, which its rater has finished."""
    config = StudyConfig(sources=("teacher",), cases=1, repeats=0, raters=1)
    make_study(folder, load_examples(cohort), {}, config, read_standards(cohort))
    study = read_study(folder)
    given = answers_of(study, "rater-1", lambda *_: plain_answer(study))
    write_answers(study.answers / "rater-1.json", given, study.id)


def certain_faults(name: str, hint: Any) -> list[str]:
    """Words that can be no value of a parameter of a type; none where any text may be one."""
    kind = _plain(hint)
    if kind is Path:
        paths = [f"note.txt/{name}", f"odd/loop/{name}", LONG]
        return paths if name in OUTPUTS else [*paths, f"odd/missing-{name}", "odd/loop"]
    if kind is int:
        return ["many", "1.5", "nan", "", "1e3"]
    if kind is float:
        return ["many", "1,5", "0x1"]
    return ["nope"] if isinstance(kind, type) and issubclass(kind, Enum) else []


def odd_words(name: str, hint: Any) -> list[str]:
    """Words that are, or may be, no good value of a parameter."""
    kind = _plain(hint)
    if kind is Path:
        there = ["empty", "folder", "mine", "bytes.bin", "latin.txt", "cut.json", "list.json", "nested.json"]
        there += ["digits.json", "cut.yaml", "nested.yaml", "cut.parquet", "é数.csv"]
        inputs = ["run/model", "run/build", "note.txt", "recipe/model.yaml", "", ".", "/", "hf://nobody/nothing"]
        return [*certain_faults(name, hint), *(f"odd/{each}" for each in there), *inputs]
    if kind in (int, float):
        return [*certain_faults(name, hint), *NUMBERS]
    return [*certain_faults(name, hint), *TEXTS, "odd/empty", "odd/folder", "odd/cut.yaml"]


@st.composite
def faulty_lines(draw: st.DrawFn, command: str) -> tuple[list[str], set[str]]:
    """A command's words with one certain fault and up to three more odd values.

    Returns:
        The words, and the names of what is odd: one of them has to be in the message.
    """
    known = parameters(commands()[command])
    faulty = draw(st.sampled_from([name for name, (_, hint) in known.items() if certain_faults(name, hint)]))
    odd = draw(st.sets(st.sampled_from(sorted(known)), max_size=3)) - {faulty}
    required = {name for name, (one, _) in known.items() if one.required} | set(MORE.get(command, ()))
    # What is about a training's model needs another file than what is about a trained one.
    correct = {**CORRECT, "model": ("recipe/model.yaml",)} if command == "train" else dict(CORRECT)
    words, names = command.split(), set()
    for name in sorted({faulty, *odd, *required}, key=list(known).index):
        one, hint = known[name]
        if name in odd or name == faulty:
            choices = odd_words(name, hint) if name in odd else certain_faults(name, hint)
            given = _written(one, hint, draw(st.lists(st.sampled_from(choices), min_size=5, max_size=5)))
            names |= {*given.names, name, name.replace("_", " ")}
        else:
            given = _written(one, hint, [*correct.get(name, ("1",))])
        words += given.words
    return words, names


JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "nope", "é数", "1e-4", "many"),
    *("hf://nobody/nothing", "../..", [], [1], [[]], ["nope"], {}, {"nope": 1}, {1: 2}, date(2026, 1, 1), b"\xff"),
)
"""Values that a setting of a file may be given."""
FILES: Mapping[str, type | None] = {
    "recipe.yaml": Recipe,
    "phase.yaml": PhaseConfig,
    "model.yaml": ModelConfig,
    "t5.json": None,
}
"""The files of a recipe, and what declares their settings."""


@st.composite
def faulty_files(draw: st.DrawFn, recipe: Path) -> tuple[str, str]:
    """One of a recipe's files, and a text for it in which one to three settings hold anything at all."""
    name = draw(st.sampled_from(sorted(FILES)))
    content = yaml.safe_load((recipe.parent / name).read_text(encoding="utf-8"))
    kind = FILES[name]
    known = sorted({*content, *(setting_types(kind) if kind is not None else ()), "nope"})
    for key in draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)):
        below = content.get(key)
        # Into a section as well as in its place.
        into = isinstance(below, dict) and below and draw(st.booleans())
        place, key = (below, draw(st.sampled_from(sorted(below)))) if into else (content, key)
        place[key] = draw(st.sampled_from(JUNK))
    if name.endswith(".json"):
        return name, json.dumps(content, default=str, skipkeys=True)
    return name, yaml.safe_dump(content, allow_unicode=True)


READERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "build": (("rationales", "--cohort", "{}"), ("knowledge", "--cohort", "{}")),
    "knowledge": (("rationales", "--cohort", "run/build", "--knowledge", "{}"), ("knowledge", "check", "{}")),
    "model": (("predict", "{}", "--note", "note.txt", "--labs", "labs.csv"),),
    "hospital": (("build", "mimic-iv", "--note-policy", "admission", "--root", "{}"),),
}
"""Commands that read a folder of a run, without their output."""
# Not read: code that travels with a model, and what only says how to use a folder.
UNREAD = (".py", ".md", ".png")


@st.composite
def damages(draw: st.DrawFn, run: Path) -> tuple[str, Path, Callable[[bytes], bytes | None], tuple[str, ...]]:
    """A folder of a run, the file in it that is damaged, how, and the command that reads it.

    The damage makes other bytes of those of the file; None stands for a folder in its place.
    """
    kind = draw(st.sampled_from(sorted(READERS)))
    files = sorted(path for path in (run / kind).rglob("*") if path.is_file() and path.suffix not in UNREAD)
    file = draw(st.sampled_from(files))
    seed = draw(st.integers(0, 2**32))

    def flipped(content: bytes) -> bytes:
        changed, drawn = bytearray(content), random.Random(seed)
        for _ in range(40 if content else 0):
            changed[drawn.randrange(len(content))] ^= drawn.randrange(1, 256)
        return bytes(changed)

    texts = [b"", b"[]", b"{}", b"null", b'"a"', b"{", b"[" * 100_000, b"1" * 10_000, b"a,b\n1,2\n", b"\xff\xfe"]
    choices: list[Callable[[bytes], bytes | None]] = [
        flipped,
        lambda content: content[: len(content) // 2],
        lambda content: None,
        *(lambda content, text=text: text for text in texts),  # type: ignore[misc]
    ]
    return kind, file.relative_to(run / kind), draw(st.sampled_from(choices)), draw(st.sampled_from(READERS[kind]))


def damage(file: Path, how: Callable[[bytes], bytes | None]) -> None:
    """Damage a file."""
    content = how(file.read_bytes())
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a folder: the mode, size and time of change of every path."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        # A folder's own time changes with every file that comes and goes again.
        own = (0, 0) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
        found[str(path)] = (status.st_mode, *own)
    return found


def _plain(hint: Any) -> Any:
    """The type of one word: that of an entry where several can be given."""
    options = [each for each in get_args(hint) if each is not type(None)]
    if get_origin(hint) in (list, tuple):
        return _plain(options[0])
    return _plain(options[0]) if get_origin(hint) is Union or type(None) in get_args(hint) else hint


def _written(one: Any, hint: Any, values: list[str]) -> Given:
    """The words that give a parameter its values, of which as many are taken as it has."""
    flag = max(one.opts, key=len)
    if _plain(hint) is bool:
        return Given((flag,), (flag,))
    count = max(1, one.nargs)  # -1: any number
    taken = (values * count)[:count]
    named = tuple(Path(value).name or value for value in taken)
    if one.param_type_name == "argument":
        return Given(tuple(taken), (*named, one.name.upper()))
    return Given((flag, *taken), (flag, *named))
