"""docs/contract.md: its Python writes a cohort that passes the check, and its table has the contract's columns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from command_line import in_process
from conftest import ROOT

from dataset_builder.contract.schema import example_schema, load_examples
from modeling_clinragen.vocabulary_clinragen import Vocabulary

PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")


def test_the_cohort_by_hand_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/contract.md", "exec"), names)
    assert capsys.readouterr().out.startswith("False [")
    done = in_process("contract", "check", "my-cohort")
    assert done.returncode == 0
    assert "train 1, validation 0, test 1; 0 errors" in done.stdout
    cohort = load_examples(tmp_path / "my-cohort")
    assert cohort["train"][0]["diagnoses"] == ["Septicemia (except in labor)"]


def test_every_column_is_on_the_page(vocabulary: Vocabulary) -> None:
    section = PAGE.partition("| column | type |")[2].partition("\n\n")[0]
    named = re.findall(
        r"`(\w+)`", "\n".join(line.split("|")[1] for line in section.splitlines() if line.count("|") > 3)
    )
    assert named == example_schema(vocabulary).names
