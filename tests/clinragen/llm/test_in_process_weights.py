"""A model in this process is known by its files: the journal does not replay the answers of other weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clinragen.llm import in_process
from clinragen.llm.in_process import InProcessModel


def settings_of(folder: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None = None) -> dict[str, Any]:
    model = SimpleNamespace(config=SimpleNamespace(_commit_hash=revision))
    monkeypatch.setattr(in_process, "_load", lambda name, device: (model, None))
    return InProcessModel(str(folder)).settings


def test_other_weights_in_the_same_folder_are_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_text("one")
    before = settings_of(tmp_path, monkeypatch)
    (tmp_path / ".DS_Store").write_text("")
    assert settings_of(tmp_path, monkeypatch) == before
    (tmp_path / "model.safetensors").write_text("two")
    assert settings_of(tmp_path, monkeypatch) != before


def test_a_model_that_was_downloaded_has_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (settings_of(Path("nobody/model"), monkeypatch, revision) for revision in ("a", "b"))
    assert first != second
