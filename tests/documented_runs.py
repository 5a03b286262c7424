"""Runs the steps of a page in a folder that has what its reader has: a tiny quickstart, recipes, a patient's files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
import yaml
from command_line import in_process
from conftest import ROOT
from documented_blocks import Step
from extending_page import shorten
from source_files import PROJECT

NOTE = (
    "Chief Complaint:\nfever and dyspnea\nPast Medical History:\n- COPD\n- hypertension\n"
    "Medications on Admission:\n1. Lisinopril 10 mg\n"
)
LABS = "hours,heart rate (bpm),temperature (°C)\n0,118,38.9\n6,121,38.4\n"
RATIONALE = '"hypertension" supports Essential hypertension. Heart rate is high in most readings.\n'
LINKED = ("Makefile", "benchmarks", "constraints.txt", "dataset_builder", "docs", "examples", "metrics")
FOUND_SOMETHING = {"check": 1}
"""Commands whose status says what they found."""


@dataclass
class Workspace:
    """The folder of one page, and the names that its Python blocks have defined so far."""

    folder: Path
    stand_ins: Mapping[str, str]
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def substituted(self, text: str) -> str:
        """A command or block with the test's words in place of the page's."""
        for words, instead in self.stand_ins.items():
            text = f"{text} ".replace(words, instead).removesuffix(" ")
        return text

    def run(self, step: Step) -> str:
        """Do what a step says; returns what it prints.

        Raises:
            AssertionError: It failed.
        """
        match step.kind:
            case "command":
                return self.command(self.substituted(step.content))
            case "python":
                written = io.StringIO()
                with contextlib.redirect_stdout(written):
                    exec(compile(self.substituted(step.content), str(step), "exec"), self.names)
                return written.getvalue()
            case "file":
                check_file(self._write(step))
                return ""
            case "yaml":
                check_fragment(self.substituted(step.content), self.folder)
                return ""
            case "json":
                text = step.content.strip()
                json.loads(text if text[0] in "[{" else f"{{{text}}}")
                return ""
            case "csv":
                (self.folder / "of-a-page.csv").write_text(step.content, encoding="utf-8")
                check_file(self.folder / "of-a-page.csv")
                return ""
            case "output":
                return ""
        raise AssertionError(f"{step}: nothing is known of a block of {step.kind}")

    def write_files(self, steps: Sequence[Step]) -> None:
        """Write the files that the page shows, since a command may stand above the file that it reads."""
        for step in reversed([step for step in steps if step.kind == "file"]):
            self._write(step)

    def _write(self, step: Step) -> Path:
        path = self.folder / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.substituted(step.content), encoding="utf-8")
        return path

    def command(self, words: str) -> str:
        """Run a command in this process; returns what it prints."""
        program, *arguments = shlex.split(words)
        match program, arguments:
            case "clinragen", [name, *_]:
                done = in_process(*_expanded(arguments))
                allowed = (0, FOUND_SOMETHING.get(name, 0))
                assert done.returncode in allowed, f"{words}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
                return done.stdout
            case "python", ["-m", module, *rest]:
                return _run_python(
                    lambda: runpy.run_module(module, run_name="__main__", alter_sys=True), [module, *rest]
                )
            case "python", [script, *rest]:
                return _run_python(lambda: runpy.run_path(script, run_name="__main__"), [script, *rest])
            case "mkdir", ["-p", *folders]:
                for each in folders:
                    (self.folder / each).mkdir(parents=True, exist_ok=True)
            case "cp", [source, target]:
                shutil.copy(source, target)
            case "export", [setting]:
                os.environ.update([setting.split("=", 1)])
            case _:
                raise AssertionError(f"{words}: the test cannot run {program}; name it in tests/docs/not_run.yaml")
        return ""


def make_workspace(folder: Path, run: Path) -> Path:
    """Fill a folder with what a reader has after the quickstart, shortened."""
    shutil.copytree(run, folder / "runs" / "quickstart")
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shorten(folder)
    for name, made_by in (("my-cohort", "rationales"), ("my-knowledge", "knowledge"), ("my-model", "model")):
        shutil.copytree(run / made_by, folder / name)
    for name, content in (("note.txt", NOTE), ("labs.csv", LABS), ("rationale.txt", RATIONALE)):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def check_file(path: Path) -> None:
    """A file that a page shows is one that its reader's commands can read."""
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".yaml" | ".yml":
            yaml.safe_load(text)
        case ".json":
            json.loads(text)
        case ".csv":
            rows = list(csv.reader(io.StringIO(text)))
            assert len({len(row) for row in rows}) == 1, f"{path.name}: rows of different lengths"
        case ".py":
            compile(text, str(path), "exec")


def check_fragment(text: str, folder: Path) -> None:
    """A piece of a recipe, or of an ablation, has only known keys of the right types."""
    from clinragen.pipeline.ablation_file import read_ablations
    from clinragen.pipeline.ablation_recipe import written_recipes
    from clinragen.pipeline.recipe import load_recipe

    content = yaml.safe_load(text)
    if "change" in content or "instead" in content:
        path = folder / "recipes" / "ablations" / "of-a-page.yaml"
        path.write_text(text, encoding="utf-8")
        written_recipes(read_ablations([path]), None)
        return
    recipe = yaml.safe_load((folder / "recipes" / "quickstart.yaml").read_text(encoding="utf-8"))
    for section, settings in content.items():
        whole = isinstance(settings, Mapping) and section != "train"
        recipe[section] = {**(recipe.get(section) or {}), **settings} if whole else settings
    path = folder / "recipes" / "of-a-page.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    load_recipe(path)


def check_words(words: str) -> None:
    """A command that is not run has a program, options and types of arguments that exist.

    Raises:
        AssertionError: Something of it does not.
    """
    parts = shlex.split(words, comments=True)
    if parts[-2:-1] == ["-c"]:
        parts = shlex.split(parts[-1].rpartition(";")[2])
    while parts and re.fullmatch(r"[A-Z_]+=\S*", parts[0]):
        parts = parts[1:]
    if "clinragen" in parts and parts[0] != "clinragen" and parts[0] not in ("pip", "git", "docker"):
        parts = parts[parts.index("clinragen") :]  # torchrun, accelerate and unshare start it
    match parts:
        case ["clinragen", *rest]:
            _parse(_placeholders(rest), words)
        case ["make", *targets]:
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert {each for each in targets if "=" not in each} <= set(known), words
        case ["python" | "python3", "-m", "pip", *rest]:
            check_words(shlex.join(["pip", *rest]))
        case ["python" | "python3", "-m", *_]:
            pass
        case ["python", script, *rest]:
            source = (ROOT / script).read_text(encoding="utf-8")
            missing = [each for each in rest if each.startswith("--") and f'"{each}"' not in source]
            assert not missing, f"{words}: {script} has no option {missing}"
        case ["pip" | "pipx" | "uv", *rest]:
            extras = set(PROJECT["project"]["optional-dependencies"])
            for asked in re.findall(r"(?:clinragen|\.)\[([\w,-]+)\]", " ".join(rest)):
                assert set(asked.split(",")) <= extras, f"{words}: unknown extra; there are {sorted(extras)}"
        case ["git" | "curl" | "docker" | "." | "cd" | "source" | "jupyter" | "export", *_]:
            pass
        case _:
            raise AssertionError(f"{words}: no known program")


def _parse(words: list[str], shown: str) -> None:
    from clinragen.cli.main import app

    command: Any = typer.main.get_command(app)
    usage_error: Any = typer.BadParameter.__base__
    try:
        while True:
            context = command.make_context("clinragen", list(words))
            if not hasattr(command, "commands"):
                return
            left = [*getattr(context, "_protected_args", ()), *context.args]
            if not left:
                return
            _, command, words = command.resolve_command(context, left)
    except usage_error as error:
        raise AssertionError(f"{shown}: {error.format_message()}") from error


def _placeholders(words: list[str]) -> list[str]:
    """The words without an ellipsis that stands for further ones."""
    return words[:-1] if words and words[-1] in ("...", "…") and not words[-2].startswith("--") else words


def _expanded(words: list[str]) -> Iterator[str]:
    """Words with file patterns replaced as a shell does."""
    for word in words:
        found = sorted(Path().glob(word)) if "*" in word and not word.startswith("-") else []
        yield from map(str, found) if found else [word]


def _run_python(run: Any, words: list[str]) -> str:
    given, sys.argv = sys.argv, words
    written = io.StringIO()
    try:
        with contextlib.redirect_stdout(written):
            run()
    except SystemExit as ended:
        if ended.code not in (None, 0, 1):
            raise AssertionError(f"{words}: status {ended.code}\n{written.getvalue()[-1500:]}") from ended
    finally:
        sys.argv = given
    return written.getvalue()
