"""The installed command line, started where the user's own folders have the names of our packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("trainers", "evaluation", "dataset_builder", "modeling_clinragen", "spaces_demo")
COMMAND = Path(sys.executable).parent / "clinragen"


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with packages of the user's that must not be imported."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f'raise ImportError("this is the {name}/ of the user")\n')
    return tmp_path


def started(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    # Wide, so that no name in a help text is broken; without the paths that the tests themselves need.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_user_s_folders_do_raise(crowded: Path) -> None:
    """The guard itself: where the current folder comes first, ours are hidden."""
    done = started(crowded, sys.executable, "-c", "import trainers")
    assert done.returncode == 1
    assert "this is the trainers/ of the user" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("build", "--help"), ("train", "--help"), ("evaluate", "--help")])
def test_the_command_answers(crowded: Path, arguments: tuple[str, ...]) -> None:
    done = started(crowded, COMMAND, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Usage: clinragen" in done.stdout


def test_a_stage_runs(crowded: Path) -> None:
    done = started(crowded, COMMAND, "synthesize", "--patients", "3", "--output", "hospital")
    assert done.returncode == 0, done.stderr
    assert list((crowded / "hospital").rglob("truth.jsonl.gz"))


def test_python_m_needs_the_safe_path(crowded: Path) -> None:
    """`python -m` puts the current folder first, which Python's own `-P` prevents (CONTRIBUTING.md)."""
    module = ("-m", "clinragen.claims", "Heart rate is high.")
    done = started(crowded, sys.executable, *module)
    assert "of the user" in done.stderr
    done = started(crowded, sys.executable, "-P", *module)
    assert done.returncode == 0, done.stderr
    assert "Heart rate" in done.stdout
