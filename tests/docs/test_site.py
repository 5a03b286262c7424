"""The documentation site builds without a network, and its build finds what would be wrong with a page."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

pytest.importorskip("zensical", reason="needs the site's builder: pip install 'clinragen[docs]'")
SCRIPT = ROOT / "docs" / "build_site.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def build(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_site_builds_with_every_page_and_the_reference(tmp_path: Path) -> None:
    done = build(SCRIPT, tmp_path / "site")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    site = tmp_path / "site" / "site"
    for page in (ROOT / "docs").glob("*.md"):
        name = "index" if page.stem == "README" else page.stem
        assert (site / "docs" / f"{name}.html").is_file(), page.name
    reference = (site / "docs" / "reference.html").read_text(encoding="utf-8")
    for name in ("clinragen.inference.Explainer.from_pretrained", "dataset_builder.cohort.hf_builder.load_cohort"):
        assert f'id="{name}"' in reference


@pytest.fixture
def small(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Builds a project of two pages, the second of which has the given words."""

    def run(words: str) -> subprocess.CompletedProcess[str]:
        root = tmp_path / "project"
        (root / "docs").mkdir(parents=True)
        shutil.copy(SCRIPT, root / "docs" / "build_site.py")
        (root / "README.md").write_text("# Home\n\n[page](docs/page.md#a-part)\n")
        (root / "docs" / "page.md").write_text(f"# Page\n\n## A part\n\n{words}\n")
        (root / "result.json").write_text("{}")
        (root / "mkdocs.yml").write_text(
            "site_name: Small\ndocs_dir: source\nsite_dir: site\nuse_directory_urls: false\n"
            "theme: {name: material, font: false}\nnav:\n  - Home: README.md\n  - Page: docs/page.md\n"
        )
        return build(root / "docs" / "build_site.py", tmp_path / "built")

    return run


def test_files_beside_the_pages_come_along_and_folders_become_words(
    small: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = small("[result](../result.json) of [all](../docs)")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "built" / "site" / "result.json").read_text() == "{}"
    page = (tmp_path / "built" / "site" / "docs" / "page.html").read_text(encoding="utf-8")
    assert 'href="../result.json"' in page
    assert "of all</p>" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("[gone](gone.md)", "there is no gone.md"),
        ("[gone](#gone)", "anchor does not exist"),
        ("![gone](gone.png)", "there is no gone.png"),
        ('<img src="https://elsewhere.example/a.png">', "loads https://elsewhere.example/a.png"),
        ('<a href="gone.html">gone</a>', "links to gone.html"),
        ("[more](../MORE.md)", "there is no ../MORE.md"),
    ],
)
def test_a_fault_of_a_page_ends_the_build(
    words: str, said: str, small: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    done = small(words)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_page_outside_the_navigation_ends_the_build(
    small: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "NEW.md").write_text("# New\n")
    (tmp_path / "project").rename(tmp_path / "kept")
    done = small("[self](page.md)")
    assert done.returncode == 0
    (tmp_path / "project" / "docs" / "new.md").write_text("# New\n")
    done = build(tmp_path / "project" / "docs" / "build_site.py", tmp_path / "built")
    assert done.returncode != 0
    assert "the navigation lacks docs/new.md" in done.stderr
