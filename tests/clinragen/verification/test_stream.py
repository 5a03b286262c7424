"""A rationale while it is written: what is certain comes at once and stays, and the end is the whole result."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from claim_cases import CHECKING, VOCABULARY
from explained_patients import PATIENTS
from scripted_model import drafted

from clinragen.verification import Verifier, VerifyConfig
from clinragen.verification.stream import stream_verified
from clinragen.verification.writer import Request, Writer

HEART, PNEUMONIA = (VOCABULARY.name_of_disease[key] for key in ("congestive_heart_failure", "pneumonia"))
EDEMA = f'"orthopnea" supports {HEART}.'
COUGH = f'"pneumonia" supports {PNEUMONIA}.'
FALSE = "Heart rate is low."
BOTH = PATIENTS["both"]


@pytest.fixture
def scripted(make_model: Any, make_processor: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verifier]:
    """A verifier whose draft and further sentences are given."""

    def build(draft: str, sentence: Callable[[], str] = lambda: "") -> Verifier:
        def sentences(_: Writer, requests: Sequence[Request]) -> list[str]:
            return [sentence() for _ in requests]

        monkeypatch.setattr(Writer, "drafts", lambda *_: [draft])
        monkeypatch.setattr(Writer, "sentences", sentences)
        return Verifier(make_model(), make_processor(), CHECKING, VerifyConfig(tries=1, candidates=1))

    return build


def test_what_is_yielded_stays_and_the_last_part_is_the_result(scripted: Callable[..., Verifier]) -> None:
    verifier = scripted(drafted([PNEUMONIA, HEART], f"{EDEMA} {FALSE} {COUGH}"))
    parts = list(stream_verified(verifier, BOTH))
    assert parts[-1] == verifier.generate([BOTH])[0]
    assert parts[0].sentences == ()
    assert [sentence.text for sentence in parts[1].sentences] == [EDEMA]
    assert [sentence.text for sentence in parts[-1].sentences][:2] == [EDEMA, COUGH]
    for before, after in itertools.pairwise(parts):
        assert after.sentences[: len(before.sentences)] == before.sentences
        assert after.withheld[: len(before.withheld)] == before.withheld
    # Nothing that is refused is ever among what is shown.
    assert all(FALSE not in part.rationale for part in parts)


def test_of_a_malformed_draft_nothing_is_shown(scripted: Callable[..., Verifier]) -> None:
    begun, last = stream_verified(scripted("nothing of the kind"), BOTH)
    assert last.problem is not None
    assert begun.sentences == last.sentences == ()


def test_whoever_gives_up_frees_the_model(scripted: Callable[..., Verifier]) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def wait() -> str:
        writing.set()
        assert go_on.wait(30)
        return COUGH

    verifier = scripted(drafted([PNEUMONIA, HEART], f"{EDEMA} {FALSE}"), wait)
    parts = stream_verified(verifier, BOTH)
    assert next(parts).sentences == ()
    assert [sentence.text for sentence in next(parts).sentences] == [EDEMA]
    assert writing.wait(30)
    (thread,) = (one for one in threading.enumerate() if one.name.startswith("clinragen-stream"))
    parts.close()
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()
    # The next patient is not kept waiting, and gets an answer of its own.
    assert COUGH in verifier.generate([BOTH])[0].rationale


def test_an_error_of_the_writing_reaches_whoever_waits(scripted: Callable[..., Verifier]) -> None:
    def fail() -> str:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(stream_verified(scripted(drafted([PNEUMONIA, HEART], f"{EDEMA} {FALSE}"), fail), BOTH))


def test_one_writer_writes_for_one_caller_at_a_time(
    scripted: Callable[..., Verifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most = [], []

    def sentence() -> str:
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        return ""

    verifier = scripted(drafted([PNEUMONIA, HEART], FALSE), sentence)
    streams = [threading.Thread(target=lambda: list(stream_verified(verifier, BOTH))) for _ in range(3)]
    for one in streams:
        one.start()
    for one in streams:
        one.join(30)
    assert set(most) == {1}
