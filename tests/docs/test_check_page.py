"""docs/check.md: its command prints what the page shows, and its tables name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import in_process
from conftest import ROOT

from clinragen.checking.render_json import schema

PAGE = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
RUN = re.compile(r"```sh\nclinragen (check .*?)```\n\n```\n(.*?)```", re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page; it is the current one."""
    files = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in files} == {"note.txt", "labs.csv", "rationale.txt"}
    for name, content in files:
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints_what_the_page_shows(folder: Path) -> None:
    runs = RUN.findall(PAGE)
    assert runs
    for words, shown in runs:
        done = in_process(*shlex.split(words))
        assert done.stdout == shown, "the output has changed: put the new one into docs/check.md"
        assert (done.returncode, done.stderr) == (1, "")


def test_every_field_of_the_schema_is_on_the_page() -> None:
    section = PAGE.partition("## JSON")[2].partition("\n## ")[0]
    parts = [schema(), schema()["$defs"]["sentence"], schema()["$defs"]["claim"]]
    parts.append(parts[2]["properties"]["evidence"])
    for part in parts:
        for name in part["required"]:
            assert f"`{name}`" in section, name


def test_every_option_is_on_the_page() -> None:
    offered = re.findall(r"^  --([a-z-]+)", in_process("check", "--help").stdout, flags=re.MULTILINE)
    assert len(offered) > 8
    for name in set(offered) - {"help"}:
        assert re.search(rf"--{name}\b", PAGE), name
