"""The way from draft to result with a scripted writer: what is asked for, behind which text, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from claim_cases import CHECKING, VOCABULARY
from explained_patients import NOTE, PATIENTS, SLOW
from scripted_model import drafted

from clinragen.claims.sentences import Patient
from clinragen.verification import VerifiedRationale, Verifier, VerifyConfig
from clinragen.verification.writer import Ask, GoesOn, Next, Request, Writer
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.processing_clinragen import NO_DIAGNOSIS

HEART, PNEUMONIA, KIDNEY = (
    VOCABULARY.name_of_disease[key] for key in ("congestive_heart_failure", "pneumonia", "chronic_kidney_disease")
)
BOTH = PATIENTS["both"]
SHOCK = "Heart rate is high, in keeping with Shock."
EDEMA = f'"orthopnea" supports {HEART}.'
COUGH = f'"pneumonia" supports {PNEUMONIA}.'
VAGUE = "The patient looks ill."
Answer = Callable[[Sequence[Request]], Sequence[str]]


class Script:
    """What is drafted, what is answered to each round of requests, and the requests."""

    def __init__(self, verifier: Callable[..., Verifier], monkeypatch: pytest.MonkeyPatch) -> None:
        self._verifier, self._monkeypatch = verifier, monkeypatch
        self.rounds: list[list[Request]] = []

    def run(
        self, drafts: Sequence[str], answers: Sequence[Sequence[str]] = (), patient: Patient = BOTH, **settings: Any
    ) -> list[VerifiedRationale]:
        left: Iterator[Sequence[str]] = iter(answers)

        def sentences(_: Writer, requests: Sequence[Request]) -> list[str]:
            if requests:
                self.rounds.append(list(requests))
            given = list(next(left, ())) if requests else []
            return (given + [""] * len(requests))[: len(requests)]

        self._monkeypatch.setattr(Writer, "drafts", lambda *_: list(drafts))
        self._monkeypatch.setattr(Writer, "sentences", sentences)
        return self._verifier(**settings).generate([patient] * len(drafts))


@pytest.fixture
def script(make_model: Any, make_processor: Any, monkeypatch: pytest.MonkeyPatch) -> Script:
    def build(**settings: Any) -> Verifier:
        return Verifier(make_model(), make_processor(), CHECKING, VerifyConfig(**settings))

    return Script(build, monkeypatch)


def texts(sentences: Sequence[Any]) -> list[str]:
    return [sentence.text for sentence in sentences]


def test_a_refused_sentence_is_asked_for_again_behind_the_accepted_text(script: Script) -> None:
    draft = drafted(["Shock", HEART], f"{SHOCK} {VAGUE} {EDEMA}")
    found = script.run([draft], [["", ""], [" ", " Glucose was not measured. And so"]], tries=2, complete=False)[0]
    assert texts(found.sentences) == [SHOCK, "Glucose was not measured.", EDEMA]
    assert (found.rewritten, found.asked, found.withheld) == (1, 0, ())
    given = drafted(["Shock", HEART], SHOCK)
    assert [[request.next.given for request in requests] for requests in script.rounds] == [[given] * 2] * 2
    # No draw is asked for twice.
    assert [request.next.draw for requests in script.rounds for request in requests] == [0, 1, 2, 3]
    assert {request.next.ask for requests in script.rounds for request in requests} == {None}


@pytest.mark.parametrize("tries", [0, 1, 3])
def test_a_sentence_is_withheld_after_so_many_tries(tries: int, script: Script) -> None:
    draft = drafted(["Shock"], f"{VAGUE} {SHOCK} Heart rate is high in every reading.")
    found = script.run([draft], candidates=3, tries=tries, complete=False)[0]
    assert texts(found.sentences) == [SHOCK]
    assert texts(found.withheld) == [VAGUE, "Heart rate is high in every reading."]
    # Each refused sentence has its own.
    assert [len(requests) for requests in script.rounds] == [3] * (2 * tries)


def test_patients_are_asked_for_side_by_side(script: Script) -> None:
    drafts = [drafted(["Shock"], f"{VAGUE} {SHOCK}"), drafted(["Shock"], SHOCK), drafted(["Shock"], VAGUE), "nothing"]
    found = script.run(drafts, [["", "", " Heart rate is high.", ""]], tries=2, complete=False)
    assert [texts(one.sentences) for one in found] == [[SHOCK], [SHOCK], ["Heart rate is high."], []]
    assert [one.problem is None for one in found] == [True, True, True, False]
    assert [sorted({request.patient for request in requests}) for requests in script.rounds] == [[0, 2], [0]]


def test_what_is_missing_is_asked_for_with_its_own_evidence(script: Script) -> None:
    draft = drafted(["Shock", HEART, PNEUMONIA], "Glucose was not measured.")
    answers = [[f' "pneumonia" supports {PNEUMONIA}.', f" {EDEMA} More."]]
    found = script.run([draft], answers, tries=0)[0]
    requests = script.rounds[0]
    asks = [request.next.ask or Ask((), "") for request in requests]
    asked = {(ask.disease, ask.begins == (' "',)): request for ask, request in zip(asks, requests, strict=True)}
    assert {(HEART, True), (PNEUMONIA, True), ("Shock", False)} <= set(asked)
    for request in requests:
        assert request.next.given == draft
        assert request.next.draw is None
    # A sign begins with its variable and with what it says of it.
    assert {" Heart rate is high", " Systolic blood pressure is low"} <= {
        begin for ask in asks if ask.disease == "Shock" for begin in ask.begins
    }
    # The first answer went to another gap than the one that it fills; a sentence fills only the gap it was asked for.
    order = [(ask.disease, ask.begins) for ask in asks]
    filled = {name for (name, _), text in zip(order, answers[0], strict=False) if name and name in text}
    assert {claim.disease for one in found.sentences for claim in one.claims if claim.disease} == {
        VOCABULARY.key_of_disease[name] for name in filled
    }
    assert found.asked == len(filled)


def test_a_gap_that_stays_open_is_asked_for_again_by_drawing(script: Script) -> None:
    only_note = Patient(LabSeries.empty(VOCABULARY), NOTE)
    draft = drafted([HEART], "Glucose was not measured.")
    found = script.run([draft], [[""], [f" {EDEMA}"]], only_note, tries=3)[0]
    assert texts(found.sentences) == ["Glucose was not measured.", EDEMA]
    # It is closed then.
    assert [[request.next.draw for request in requests] for requests in script.rounds] == [[None], [0]]


def test_an_empty_rationale_is_completed_from_its_beginning(script: Script) -> None:
    found = script.run([drafted([HEART], "")], [[f" {EDEMA}"]], tries=0)
    assert [texts(one.sentences) for one in found] == [[EDEMA]]
    assert script.rounds[0][0].next.given == drafted([HEART], "").strip()


def test_nothing_is_asked_for_where_nothing_is_listed_or_known(script: Script) -> None:
    empty = Patient(SLOW, None)
    script.run([drafted([NO_DIAGNOSIS], "Glucose was not measured.")], patient=empty)
    script.run([drafted([PNEUMONIA], "Glucose was not measured.")], patient=empty)
    assert script.rounds == []


def test_sentences_that_end_with_a_bracket_are_taken_apart_like_all_others(script: Script) -> None:
    # Behind the withheld sentence the same disease is named again, which is allowed in another sentence only.
    first = "Heart rate is high, in keeping with Shock (pH is low.)"
    last = "Heart rate is high, peaking near 131, in keeping with Shock."
    draft = drafted(["Shock", KIDNEY], f"{first} Temperature is low. {last}")
    found = script.run([draft], tries=0)[0]
    assert texts(found.sentences)[:2] == [first, last]
    assert script.rounds[0][0].next.given == drafted(["Shock", KIDNEY], f"{first} {last}")


class Going:
    """Drafts, and what is written behind each text that goes on."""

    def __init__(self, verifier: Callable[..., Verifier], monkeypatch: pytest.MonkeyPatch) -> None:
        self._verifier, self._monkeypatch = verifier, monkeypatch
        self.asked: list[Next] = []

    def run(self, draft: str, answers: Sequence[str], patient: Patient = BOTH, **settings: Any) -> VerifiedRationale:
        def drafts(_: Writer, groundings: Sequence[Any], readings: Sequence[Any], goes_on: GoesOn) -> list[str]:
            left, text = iter(answers), draft
            while (following := goes_on(0, text)) is not None:
                self.asked.append(following)
                text = following.given + next(left, "")
            return [text]

        self._monkeypatch.setattr(Writer, "drafts", drafts)
        self._monkeypatch.setattr(Writer, "sentences", lambda _, requests: [""] * len(requests))
        return self._verifier(**settings).generate([patient])[0]


@pytest.fixture
def going(make_model: Any, make_processor: Any, monkeypatch: pytest.MonkeyPatch) -> Going:
    def build(**settings: Any) -> Verifier:
        return Verifier(make_model(), make_processor(), CHECKING, VerifyConfig(**settings))

    return Going(build, monkeypatch)


def test_a_text_whose_last_sentence_is_refused_goes_on_behind_what_holds(going: Going) -> None:
    draft = drafted(["Shock", HEART], f"{SHOCK} {EDEMA} {VAGUE}")
    found = going.run(draft, [" Heart rate is low.", " Glucose was not measured."], tries=2, complete=False)
    assert texts(found.sentences) == [SHOCK, EDEMA, "Glucose was not measured."]
    assert (found.rewritten, found.withheld, found.draft) == (1, (), draft)
    given = drafted(["Shock", HEART], f"{SHOCK} {EDEMA}")
    assert going.asked == [Next(given, 0), Next(given, 1)]


def test_a_text_goes_on_with_one_piece_of_missing_evidence_after_the_other(going: Going) -> None:
    draft = drafted([HEART, PNEUMONIA], "Glucose was not measured.")
    only_note = Patient(LabSeries.empty(VOCABULARY), NOTE)
    found = going.run(draft, [f" {COUGH}", f" {COUGH}", f" {EDEMA}"], only_note, tries=1)
    assert texts(found.sentences) == ["Glucose was not measured.", COUGH, EDEMA]
    assert found.asked == 2
    # The first answer is not what was asked for, so it is taken back.
    grown = f"{draft} {COUGH}"
    asks = [(one.given, one.draw, one.ask.disease if one.ask else None) for one in going.asked]
    assert asks == [(draft, None, HEART), (draft, None, PNEUMONIA), (grown, 0, HEART)]


def test_a_text_with_a_refused_sentence_in_its_middle_does_not_go_on(going: Going) -> None:
    found = going.run(drafted(["Shock"], f"{VAGUE} {SHOCK}"), [], tries=0)
    assert going.asked == []
    assert texts(found.sentences) == [SHOCK]
    assert texts(found.withheld) == [VAGUE]
