"""Whatever is typed and whatever a file holds: a command that cannot do its work says why in one line.

Drawn from the program's own commands and settings, run in this process, on the folder of a tiny run.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import in_process
from fuzzed_commands import (
    certain_faults,
    commands,
    damage,
    damages,
    faulty_files,
    faulty_lines,
    parameters,
    snapshot,
    write_sandbox,
)
from hypothesis import HealthCheck, given, settings

SETTINGS = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LINES, FILES, DAMAGES = 28, 100, 12
"""Command lines for each command, changed files of a recipe, and damaged files of a run: more than 500 in all."""


@pytest.fixture(scope="module")
def sandbox(tiny_run: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands read, good and bad."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_sandbox(folder, tiny_run, tiny_recipe)
    return folder


def run(sandbox: Path, words: list[str], names: set[str], *, fails: bool) -> None:
    """Run a command in the sandbox.

    Nothing in the sandbox may change, and where the command fails nothing may be left in its folder of outputs either.
    Then one line says why and has one of `names` in it. With `fails` it has to.
    """
    before = snapshot(sandbox)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(sandbox)
        patch.setattr(tempfile, "tempdir", str(sandbox / "out"))
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        # A fault of the program would be raised here, with its traceback.
        done = in_process(*words)
    if done.returncode == 0:
        assert not fails, words
        shutil.rmtree(sandbox / "out")
        (sandbox / "out").mkdir()
    after = snapshot(sandbox)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert not changed, (words, changed)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("clinragen: ")]
        assert len(lines) == 1, (words, done.stderr[-1500:])
        assert any(name in lines[0] for name in names if name), (words, lines[0])


def test_every_command_is_fuzzed() -> None:
    for name, command in commands().items():
        known = parameters(command)
        assert any(certain_faults(one, hint) for one, (_, hint) in known.items()), name
    assert len(commands()) * LINES + FILES + DAMAGES >= 500


@pytest.mark.parametrize("command", sorted(commands()))
def test_a_faulty_command_line_is_told_in_one_line(sandbox: Path, command: str) -> None:
    @settings(SETTINGS, max_examples=LINES)
    @given(drawn=faulty_lines(command))
    def check(drawn: tuple[list[str], set[str]]) -> None:
        run(sandbox, *drawn, fails=True)

    check()


def test_a_recipe_whose_files_hold_anything_is_confirmed_or_told_in_one_line(sandbox: Path, tiny_recipe: Path) -> None:
    @settings(SETTINGS, max_examples=FILES)
    @given(drawn=faulty_files(tiny_recipe))
    def check(drawn: tuple[str, str]) -> None:
        name, text = drawn
        file = sandbox / "recipe" / name
        kept = file.read_bytes()
        file.write_text(text, encoding="utf-8")
        try:
            run(sandbox, ["recipe", "check", "recipe/recipe.yaml"], {name, "recipe.yaml"}, fails=False)
        finally:
            file.write_bytes(kept)

    check()


def test_a_damaged_file_of_a_run_is_told_in_one_line(sandbox: Path, tiny_run: Path) -> None:
    @settings(SETTINGS, max_examples=DAMAGES)
    @given(drawn=damages(tiny_run))
    def check(drawn: tuple[str, Path, Callable[[bytes], bytes | None], tuple[str, ...]]) -> None:
        kind, name, how, reader = drawn
        folder = sandbox / "damaged"
        shutil.copytree(tiny_run / kind, folder)
        try:
            damage(folder / name, how)
            words = [word.replace("{}", "damaged") for word in reader]
            # That of `predict` is for a cohort.
            writes = reader[0] != "predict" and "output" in parameters(commands()[_command(reader)])
            words += ["--output", "out/made"] if writes else []
            run(sandbox, words, {"damaged", name.name}, fails=False)
        finally:
            shutil.rmtree(folder)

    check()


def _command(words: tuple[str, ...]) -> str:
    return next(name for name in sorted(commands(), key=len, reverse=True) if " ".join(words).startswith(f"{name} "))
