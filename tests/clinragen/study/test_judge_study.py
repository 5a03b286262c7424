"""A language model as judge, asked over HTTP: blinded, in two orders, under the governance of patient data."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import fails_with_one_line, in_process
from judge_server import JudgeServer, honest, judge_server, prefers_the_first, rationales_in
from study_folder import FALSE, SECRET, answers_of, plain_answer, values_of

from clinragen.llm.providers import LLMConfig
from clinragen.study.answers import read_answers, write_answers
from clinragen.study.folder import Study, read_study
from clinragen.study.judge import journal_of, judge_study
from clinragen.study.judge_config import JudgeConfig
from clinragen.study.judge_prompt import JudgePrompt
from clinragen.study.ratings import is_wrong, read_ratings
from clinragen.study.score import score_study
from modeling_clinragen.errors import GovernanceError, InputDataError, SettingsError


def config(server: JudgeServer, **settings: Any) -> JudgeConfig:
    return JudgeConfig(llm=LLMConfig(model_name="made-up", base_url=server.url, max_attempts=4), **settings)


def test_every_case_is_judged_in_two_orders_and_blinded(small: Study) -> None:
    with judge_server(honest) as server:
        done = in_process("study", "judge", small.folder, "--model-name", "made-up", "--base-url", server.url)
        assert done.returncode == 0, done.stderr
        assert "judge: 8 of 8 rationales, 8 in the second order; 0 answers asked again" in done.stdout
        questions = [body["messages"][1]["content"] for body in server.asked]
        assert len(questions) == 2 * 4
        for question in questions:
            assert not [word for word in ("teacher", "full", "shown", "made-up", "contradicted") if word in question]
            assert question.count(SECRET) == 1
        by_case: dict[str, list[Any]] = {}
        for question in questions:
            by_case.setdefault(question.split("# Rationale")[0], []).append(rationales_in(question))
        # Each case twice, the second time the other way round.
        assert all(len(orders) == 2 and orders[0] == orders[1][::-1] for orders in by_case.values())
        assert len(by_case) == 4
        schema = server.asked[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["rationales"]["items"]["additionalProperties"] is False
    path = small.answers / "judge.json"
    found = read_answers(path, small.asked)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert found.answers == found.again
    assert found.judge is not None
    assert found.judge["settings"]["model"] == "made-up"
    assert found.judge["services"] == [{"host": "127.0.0.1", "local": True, "acknowledgement": None}]
    for item, answer in found.answers.items():
        rationale = small.rationales[item]
        assert set(answer.wrong) <= set(range(len(rationale.verdicts)))
        false = rationale.source == "full:shown" and is_wrong(rationale).any()
        assert (answer.overall == "wrong") is bool(false)
        assert answer.omitted == (("shock",) if false else ())


def test_its_answers_stand_beside_the_raters(small: Study) -> None:
    for rater in small.raters:
        given = answers_of(
            small, rater, lambda _, one: plain_answer(small, wrong=tuple(is_wrong(one).nonzero()[0].tolist()))
        )
        write_answers(small.answers / f"{rater}.json", given, small.id)
    with judge_server(honest) as server:
        judge_study(small, config(server))
    scores = score_study(read_ratings(small))
    assert set(scores["raters"]) == set(small.raters)
    assert set(scores["judges"]) == {"judge"}
    assert scores["judges"]["judge"]["finished"] == 8
    assert values_of(scores, "sources", "full:shown", "people", "correctness") == 1.0
    assert values_of(scores, "sources", "full:shown", "judge", "correctness") == 0.5
    assert values_of(scores, "own_agreement", "judge", "correctness", "same") == 1.0
    assert values_of(scores, "checker", "judge", "contradicted_marked") == 0.5  # of two false sentences it sees one


def test_a_judge_that_goes_by_the_place_is_found_out(small: Study) -> None:
    with judge_server(prefers_the_first) as server:
        judge_study(small, config(server))
    scores = score_study(read_ratings(small))
    own = scores["own_agreement"]["judge"]
    assert values_of(own, "correctness", "same") == 0.0
    assert values_of(own, "correctness", "kappa") == -1.0


def test_a_busy_server_is_asked_again_and_nothing_is_paid_twice(small: Study) -> None:
    with judge_server(honest, script=[429, 500, 429]) as server:
        first = judge_study(small, config(server))
        assert (len(server.asked), server.refused) == (8, 3)
        assert judge_study(small, config(server)).answers == first.answers
        assert len(server.asked) == 8
    journal = journal_of(small)
    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    assert SECRET not in "".join(path.read_text() for path in journal.iterdir())


def test_a_server_that_stays_busy_is_one_line(small: Study) -> None:
    with judge_server(honest, script=[429] * 100) as server:
        done = in_process(
            *("study", "judge", small.folder, "--model-name", "made-up", "--base-url", server.url),
            *("--max-attempts", "2", "--concurrency", "2"),
        )
    fails_with_one_line(done, "no answer in 2 attempts", "too many requests")
    assert SECRET not in done.stderr
    assert not (small.answers / "judge.json").exists()


def bent(change: Callable[[dict[str, Any]], Any], *, always: bool = False) -> Callable[[list[dict[str, str]]], str]:
    """The honest judge, with something wrong in its first answer about each case, or in every answer."""

    def decide(messages: list[dict[str, str]]) -> str:
        text = honest(messages)
        if len(messages) > 2 and not always:
            return f"<think>{{}} Sorry.</think>Here it is:\n```json\n{text}\n```"
        content = json.loads(text)
        changed = change(content)
        return changed if isinstance(changed, str) else json.dumps(content)

    return decide


MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no JSON object": lambda content: f"I cannot say. {SECRET}",
    "not a list of objects": lambda content: "{}",
    "the numbers 1 to 2": lambda content: content["rationales"].pop(),
    "numbers": lambda content: content["rationales"][0].update(number=2),
    "is missing": lambda content: content["rationales"][0]["checks"].popitem(),
    "must be true or false": lambda content: content["rationales"][0]["checks"].update({"correctness.recorded": 3}),
    "overall must be one of": lambda content: content["rationales"][0].update(overall=SECRET),
    "wrong_sentences must be": lambda content: content["rationales"][0].update(wrong_sentences=[99]),
    "'wrong_sentences'": lambda content: content["rationales"][0].update(wrong_sentences="all"),
    "omissions must be": lambda content: content["rationales"][0].update(omissions=-1),
    "'omitted_diseases'": lambda content: content["rationales"][0].update(omitted_diseases=[SECRET]),
    "checks has an unknown": lambda content: content["rationales"][0]["checks"].update({SECRET: True}),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_answer_is_asked_for_again(fault: str, small: Study, caplog: pytest.LogCaptureFixture) -> None:
    with judge_server(bent(MALFORMED[fault])) as server:
        found = judge_study(small, config(server))
        complaints = [body["messages"][3]["content"] for body in server.asked if len(body["messages"]) > 2]
    assert len(found.answers) == len(found.again) == 8
    assert found.judge is not None
    assert found.judge["asked_again"] == len(complaints) == 8
    assert all(fault in one and SECRET not in one for one in complaints)
    assert caplog.text == ""


def test_what_stays_malformed_is_left_out_and_said(small: Study, caplog: pytest.LogCaptureFixture) -> None:
    def decide(messages: list[dict[str, str]]) -> str:
        return SECRET if FALSE.split(".")[0] in messages[1]["content"] else honest(messages)

    with judge_server(decide) as server:
        found = judge_study(small, config(server))
    assert 0 < len(found.answers) < 8
    assert found.judge is not None
    assert found.judge["unusable"] == found.judge["asked_again"] > 0
    assert "the answer was unusable twice (it has no JSON object)" in caplog.text
    assert SECRET not in caplog.text
    with (
        judge_server(lambda messages: "no") as server,
        pytest.raises(InputDataError, match="no answer that can be used"),
    ):
        # Another model: what the first one answered is in the journal.
        judge_study(small, JudgeConfig(llm=LLMConfig(model_name="another", base_url=server.url)))


def test_credentialed_notes_stay_on_this_machine(make: Callable[..., Path]) -> None:
    study = read_study(make(cases=2, repeats=0, raters=1, credentialed=True))
    remote = {"model_name": "made-up", "base_url": "http://judge.example/v1"}
    with pytest.raises(GovernanceError, match="stay on this machine"):
        judge_study(study, JudgeConfig(llm=LLMConfig(**remote)))
    statements = {"service_keeps_nothing": True, "service_trains_on_nothing": True}
    with pytest.raises(GovernanceError, match="not acknowledged of the service: nobody reads"):
        judge_study(study, JudgeConfig(llm=LLMConfig(**remote, **statements)))
    assert not (study.answers / "judge.json").exists()
    with judge_server(honest) as server:
        assert len(judge_study(study, config(server)).answers) == 4


def test_a_judge_has_a_name_of_its_own(small: Study) -> None:
    with judge_server(honest) as server:
        with pytest.raises(SettingsError, match="is a rater of this study"):
            judge_study(small, config(server, name="rater-1"))
        judge_study(small, config(server, name="judge-2"))
    assert (small.answers / "judge-2.json").exists()
    with pytest.raises(SettingsError, match="name: expected lower-case"):
        JudgeConfig(llm=LLMConfig(model_name="m", base_url="http://127.0.0.1:9/v1"), name="../x")


def test_long_series_are_thinned_and_the_prompt_says_so(small: Study) -> None:
    prompt = JudgePrompt(small.asked, small.diseases)
    variable = {"name": "heart rate", "unit": "bpm", "low": 60, "high": 100}
    hours = [float(hour) for hour in range(500)]
    series = [{**variable, "hours": hours, "values": [80.0] * 250 + [170.0] + [80.0] * 249}]
    text = prompt.messages({"note": "", "series": series}, [], reverse=False)[1].content
    assert text.count("hour ") == 60
    assert "hour 0: 80" in text
    assert "hour 499: 80" in text
    assert "60 of 500 readings, lowest 80, highest 170" in text
    assert "(There is no note.)" in text
