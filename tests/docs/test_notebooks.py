"""The notebooks run from their first cell to their last, in a kernel of their own, at tiny settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOKS = ROOT / "docs" / "notebooks"
STAND_INS = yaml.safe_load(Path(__file__).with_name("stand_ins.yaml").read_text(encoding="utf-8"))
SHOWN = {
    "build_a_cohort": "credentialed: False",
    "fine_tune": "after:",
    "use": "[supported]",
}
"""Words of an output, by notebook."""


def test_every_notebook_is_known_and_kept_without_outputs() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SHOWN)
    for name in SHOWN:
        for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
            assert not cell.get("outputs"), f"{name}: clear the outputs before it is committed"


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_the_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `!clinragen` is the command of this environment.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    for words, instead in STAND_INS["pages"].get(f"docs/notebooks/{name}.ipynb", {}).items():
        text = text.replace(words, instead)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert SHOWN[name] in printed, printed[-2000:]
