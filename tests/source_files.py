"""The project's source files as the tests of its architecture and hygiene read them."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINTER: dict[str, Any] = PROJECT["tool"]["importlinter"]
PACKAGES: tuple[str, ...] = tuple(LINTER["root_packages"])
HIDDEN_BUT_OURS = (".github", ".ci")


def module_name(path: Path) -> str:
    """`clinragen/claims/check.py` is `clinragen.claims.check`, a package's `__init__.py` is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    """The Python files of the installed packages, by module."""
    return {
        module_name(path): path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not any(part.is_symlink() for part in path.parents)
    }


@cache
def trees() -> dict[str, ast.Module]:
    """The same files, parsed."""
    return {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in sources().items()}


def where(name: str, node: ast.AST) -> str:
    """File and line, as an editor opens them."""
    return f"{sources()[name].relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def texts() -> dict[Path, str]:
    """Every text file that the project ships or is written in, by its path below the root."""
    found = {}
    folders = [
        ROOT / name for name in (*PACKAGES, *HIDDEN_BUT_OURS, "benchmarks", "docs", "examples", "recipes", "tests")
    ]
    candidates = [path for path in ROOT.iterdir() if path.is_file()]
    candidates += [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in candidates:
        inside = path.relative_to(ROOT)
        if path.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".json", ".jsonl", ".cff", ".txt", "") and not (
            {"__pycache__", "results"} & set(inside.parts) or any(part.is_symlink() for part in path.parents)
        ):
            found[inside] = path.read_text(encoding="utf-8")
    return found
