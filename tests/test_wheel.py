"""The wheel as somebody else installs it: in an environment of its own, with nothing of this checkout in reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from source_files import PACKAGES

LINKED = "clinragen/recipes/"
"""A link in the checkout, files in the wheel."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel."""

    wheel: Path
    folder: Path

    def run(self, *words: object) -> str:
        """What a program of the environment prints; it must succeed."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=kept,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    leftovers = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.partial")
    for name in (*PACKAGES, "recipes"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=leftovers)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    built = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([*pip, *built], check=True, timeout=180)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", *offline, str(wheel)], check=True, timeout=180)
    # The libraries of this environment, and of it only those: what it says about an editable checkout is not read.
    (libraries,) = (environment / "lib").glob("python*/site-packages")
    (libraries / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # What is not in the wheel must not be found in what it was built from.
    shutil.rmtree(source)
    return Installed(wheel, environment)


def test_every_file_of_the_packages_is_in_the_wheel(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    folders = [(ROOT / package, f"{package}/") for package in PACKAGES] + [(ROOT / "recipes", LINKED)]
    expected = {
        f"{prefix}{path.relative_to(folder).as_posix()}"
        for folder, prefix in folders
        for path in folder.rglob("*")
        if path.is_file() and not any(part == "__pycache__" for part in path.parts)
    }
    assert expected - names == set()
    # Nothing of the tests, of a run or of a patient.
    assert {name for name in names - expected if ".dist-info/" not in name} == set()


def test_the_command_works_without_the_checkout(installed: Installed) -> None:
    assert "serve" in installed.run("clinragen", "--help")
    assert installed.run("clinragen", "env").startswith("clinragen: ")
    recipes = next(installed.folder.glob("lib/python*/site-packages/clinragen/recipes"))
    assert "quickstart" in installed.run("clinragen", "recipe", "check", recipes / "quickstart.yaml")


def test_every_package_is_imported_from_the_wheel(installed: Installed) -> None:
    code = f"""
import importlib, pkgutil, sys
from pathlib import Path
found = []
for name in {PACKAGES!r}:
    top = importlib.import_module(name)
    found += [name, *(one.name for one in pkgutil.walk_packages(top.__path__, name + ".") if one.ispkg)]
for name in found:
    place = Path(importlib.import_module(name).__file__)
    assert place.is_relative_to(sys.prefix), place
from clinragen.pipeline.recipe import load_recipe, shipped_recipe
from clinragen.service.openapi import explanation_schema
from dataset_builder.contract.definitions import shipped_definitions
assert load_recipe(shipped_recipe("quickstart"))
assert explanation_schema()["required"]
assert len(shipped_definitions().vocabulary.diseases) == 25
print(len(found))
"""
    assert int(installed.run("python", "-c", code)) > 25
