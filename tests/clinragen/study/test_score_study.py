"""Simulated raters of known reliability: the scores say what is known, and what they cannot say they say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from command_line import fails_with_one_line, in_process
from study_folder import SECRET, answers_of, edit_json, plain_answer, values_of

from clinragen.study.answers import Answer, RaterAnswers, write_answers
from clinragen.study.folder import Rationale, Study
from clinragen.study.ratings import Ratings, is_wrong, read_ratings
from clinragen.study.report import write_report
from clinragen.study.score import score_study
from modeling_clinragen.errors import InputDataError

RIGHT = 0.9
"""With this probability a simulated rater sees the truth of a statement, else its opposite."""
JUDGE = {"model": "made-up", "settings": {}}


class Simulation:
    """Raters who see one latent truth through noise.

    The truth of every statement is a fair coin, the same for a case's repeat. Whatever the checker contradicts is
    wrong; with flags a rater marks it with probability 0.9, without with 0.4.
    """

    def __init__(self, study: Study, seed: int = 0) -> None:
        self.study = study
        self.rng = np.random.default_rng(seed)
        pairs = sorted({(one.case, one.source) for one in study.rationales.values()})
        statements = len(study.criteria.item_keys)
        self.truth = {pair: self.rng.random(statements) < 0.5 for pair in pairs}
        self.verdict = {pair: int(self.rng.integers(3)) for pair in pairs}

    def answer(self, rationale: Rationale, *, flags: bool, right: float = RIGHT) -> Answer:
        truth = self.truth[rationale.case, rationale.source]
        seen = np.where(self.rng.random(truth.size) < right, truth, ~truth)
        found = is_wrong(rationale) & (self.rng.random(len(rationale.verdicts)) < (0.9 if flags else 0.4))
        overall = self.verdict[rationale.case, rationale.source]
        if self.rng.random() > right:
            overall = int(self.rng.integers(3))
        return Answer(
            dict(zip(self.study.criteria.item_keys, map(bool, seen), strict=True)),
            self.study.criteria.choices[overall],
            tuple(np.flatnonzero(found).tolist()),
            int(self.rng.poisson(2.0 if flags else 1.0)),
        )

    def rater(self, name: str) -> RaterAnswers:
        flagged = self.study.flagged[name]
        return answers_of(self.study, name, lambda _, one: self.answer(one, flags=one.shown in flagged))

    def judge(self, right: float = RIGHT) -> RaterAnswers:
        give: Callable[..., Answer] = lambda _, one: self.answer(one, flags=False, right=right)  # noqa: E731
        once, again = (answers_of(self.study, "judge", give, list(self.study.first_showings)) for _ in range(2))
        return RaterAnswers("judge", once.answers, again.answers, JUDGE)


@pytest.fixture(scope="module")
def simulated(large: Study) -> Ratings:
    simulation = Simulation(large)
    people = {name: simulation.rater(name) for name in large.raters}
    return Ratings(large, people, {"judge": simulation.judge()})


@pytest.fixture(scope="module")
def scores(simulated: Ratings) -> dict[str, Any]:
    return score_study(simulated)


def test_reliability_is_the_known_one(scores: dict[str, Any], large: Study) -> None:
    # Two raters agree with p² + (1-p)²; a fair coin agrees with 1/2. So alpha is (2p-1)², and so is the ICC of a sum
    # of independent statements: the variance of the truth over that of a rating.
    known = (2 * RIGHT - 1) ** 2
    found = scores["agreement"]
    keys = [one.key for one in large.criteria.criteria]
    assert found["raters"] == list(large.raters)
    for measure in ("icc_2_1", "alpha_nominal", "alpha_ordinal"):
        assert np.mean([values_of(found, key, measure) for key in keys]) == pytest.approx(known, abs=0.06)
        covered = [found[key][measure]["low"] <= known <= found[key][measure]["high"] for key in keys]
        assert sum(covered) >= 4
    of_mean = 4 * known / (1 + 3 * known)
    assert np.mean([values_of(found, key, "icc_2_k") for key in keys]) == pytest.approx(of_mean, abs=0.04)
    assert {found[key]["rationales"] for key in keys} == {60}


def test_a_rater_agrees_with_themselves_as_known(scores: dict[str, Any], large: Study) -> None:
    known = RIGHT**2 + (1 - RIGHT) ** 2
    for rater in (*large.raters, "judge"):
        found = scores["own_agreement"][rater]
        assert found["rationales"] == (60 if rater == "judge" else 20)
        same = np.mean([values_of(found, one.key, "same") for one in large.criteria.criteria])
        # Of 20 times 15 statements; four standard errors.
        assert same == pytest.approx(known, abs=4 * (known * (1 - known) / 300) ** 0.5)
        kappas = [values_of(found, one.key, "kappa") for one in large.criteria.criteria]
        assert np.mean(kappas) == pytest.approx(2 * known - 1, abs=0.15)


def test_a_judge_is_one_more_rater_and_in_no_human_mean(simulated: Ratings, large: Study) -> None:
    alone = score_study(Ratings(large, simulated.people, {}))
    worse = Simulation(large, seed=9).judge()  # another truth: at chance
    with_worse = score_study(Ratings(large, simulated.people, {"judge": worse}))
    for source in large.sources:
        assert with_worse["sources"][source]["people"] == alone["sources"][source]["people"]
    assert with_worse["agreement"] == alone["agreement"]
    good, bad = (one["judge"]["judge"] for one in (score_study(simulated), with_worse))
    keys = [one.key for one in large.criteria.criteria]
    for key in keys:
        among = values_of(good, key, "raters_among_themselves")
        assert values_of(good, key, "judge_with_raters") == pytest.approx(among, abs=0.15)
    assert abs(np.mean([values_of(bad, key, "judge_with_raters") for key in keys])) < 0.08
    assert alone["judge"] == {"because": "there are no answers of a judge; run `clinragen study judge`"}


def test_flags_change_what_they_are_known_to_change(scores: dict[str, Any]) -> None:
    found = scores["flags"]
    assert values_of(found, "contradicted_found", "with") == pytest.approx(0.9, abs=0.08)
    assert values_of(found, "contradicted_found", "without") == pytest.approx(0.4, abs=0.12)
    assert found["contradicted_found"]["difference"]["low"] > 0.3
    assert values_of(found, "omissions", "difference") == pytest.approx(1.0, abs=0.3)
    assert found["omissions"]["difference"]["low"] > 0
    assert values_of(found, "others_marked", "with") == 0.0
    assert found["rationales"] == {"with": 120, "without": 120}
    checker = scores["checker"]
    assert values_of(checker, "with_flags", "contradicted_marked") == values_of(found, "contradicted_found", "with")
    assert values_of(checker, "without_flags", "marked_contradicted") == 1.0
    assert values_of(checker, "with_flags", "kappa_sentences") > values_of(checker, "without_flags", "kappa_sentences")


def test_means_and_differences_are_those_of_the_answers(simulated: Ratings, large: Study) -> None:
    scores = score_study(simulated)
    criterion = large.criteria.criteria[0]
    keys = tuple(item.key for item in criterion.items)
    for source in large.sources:
        given = [
            answer.score(keys) / 3
            for one in simulated.people.values()
            for item, answer in one.answers.items()
            if large.rationales[item].source == source and not large.rationales[item].repeat
        ]
        assert values_of(scores, "sources", source, "people", "correctness") == pytest.approx(np.mean(given))
    one, other = large.sources
    difference = scores["differences"][f"{one} minus {other}"]["correctness"]
    means = [values_of(scores, "sources", source, "people", "correctness") for source in (one, other)]
    assert difference["value"] == pytest.approx(means[0] - means[1])
    assert difference["low"] < difference["value"] < difference["high"]
    whole = sum(values_of(scores, "sources", one, "people", f"overall_{choice}") for choice in large.criteria.choices)
    assert whole == pytest.approx(1)


def test_intervals_are_over_cases(large: Study) -> None:
    """Raters who copy each other add nothing: the interval stays as wide, however many there are."""
    simulation = Simulation(large)
    one = simulation.rater("rater-1")
    copies = {name: RaterAnswers(name, one.answers) for name in large.raters}
    wide = [
        score_study(Ratings(large, people, {}))["sources"]["teacher"]["people"]["soundness"]
        for people in ({"rater-1": one}, copies)
    ]
    assert wide[0] == pytest.approx(wide[1])


def test_one_rater_gets_means_and_a_reason_and_an_error_where_agreement_is_required(small: Study) -> None:
    write_answers(
        small.answers / "rater-1.json", answers_of(small, "rater-1", lambda *_: plain_answer(small)), small.id
    )
    done = in_process("study", "score", small.folder)
    assert done.returncode == 0, done.stderr
    assert "not answerable here: agreement, because agreement needs two raters, and 1 finished" in done.stdout
    report = (small.folder / "score" / "report.md").read_text()
    assert "Not answerable here, because agreement needs two raters" in report
    assert "The patients are synthetic" in report
    scores = json.loads((small.folder / "score" / "scores.json").read_text())
    assert scores["sources"]["teacher"]["people"]["correctness"]["value"] == 1.0
    assert {"question": "agreement", "because": "agreement needs two raters, and 1 finished a rationale"} in scores[
        "unanswerable"
    ]
    for question in ("agreement", "judge"):
        done = in_process("study", "score", small.folder, "--require", question)
        fails_with_one_line(done, f"{question} cannot be answered")
    fails_with_one_line(in_process("study", "score", small.folder, "--require", "truth"), "is not a question")


def test_raters_who_all_say_yes_have_no_measurable_agreement(small: Study) -> None:
    people = {name: answers_of(small, name, lambda *_: plain_answer(small)) for name in small.raters}
    scores = score_study(Ratings(small, people, {}))
    assert scores["agreement"]["correctness"]["icc_2_1"]["value"] is None
    questions = {one["question"]: one["because"] for one in scores["unanswerable"]}
    assert "could have differed" in questions["agreement, correctness"]
    json.dumps(scores, allow_nan=False)


def test_a_judge_alone_says_what_people_would_have_to(small: Study) -> None:
    scores = score_study(Ratings(small, {}, {"judge": Simulation(small).judge()}))
    assert scores["sources"]["teacher"]["people"]["correctness"]["value"] is None
    assert scores["sources"]["teacher"]["judge"]["correctness"]["value"] is not None
    assert {"agreement", "judge", "flags"} <= {one["question"] for one in scores["unanswerable"]}
    assert "Not answerable here, because no person finished a rationale." in write_report(scores, small.criteria)


def test_unfinished_answers_do_not_count(small: Study) -> None:
    items = list(small.first_showings)
    given = {item: plain_answer(small) for item in items[:3]} | {items[3]: Answer({"correctness.recorded": False})}
    scores = score_study(Ratings(small, {"rater-1": RaterAnswers("rater-1", given)}, {}))
    assert scores["raters"]["rater-1"] == {"finished": 3, "unfinished": 1, "of": len(small.rationales)}
    nobody = {"rater-1": RaterAnswers("rater-1", {items[3]: given[items[3]]})}
    with pytest.raises(InputDataError, match="nobody has finished"):
        Ratings(small, nobody, {})


def first_item(study: Study) -> str:
    return next(iter(study.rationales))


FAULTS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "answers of another study": lambda content, _: content.update(study="s00000000000"),
    "that the study does not have": lambda content, item: content["answers"].update(
        rffffffffff=content["answers"][item]
    ),
    "must be true or false": lambda content, item: content["answers"][item]["checks"].update(
        {"correctness.recorded": 5}
    ),
    "unknown statement": lambda content, item: content["answers"][item]["checks"].update({SECRET: True}),
    "overall must be one of wrong, partly, correct": lambda content, item: content["answers"][item].update(
        overall=SECRET
    ),
    "omissions must be a whole number from 0 to 50": lambda content, item: content["answers"][item].update(
        omissions=51
    ),
    "wrong_sentences must be different whole numbers": lambda content, item: content["answers"][item].update(
        wrong_sentences=[99]
    ),
    "wrong_sentences must be a list": lambda content, item: content["answers"][item].update(wrong_sentences=SECRET),
    "omitted_diseases must be different keys": lambda content, item: content["answers"][item].update(
        omitted_diseases=[SECRET]
    ),
    "comment must be a text of at most": lambda content, item: content["answers"][item].update(comment=SECRET * 99),
    "is not an answer": lambda content, item: content["answers"].update({item: [SECRET]}),
    "is not a file of answers": lambda content, _: content.pop("answers"),
    "another format": lambda content, _: content.update(format=2),
    "is of no rater of this study": lambda content, _: content.update(rater="rater-9"),
    "is not a name of lower-case letters": lambda content, _: content.update(rater="../../x"),
    "a judge has the name of a rater": lambda content, _: content.update(judge={}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_answers_that_cannot_be_are_one_line_without_their_content(message: str, small: Study) -> None:
    path = small.answers / "rater-1.json"
    write_answers(path, answers_of(small, "rater-1", lambda *_: plain_answer(small)), small.id)
    edit_json(path, lambda content: FAULTS[message](content, first_item(small)))
    with pytest.raises(InputDataError) as caught:
        read_ratings(small)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_and_duplicate_raters_are_one_line(small: Study) -> None:
    path = small.answers / "rater-1.json"
    write_answers(path, answers_of(small, "rater-1", lambda *_: plain_answer(small)), small.id)
    copy = small.folder.parent / "sent.json"
    copy.write_text(path.read_text())
    fails_with_one_line(in_process("study", "score", small.folder, "--answers", copy), "give each rater once")
    copy.write_text(path.read_text()[:100])
    fails_with_one_line(in_process("study", "score", small.folder, "--answers", copy), "is not readable JSON")
    fails_with_one_line(in_process("study", "score", small.folder.parent), "is not a study")
    edit_json(small.folder / "key.json", lambda content: content.update(study="other"))
    fails_with_one_line(in_process("study", "score", small.folder), "key of another study")
