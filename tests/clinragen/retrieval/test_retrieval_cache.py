"""Answers that are kept: for their owner's eyes, and only for the code that made them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from clinragen.retrieval import retrieve as retrieving
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.retrieve import retrieve
from clinragen.retrieval.topics import Topic

SHOCK = Topic("shock", "Shock", "disease", "x", ("x",), "shock")


class Web:
    """A source that answers everything with one passage."""

    name = "web"

    def __init__(self) -> None:
        self.asked = 0

    def query(self, topic: Topic) -> dict[str, Any]:
        return {"words": topic.words}

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        self.asked += 1
        return [Passage("web", "1", "", "Shock.", "", "", "")]

    def describe(self) -> dict[str, Any]:
        return {}


def modes(folder: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]


@pytest.mark.parametrize("left", [False, True])
def test_the_folder_is_its_owner_s(tmp_path: Path, left: bool) -> None:
    cache = tmp_path / "base.retrieved"
    before = os.umask(0o022)
    try:
        if left:  # by a version that did not care
            cache.mkdir()
            (cache / "old.json").write_text("{}")
        retrieve([SHOCK], [Web()], per_topic=3, cache_dir=cache)
    finally:
        os.umask(before)
    assert modes(cache) == [0o700, *[0o600] * (2 if left else 1)]


def test_other_code_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web()
    for _ in range(2):
        retrieve([SHOCK], [web], per_topic=3, cache_dir=tmp_path)
    assert web.asked == 1
    monkeypatch.setattr(retrieving, "code_fingerprint", lambda module: "other")
    retrieve([SHOCK], [web], per_topic=3, cache_dir=tmp_path)
    assert web.asked == 2
