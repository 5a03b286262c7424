"""docs/model.md: its shapes are the model's, its figure is up to date. Its code is run by test_pages.py."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, TEXT_CONFIGS

PAGE = ROOT / "docs" / "model.md"
DRAWING = PAGE.parent / "figures" / "architecture.py"


def table(header: str) -> list[list[str]]:
    """The cells of the table whose first column has that header."""
    _, found, rest = PAGE.read_text().partition(f"| {header} |")
    assert found, header
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(DRAWING))


@pytest.fixture(scope="module")
def shapes(drawing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return drawing["example_shapes"]()


def test_the_shapes_on_the_page_are_the_models(drawing: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    labs = ("features", "patches", "encoded", "projected", "knowledge", "prototypes", "statistics", "summaries")
    order = ("note_ids", "note", *labs, "fused", "hidden", "queries", "diseases", "logits")
    expected = [drawing["dimensions"](shapes[name]) for name in order]
    assert [row[-1] for row in table("what")] == expected


def test_the_figure_says_what_would_be_drawn_now(
    drawing: dict[str, Any], shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    drawing["main"](tmp_path / "now.svg", shapes)
    # Matplotlib draws letters as curves and notes their words beside them.
    now, kept = (
        re.findall("<!-- (.*?) -->", path.read_text()) for path in (tmp_path / "now.svg", DRAWING.with_suffix(".svg"))
    )
    assert now == kept
    assert "700 × 512" in now


def test_the_page_names_every_kind_of_backbone_and_its_files_are_there() -> None:
    assert sorted(row[0].strip("`") for row in table("`model_type`")) == sorted(TEXT_CONFIGS)
    links = re.findall(r"\]\((?!https:)([^)#]+)\)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
