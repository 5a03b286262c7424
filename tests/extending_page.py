"""Reads docs/extending.md: its recipes, the files they add or change, and the commands they run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT
from source_files import PACKAGES
from tiny_recipe import tiny_settings

DOCS = ROOT / "docs"
FILES = ("yaml", "json", "python")
MODEL, PHASE = "tiny-t5/model.yaml", "tiny-t5/note.yaml"
SHORTENED_AS = {
    "my/recipe.yaml": "quickstart.yaml",
    "my/llama.yaml": MODEL,
    f"recipes/{MODEL}": MODEL,
    "recipes/tiny-t5/t5.json": "tiny-t5/t5.json",
    "recipes/tiny-t5/prefer.yaml": "tiny-t5/prefer.yaml",
    **{
        f"recipes/tiny-t5/{name}.yaml": PHASE
        for name in ("backbone", "backbone-paper", "note", "lab", "multimodal", "joint")
    },
}
"""Files by the entry of tests/tiny_settings.yaml whose numbers take the place of theirs."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file that it makes or changes, and the line before it."""

    language: str
    path: str | None
    content: str
    before: str


@dataclass(frozen=True)
class Recipe:
    """One section of the page: the files in its table, and its blocks."""

    title: str
    listed: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def files(self) -> set[str]:
        """The files that the recipe adds or changes."""
        return {block.path for block in self.blocks if block.path is not None}

    def one(self, ending: str) -> Block:
        """The one block whose file's path ends so."""
        (block,) = (block for block in self.blocks if (block.path or "").endswith(ending))
        return block

    def apply(self, project: Path) -> list[list[str]]:
        """Make the recipe's files below `project`, in the page's order, and return its `clinragen` commands."""
        commands = []
        for block in self.blocks:
            if block.language == "sh":
                for line in block.content.replace("\\\n", " ").splitlines():
                    words = shlex.split(line)
                    if words[0] == "clinragen":
                        commands.append(words[1:])
                    else:
                        _run_in(project, words)
                continue
            assert block.path is not None, f"{self.title}: a block of {block.language} without a file"
            path = project / block.path
            if block.language == "diff":
                path.write_text(changed(path.read_text(encoding="utf-8"), block.content), encoding="utf-8")
            else:
                assert block.language in FILES, f"{self.title}: no use for a block of {block.language}"
                assert not path.exists(), f"{block.path} exists already: show its change as a diff"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.content, encoding="utf-8")
        return commands


def read_page() -> dict[str, Recipe]:
    """The recipes by the title of their section."""
    head, *sections = re.split(r"^## ", (DOCS / "extending.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "```" not in head, "a block before the first recipe"
    recipes = {}
    for section in sections:
        title = section.splitlines()[0]
        listed = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
        blocks = blocks_of(section)
        assert 2 * len(blocks) == section.count("```"), title
        recipes[title] = Recipe(title, tuple(listed), tuple(blocks))
    return recipes


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, or of a part of one."""
    fence = re.compile(r"(?P<before>[^\n]*)\n+^```(?P<info>[^\n]*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = []
    for found in fence.finditer(text):
        language, _, rest = found["info"].partition(" ")
        named = re.fullmatch(r'title="([^"]+)"', rest)
        assert named or not rest, f"unreadable info string '{found['info']}'"
        blocks.append(Block(language, named[1] if named else None, found["content"], found["before"]))
    return blocks


def changed(text: str, diff: str) -> str:
    """A text after a diff whose hunks (parted by @@) must each fit at exactly one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        assert all(line[:1] in ("", " ", "+", "-") for line in lines), f"not a diff:\n{hunk}"
        old = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
        new = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
        assert old != new, f"changes nothing:\n{hunk}"
        places = len(re.findall(f"^(?={re.escape(old)})", text, re.MULTILINE))
        assert places == 1, f"fits at {places} places:\n{hunk}"
        text = f"\n{text}".replace(f"\n{old}", f"\n{new}").removeprefix("\n")
    return text


def copy_project(target: Path) -> Path:
    """A copy of our packages and recipes, compiled files included: their times stay, so nothing is compiled again."""
    being_written = shutil.ignore_patterns("*.pyc.*")
    for name in (*PACKAGES, "recipes"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=being_written)
    return target


def shorten(project: Path) -> None:
    """Shorten what a recipe of the page says, and the recipes that it uses, to the lengths of the test suite."""
    table = tiny_settings()
    for name, entry in SHORTENED_AS.items():
        path = project / name
        if path.is_file():
            shorter = _shorter(yaml.safe_load(path.read_text(encoding="utf-8")), table[entry])
            written = json.dumps(shorter) if path.suffix == ".json" else yaml.safe_dump(shorter, sort_keys=False)
            path.write_text(written, encoding="utf-8")


def _shorter(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The content with the numbers of `settings`, of those entries that it has."""
    numbers = {name: value for name, value in settings.items() if name in content and isinstance(value, int | float)}
    nested = {name: value for name, value in settings.items() if isinstance(value, Mapping) and name in content}
    return {**content, **numbers, **{name: _shorter(content[name], value) for name, value in nested.items()}}


def _run_in(project: Path, words: list[str]) -> None:
    match words:
        case ["mkdir", "-p", folder]:
            (project / folder).mkdir(parents=True, exist_ok=True)
        case ["cp", source, target]:
            shutil.copyfile(project / source, project / target)
        case _:
            raise AssertionError(f"the test cannot run: {' '.join(words)}")
