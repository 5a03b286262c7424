"""Studies are drawn by strata, blinded, laid out for each rater, and made only where nothing is lost."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fails_with_one_line, in_process
from hypothesis import given
from hypothesis import strategies as st
from study_folder import SECRET, edit_json, write_study_inputs

from clinragen.study.config import StudyConfig
from clinragen.study.criteria import parse_criteria, shipped_criteria
from clinragen.study.design import make_design
from clinragen.study.draw import Candidate, draw_cases, shares
from clinragen.study.folder import read_study
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

PAPERS = ["correctness", "readability", "soundness", "consistency", "persuasiveness"]


@pytest.fixture(scope="module")
def inputs(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_study_inputs(tmp_path_factory.mktemp("inputs"), vocabulary)


@pytest.fixture(scope="module")
def made(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made") / "study"
    done = in_process(
        *words(inputs, output), "--source", "full:shown", "--source", "full:written", "--source", "teacher"
    )
    assert done.returncode == 0, done.stderr
    return output


def words(inputs: tuple[Path, Path], output: Path, **options: Any) -> list[str]:
    given = {"cases": 6, "repeats": 2, "raters": 3, **options}
    return [
        *("study", "make", "--cohort", str(inputs[0]), "--evaluation", str(inputs[1]), "--output", str(output)),
        *(word for name, value in given.items() for word in (f"--{name}", str(value))),
    ]


def form(study: Path, rater: str = "rater-1") -> dict[str, Any]:
    return json.loads((study / "raters" / rater / "cases.json").read_text())


def test_the_criteria_are_the_papers() -> None:
    criteria = shipped_criteria()
    assert [one.key for one in criteria.criteria] == PAPERS
    assert all(len(one.items) >= 3 for one in criteria.criteria)
    assert criteria.choices == ["wrong", "partly", "correct"]
    assert parse_criteria(criteria.content()) == criteria


def test_a_rater_gets_every_rationale_and_nothing_of_its_source(made: Path) -> None:
    study = read_study(made)
    assert len(study.first_showings) == 6 * 3
    assert len(study.rationales) == (6 + 2) * 3
    orders = []
    for rater in study.raters:
        folder = made / "raters" / rater
        assert {path.name for path in folder.iterdir()} == {
            "page.html",
            "answers.csv",
            "cases.json",
            "provenance.json",
        }
        items = [one["item"] for case in form(made, rater)["cases"] for one in case["rationales"]]
        assert sorted(items) == sorted(study.rationales)
        orders.append(items)
        for path in folder.iterdir():
            text = path.read_text()
            assert not [word for word in ("full:", ":written", '"teacher"', "made-up-", '"repeat"') if word in text]
        # Where the source's rationale stands says nothing about whose it is.
        places = Counter(
            (study.rationales[one["item"]].source, place)
            for case in form(made, rater)["cases"]
            for place, one in enumerate(case["rationales"])
        )
        assert max(places.values()) < 8
    assert len({tuple(order) for order in orders}) == 3
    assert "page.html" not in {path.name for path in made.iterdir()}


def test_the_texts_are_those_of_their_sources(made: Path) -> None:
    study = read_study(made)
    for case in form(made)["cases"]:
        for one in case["rationales"]:
            text = " ".join(sentence["text"] for sentence in one["sentences"])
            source = study.rationales[one["item"]].source
            if source == "teacher":
                assert text == '"fever and chills" was reported. Heart rate is high in most readings.'
            else:
                assert text.endswith("Temperature is low.") is (source == "full:written")
            assert len(one["sentences"]) == len(study.rationales[one["item"]].verdicts)
            assert one["listed"] == ["Shock"] if source == "full:written" else one["listed"] != ["Shock"]


def test_flags_are_on_half_of_the_cases_and_balanced_between_raters(made: Path) -> None:
    study = read_study(made)
    seen: dict[str, list[bool]] = {}
    for rater in study.raters:
        cases = form(made, rater)["cases"]
        for case in cases:
            flagged = {"flag" in sentence for one in case["rationales"] for sentence in one["sentences"]}
            assert flagged == {case["flags"]} == {case["case"] in study.flagged[rater]}
            seen.setdefault(case["case"], []).append(case["flags"])
        first = [case for case in cases if not study.rationales[case["rationales"][0]["item"]].repeat]
        assert sum(case["flags"] for case in first) == 3
    # Of each pair of raters one sees the flags of a case.
    assert all(flags[0] is not flags[1] for flags in seen.values())


def test_a_repeat_has_the_condition_of_its_first_showing_and_comes_later(made: Path) -> None:
    study = read_study(made)
    assert len(study.repeats) == 2 * 3
    for rater in study.raters:
        place = {one["item"]: (number, case) for number, case in enumerate(form(made, rater)["cases"])
                 for one in case["rationales"]}  # fmt: skip
        for first, second in study.repeats.items():
            (before, case), (after, again) = place[first], place[second]
            assert before < after
            assert case["flags"] is again["flags"]
            assert case["note"] == again["note"]
            assert case["case"] != again["case"]


def test_the_same_seed_makes_the_same_study(made: Path, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    sources = ("--source", "full:shown", "--source", "full:written", "--source", "teacher")
    for name, seed in (("same", 0), ("other", 1)):
        assert in_process(*words(inputs, tmp_path / name, seed=seed), *sources).returncode == 0
    assert read_study(tmp_path / "same").id == read_study(made).id
    assert (tmp_path / "same" / "key.json").read_bytes() == (made / "key.json").read_bytes()
    assert read_study(tmp_path / "other").id != read_study(made).id


def test_several_evaluations_are_told_apart_by_their_folders(
    inputs: tuple[Path, Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    second = shutil.copytree(inputs[1], tmp_path / "second")
    sources = ("evaluation/full:shown", "second/full:written")
    options = [word for name in sources for word in ("--source", name)]
    done = in_process(*words(inputs, tmp_path / "study"), "--evaluation", str(second), *options)
    assert done.returncode == 0, done.stderr
    assert read_study(tmp_path / "study").sources == sources
    copy = shutil.copytree(second, tmp_path / "other" / "second")
    done = in_process(
        *words(inputs, tmp_path / "no"), "--evaluation", str(second), "--evaluation", str(copy), *options
    )
    fails_with_one_line(done, "two evaluations are called 'second'")


def test_a_study_of_a_whole_run(tiny_run: Path, tmp_path: Path) -> None:
    """What a trained model wrote, and what the evaluation saved of it, can be rated."""
    run = (tiny_run / "rationales", tiny_run / "evaluation")
    done = in_process(*words(run, tmp_path / "study", cases=3, repeats=1), "--knowledge", str(tiny_run / "knowledge"))
    assert done.returncode == 0, done.stderr
    study = read_study(tmp_path / "study")
    assert len(study.rationales) == (3 + 1) * 2
    assert any("synthetic" in notice for notice in study.notices)
    shown = json.loads((tiny_run / "evaluation" / "predictions.json").read_text())["shown"]["full"]
    for case in form(tmp_path / "study")["cases"]:
        for one in case["rationales"]:
            if study.rationales[one["item"]].source == "full:shown":
                assert " ".join(sentence["text"] for sentence in one["sentences"]) in shown


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.booleans()), st.integers(1, 50), min_size=1), st.data())
def test_shares_are_proportional_and_leave_no_stratum_out(sizes: dict[tuple[int, bool], int], data: Any) -> None:
    total = sum(sizes.values())
    wanted = data.draw(st.integers(1, total))
    found = shares(sizes, wanted)
    assert sum(found.values()) == wanted
    assert all(0 <= found[name] <= sizes[name] for name in sizes)
    if wanted >= len(sizes):
        assert min(found.values()) >= 1
    assert shares(sizes, total) == sizes


def test_rare_diseases_are_drawn() -> None:
    rng = np.random.default_rng(0)
    common = [Candidate(f"c{number}", number, ("a", "b"), False) for number in range(200)]
    rare = [Candidate(f"r{number}", 1000 + number, (f"d{number}", "a"), False) for number in range(5)]
    drawn = draw_cases([*common, *rare], 10, rng)
    assert {one.example for one in rare} <= {one.example for one in drawn}
    twice = [Candidate(f"t{number}", number // 3, (), False) for number in range(9)]
    assert len({one.subject for one in draw_cases(twice, 3, rng)}) == 3
    with pytest.raises(SettingsError, match="only 3 patients"):
        draw_cases(twice, 4, rng)


@given(cases=st.integers(1, 9), raters=st.integers(1, 4), seed=st.integers(0, 99), data=st.data())
def test_every_design_is_complete(cases: int, raters: int, seed: int, data: Any) -> None:
    repeats = data.draw(st.integers(0, cases))
    config = StudyConfig(cases=cases, repeats=repeats, raters=raters, seed=seed)
    design = make_design(config, np.random.default_rng(seed))
    names = [one.name for one in design.entries] + [item for one in design.entries for item in one.items]
    assert len(set(names)) == len(names) == (cases + repeats) * 3
    for made in design.forms:
        order = [place for place, _ in made.order]
        assert sorted(order) == list(range(cases + repeats))
        flagged = [entry.case for entry in design.entries if entry.name in made.flagged and not entry.repeat]
        assert len(flagged) in (cases // 2, -(-cases // 2))
        for place, entry in enumerate(design.entries):
            if entry.repeat:
                assert order.index(entry.case) < order.index(place)
                assert (entry.name in made.flagged) is (design.entries[entry.case].name in made.flagged)


def test_a_study_of_credentialed_data_is_private_and_says_so(vocabulary: Vocabulary, tmp_path: Path) -> None:
    inputs = write_study_inputs(tmp_path, vocabulary, credentialed=True, synthetic=False)
    assert in_process(*words(inputs, tmp_path / "study")).returncode == 0
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "study").rglob("*") if path.is_file()}
    folders = [tmp_path / "study", *(path for path in (tmp_path / "study").rglob("*") if path.is_dir())]
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    for path in (tmp_path / "study").rglob("provenance.json"):
        provenance = json.loads(path.read_text())
        assert provenance["credentialed"] is True
        assert provenance["steps"][-1]["step"] == "study"


def test_nothing_is_replaced_and_no_output_is_written_into(
    made: Path, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    (made / "answers" / "rater-1.json").write_text("{}")
    fails_with_one_line(in_process(*words(inputs, made)), "is there already", "another output folder")
    assert (made / "answers" / "rater-1.json").read_text() == "{}"
    (made / "answers" / "rater-1.json").unlink()
    fails_with_one_line(in_process(*words(inputs, made / "second")), "which is another output")
    fails_with_one_line(in_process(*words(inputs, inputs[0] / "study")), "overlaps with the input")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "is not readable JSON": lambda path: path.write_text("{"),
    "has no predictions": lambda path: edit_json(path, lambda content: content.update(example_id=[], rows=[])),
    "are about other test examples": lambda path: edit_json(
        path, lambda content: content["example_id"].__setitem__(0, SECRET)
    ),
    "are not the predictions of an evaluation": lambda path: path.write_text("[1]"),
    "is damaged": lambda path: edit_json(path, lambda content: content["shown"]["full"].pop()),
    "earlier version": lambda path: edit_json(path, lambda content: content.pop("format")),
    "no rationale of this source": lambda path: edit_json(
        path, lambda content: content["shown"].update(full=[None] * 12)
    ),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_unusable_predictions_are_one_line(message: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    inputs = write_study_inputs(tmp_path, vocabulary)
    DAMAGES[message](inputs[1] / "predictions.json")
    done = in_process(*words(inputs, tmp_path / "study"))
    fails_with_one_line(done, message)
    assert SECRET not in done.stderr
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "prevalence"], "no rationales of 'prevalence'"),
        (["--source", "full:loud"], "neither :shown nor :written"),
        (["--source", "other/full"], "of no evaluation"),
        (["--cases", "13", "--repeats", "1"], "only 12 patients"),
        (["--cases", "2", "--repeats", "3"], "repeats"),
        (["--raters", "0"], "--raters"),
    ],
)
def test_a_study_that_cannot_be_is_one_line(
    options: list[str], message: str, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    done = in_process(*words(inputs, tmp_path / "study")[:8], *options)
    fails_with_one_line(done, message)
