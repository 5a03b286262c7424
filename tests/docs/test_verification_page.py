"""docs/verification.md: its settings, tests and files are those that exist. What it shows is run by test_pages.py."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

from conftest import ROOT

from clinragen.verification import VerifyConfig

PAGE = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")


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
