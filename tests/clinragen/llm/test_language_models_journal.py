"""The journal of answers: complete lines stay, an incomplete one is removed, and damage is reported."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinragen.llm.journal import Journal, read_journal
from clinragen.llm.types import Answer, Message, Request
from modeling_clinragen.errors import InputDataError

REQUEST = Request((Message("user", "a note"),), 10, key="r")
ANSWERS = {f"{number:04d}": Answer(f"Häufig: “{number}”\n", "stop", number, None, "m") for number in range(5)}


def keep(journal: Journal, answers: dict[str, Answer]) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(journal.keep(name, REQUEST, answer) for name, answer in answers.items()))

    asyncio.run(all_at_once())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A journal with ANSWERS."""
    with Journal(tmp_path / "journal") as journal:
        keep(journal, ANSWERS)
    return journal.path


def known(path: Path) -> dict[str, Answer | None]:
    with Journal(path.parent) as journal:
        return {name: journal.find(name) for name in ANSWERS}


def test_answers_come_back_and_are_their_owners_alone(written: Path) -> None:
    assert known(written) == ANSWERS
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    assert "a note" not in written.read_text()


def test_an_answer_is_on_the_disk_before_anybody_has_it(tmp_path: Path) -> None:
    async def one_after_another(journal: Journal) -> None:
        for count, (name, answer) in enumerate(ANSWERS.items(), 1):
            await journal.keep(name, REQUEST, answer)
            assert len(read_journal(journal.path)[0]) == count

    with Journal(tmp_path) as journal:
        asyncio.run(one_after_another(journal))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_torn_anywhere_every_whole_line_is_kept_and_writing_goes_on(written: Path, share: float) -> None:
    content = written.read_bytes()
    torn = content[: round(share * len(content))]
    written.write_bytes(torn)
    whole = torn.count(b"\n")
    kept = dict(list(ANSWERS.items())[:whole])
    found = known(written)
    assert {name: answer for name, answer in found.items() if answer is not None} == kept
    assert written.read_bytes() == b"".join(content.splitlines(keepends=True)[:whole])
    with Journal(written.parent) as journal:
        keep(journal, {name: answer for name, answer in ANSWERS.items() if name not in kept})
    assert known(written) == ANSWERS
    written.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [b"\0" * 20, b"{}", b'{"fingerprint": "x", "answer": {"text": "secret"}}', b'"secret"', b"", b"\xff"]
)
def test_other_damage_is_reported_with_its_line_and_nothing_else(written: Path, damage: bytes) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    lines[2] = damage + b"\n"
    written.write_bytes(b"".join(lines))
    with (
        pytest.raises(InputDataError, match=r"answers\.jsonl: line 3 is damaged; remove") as caught,
        Journal(written.parent),
    ):
        pass
    assert "secret" not in repr((caught.value, caught.value.__cause__))
    written.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert sum(answer is not None for answer in known(written).values()) == 4


def test_the_journals_of_other_shards_are_known_and_left_alone(written: Path) -> None:
    other = Answer("other", "stop", 1, 1, "m")
    with Journal(written.parent, "shard-2") as journal:
        assert journal.find("0003") == ANSWERS["0003"]
        keep(journal, {"other": other})
    with written.open("ab") as stream:
        stream.write(b'{"being written')
    before = written.read_bytes()
    with Journal(written.parent, "shard-3") as journal:
        assert len(journal) == 6
        assert journal.find("other") == other
    assert written.read_bytes() == before


def test_a_second_writer_waits_for_the_first(written: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with Journal(written.parent) as journal:
            assert journal.find("late") is not None
            entered.set()

    with Journal(written.parent) as journal:
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.3)
        keep(journal, {"late": ANSWERS["0000"]})
    assert entered.wait(5)
    waiting.join()


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk takes ten more bytes."""
    write = os.write

    def little(descriptor: int, data: memoryview) -> int:
        if len(data) <= 10:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", little)
        yield


def test_a_full_disk_fails_every_caller_and_loses_nothing_that_was_kept(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def several(journal: Journal) -> list[object]:
        more = (journal.keep(f"more {number}", REQUEST, ANSWERS["0000"]) for number in range(8))
        return await asyncio.gather(*more, return_exceptions=True)

    def write_on() -> None:
        with Journal(written.parent) as journal:
            with full_disk(monkeypatch):
                outcomes = asyncio.run(several(journal))
            assert {type(outcome) for outcome in outcomes} == {InputDataError}
            assert journal.find("more 0") is None
            keep(journal, {"after": ANSWERS["0000"]})

    with pytest.raises(InputDataError, match="disk is full"):
        write_on()
    assert known(written) == ANSWERS


def test_what_cannot_be_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    (tmp_path / "folder" / "odd.jsonl").mkdir(parents=True)
    for name, problem in (("taken", "is a file"), ("folder", r"odd\.jsonl: cannot be read")):
        with pytest.raises(InputDataError, match=problem), Journal(tmp_path / name):
            pass
