"""The workflow of a release builds and checks, publishes nothing, and its commands are those that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT
from documented_runs import check_words
from source_files import PROJECT

TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
STEPS = WORKFLOW["jobs"]["build"]["steps"]


def test_it_may_only_read_and_uploads_to_itself_alone() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {step["uses"].partition("@")[0] for step in STEPS if "uses" in step} == {
        "actions/checkout",
        "actions/upload-artifact",
    }
    said = " ".join(step.get("run", "") for step in STEPS)
    assert not re.search(r"twine upload|gh release|publish|secrets\.|git push|curl", said)


def test_its_make_targets_are_there() -> None:
    made = [step["run"] for step in STEPS if step.get("run", "").startswith("make ")]
    assert made == ["make dist", "make docs"]
    for words in made:
        check_words(words)


def test_the_notes_are_the_newest_version_s_part_of_the_changelog(tmp_path: Path) -> None:
    (run,) = (step["run"] for step in STEPS if step.get("name") == "The changelog of this version")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [2.0] - x\n\nnew\n\n## [1.0] - y\n\nold\n")
    subprocess.run(["sh", "-ec", run], cwd=tmp_path, check=True)
    assert (tmp_path / "build" / "release-notes.md").read_text() == "## [2.0] - x\n\nnew\n\n"


def test_a_tag_of_another_version_ends_the_release(tmp_path: Path) -> None:
    (run,) = (step["run"] for step in STEPS if step.get("name", "").startswith("The tag"))
    version = PROJECT["project"]["version"]
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "CHANGELOG.md").write_text(f"## [{version}] - 2026-01-31\n")
    for tag, right in ((f"v{version}", True), ("v99.0.0", False)):
        done = subprocess.run(["sh", "-ec", run], cwd=tmp_path, env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"})
        assert (done.returncode == 0) is right, tag
