"""docs/real-data.md is that of its result files, its commands build what it says, and it says what is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from command_line import in_process
from conftest import ROOT
from tiny_challenge import write_archive

from dataset_builder.contract.schema import SPLITS, load_examples

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import real_data_page
import real_notes


def test_the_page_is_that_of_its_results() -> None:
    assert real_data_page.page() == real_data_page.PAGE.read_text(encoding="utf-8")


def test_without_results_the_page_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(real_data_page, "RESULTS", tmp_path)
    assert real_data_page.page().count(real_data_page.NOT_HERE) == 5


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "real-data.md").read_text(encoding="utf-8")
    for name, content in re.findall(r'^```yaml title="([^"]+)"\n(.*?)^```$', page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    write_archive(tmp_path / "set-a.tar.gz")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"^```\n(clinragen .*?)^```$", page, re.DOTALL | re.MULTILINE):
        for command in block.replace("\\\n", " ").splitlines():
            done = in_process(*command.split()[1:])
            assert done.returncode == 0, done.stderr
    cohort = load_examples(tmp_path / "challenge-outcome")
    assert sorted(label for split in SPLITS for row in cohort[split] for label in row["labels"]) == [0, 0, 1]


NOTE = """CHIEF COMPLAINT:
Fever and chills since Tuesday morning.

HISTORY OF PRESENT ILLNESS:
The patient denies chest pain. She complains of hypotension after dialysis.

HOSPITAL COURSE:
She was discharged on day three.
"""


def test_sections_and_quotations_are_counted() -> None:
    counted = real_notes.sections([NOTE, "Nothing but a line."])
    assert (counted["put_together_again"], counted["with_a_known_heading"]) == (2, 1)
    assert counted["admission_parts_with_words_of"]["discharge"] == 0
    found = real_notes.quotations([NOTE], ["Quite another text about the weather in spring."], 10)
    for kind in ("verbatim", "other blanks and capitals"):
        assert found[kind]["found"] == found[kind]["asked"] > 5
    for kind in ("two words exchanged", "of another note"):
        assert found[kind]["found"] == 0 < found[kind]["asked"]


def test_denied_and_affirmed_terms_are_told_apart() -> None:
    denied = "The patient denies hypotension. No pneumonia. Without sepsis."
    counts = real_notes.negation([denied, "She complains of hypotension."])
    assert counts["denied"]["mentions"] == counts["denied"]["contradicted"] == 3
    assert counts["affirmed"]["mentions"] == counts["affirmed"]["supported"] == 1
