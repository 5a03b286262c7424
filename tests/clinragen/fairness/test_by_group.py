"""Scores by group: against scikit-learn on each group, with planted and with absent differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from clinragen.fairness.by_group import compare_groups, decisions_by_example
from clinragen.fairness.members import NOTE_LENGTH, TERCILES, Group, groups_of
from clinragen.fairness.report import report_text
from dataset_builder.contract.groups import KINDS
from modeling_clinragen.errors import InputDataError


def drawn(examples: int, seed: int, error: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((examples, 6)) < 0.3
    wrong = rng.random((examples, 6)) < np.reshape(error, (-1, 1))
    return labels, labels ^ wrong


def halves(examples: int, seed: int = 0) -> list[Group]:
    members = np.random.default_rng(seed).random(examples) < 0.5
    return [Group("sex", "F", members, ~members), Group("sex", "M", ~members, members)]


@given(seed=st.integers(0, 2**32 - 1), examples=st.integers(12, 60))
@settings(deadline=None, max_examples=20)
def test_values_are_those_of_the_group_alone(seed: int, examples: int) -> None:
    labels, predictions = drawn(examples, seed, 0.2)
    groups = halves(examples, seed)
    found = compare_groups(groups, decisions_by_example(labels, predictions), range(examples), least=2)
    values = {(entry["group"], entry["score"]): entry for entry in found}
    for group in groups:
        for name, score in (("micro_f1", f1_score), ("recall", recall_score), ("precision", precision_score)):
            value = values[group.name, name]["value"]
            if value is not None:
                expected = score(labels[group.members], predictions[group.members], average="micro", zero_division=0)
                assert value["value"] == pytest.approx(expected)
    first, second = (values[name, "micro_f1"] for name in ("F", "M"))
    if first["difference"] is not None:
        expected = first["value"]["value"] - second["value"]["value"]
        assert first["difference"]["value"] == pytest.approx(expected)
    assert second["difference"] is None
    assert second["why"] == "it is the comparison of F"


def test_a_planted_difference_is_found() -> None:
    groups = halves(600)
    labels, predictions = drawn(600, 1, np.where(groups[0].members, 0.3, 0.1))
    found = compare_groups(groups, decisions_by_example(labels, predictions), range(600), least=30)
    entry = next(one for one in found if (one["group"], one["score"]) == ("F", "micro_f1"))
    assert entry["difference"]["high"] < 0
    assert entry["p_holm"] < 0.001
    assert entry["p_holm"] >= entry["p"]
    assert "are below 0.05" in report_text(found, [])


def test_without_a_difference_a_whole_table_is_rarely_alarmed() -> None:
    alarms = 0
    for seed in range(60):
        groups = [group for kind in range(3) for group in halves(300, 100 * seed + kind)]
        labels, predictions = drawn(300, seed, 0.2)
        found = compare_groups(groups, decisions_by_example(labels, predictions), range(300), least=30)
        alarms += any(entry["p_holm"] < 0.05 for entry in found)
    # 5 % of 60 tables, and three standard errors.
    assert alarms <= 8


def test_too_few_patients_are_told_and_count_for_no_correction() -> None:
    few = np.arange(100) < 5
    groups = [Group("race", "asian", few, ~few), *halves(100)]
    labels, predictions = drawn(100, 2, 0.2)
    found = compare_groups(groups, decisions_by_example(labels, predictions), range(100), least=30)
    rare = [entry for entry in found if entry["group"] == "asian"]
    assert all(entry["p"] is None and entry["difference"] is None for entry in rare)
    assert rare[0]["why"] == "5 patients in the group are too few: it takes 30"
    text = report_text(found, ["A notice."])
    assert "none, because 5 patients in the group are too few" in text
    assert "Not answerable here, because the source does not say it." in text
    tested = [entry["p"] for entry in found if entry["p"] is not None]
    least = min(range(len(tested)), key=tested.__getitem__)
    corrected = [entry["p_holm"] for entry in found if entry["p"] is not None]
    assert corrected[least] == pytest.approx(min(1.0, tested[least] * len(tested)))


def test_patients_are_resampled_not_stays() -> None:
    labels, predictions = drawn(50, 3, 0.2)
    twice = [np.repeat(matrix, 2, axis=0) for matrix in (labels, predictions)]
    (group, _) = halves(50)
    doubled = Group("sex", "F", np.repeat(group.members, 2), np.repeat(group.others, 2))
    one = compare_groups([group], decisions_by_example(labels, predictions), range(50), least=2)
    two = compare_groups([doubled], decisions_by_example(*twice), np.repeat(np.arange(50), 2), least=2)
    assert one == two


def said(**kinds: list[str | None]) -> dict[str, dict[str, str | None]]:
    count = len(next(iter(kinds.values())))
    return {
        f"e{number}": {kind: kinds[kind][number] if kind in kinds else None for kind in KINDS}
        for number in range(count)
    }


def test_who_belongs_to_which_group() -> None:
    notes = ["a b c", "", "a", "a b c d e f", "a b c d", "a b", "a b c d e"]
    groups = groups_of([f"e{n}" for n in range(7)], said(sex=["F", "M", None, "F", "F", "M", "M"]), notes)
    by_name: dict[Any, Group] = {(group.kind, group.name): group for group in groups}
    assert set(by_name) == {("sex", "F"), ("sex", "M"), *((NOTE_LENGTH, name) for name in TERCILES)}
    assert by_name["sex", "F"].members.tolist() == [True, False, False, True, True, False, False]
    assert by_name["sex", "F"].others.tolist() == [False, True, False, False, False, True, True]
    thirds = [by_name[NOTE_LENGTH, name].members for name in TERCILES]
    assert [third.nonzero()[0].tolist() for third in thirds] == [[2, 5], [0, 4], [3, 6]]
    assert not any(third[1] for third in thirds)


def test_groups_of_other_examples_are_refused() -> None:
    with pytest.raises(InputDataError, match="has none for 1 of 2 examples"):
        groups_of(["e0", "e1"], said(sex=["F"]), ["a", "b"])
