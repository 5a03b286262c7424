"""docs/verification.md and the README's patient: their code runs, settings and tests are those that exist."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from clinragen.verification import VerifyConfig

PAGE = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def in_run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which the quickstart's output is a tiny one."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_run")
def test_the_code_on_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks(PAGE):
        exec(compile(block, "docs/verification.md", "exec"), names)
    assert names["found"].verified
    assert "ParsedOutput" in capsys.readouterr().out


@pytest.mark.usefixtures("in_run")
def test_the_readme_s_patient_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    section = README.partition("## One patient\n")[2].partition("\n## ")[0]
    names: dict[str, Any] = {}
    for block in blocks(section):
        # The package is installed here.
        exec(compile(block.replace(", trust_remote_code=True", ""), "README.md", "exec"), names)
    assert names["found"].verified
    assert "ParsedOutput" in capsys.readouterr().out


def test_the_page_has_every_setting_with_its_default() -> None:
    table = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.partition("## Settings")[2].partition("\n\n**")[0], re.M)
    config = VerifyConfig()
    expected = [(field.name, str(getattr(config, field.name)).lower()) for field in fields(VerifyConfig)]
    assert [(name, default.strip().strip("`").lower()) for name, default in table] == expected


def test_every_guarantee_names_a_test_that_exists() -> None:
    files = {path.relative_to(ROOT / "tests").as_posix(): path for path in (ROOT / "tests").rglob("test_*.py")}
    functions = {
        name: {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
        for name, path in files.items()
    }
    known = set().union(*functions.values())
    table = PAGE.partition("## Guarantees")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:[\w/]+\.py)(?:::\w+)?|test_\w+)`", table)
    assert len(named) > 10
    for name in named:
        file, _, function = name.rpartition("::")
        if name.endswith(".py"):
            assert name in files, name
        elif file:
            places = [other for other in files if other == file or other.endswith(f"/{file}")]
            assert any(function in functions[place] for place in places), name
        else:
            assert name in known, name


def test_the_page_names_files_that_exist() -> None:
    table = PAGE.partition("## While it writes")[2].partition("\n## ")[0]
    for name in re.findall(r"`(\w+_clinragen\.py)`", table):
        assert (ROOT / "modeling_clinragen" / name).is_file(), name
