"""The baselines are strong, deterministic and blind to the test split."""

from __future__ import annotations

import copy
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.evaluation.baselines.logistic import LogisticBaseline
from clinragen.evaluation.baselines.prevalence import PrevalenceGuess
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.series_statistics_clinragen import series_statistics, statistic_names
from trainers.thresholds import best_threshold, choose_thresholds, micro_f1

VOCABULARY = shipped_definitions().vocabulary
VARIABLES, DISEASES, RANGES = VOCABULARY.variables, VOCABULARY.diseases, VOCABULARY.range_set("clinical")
Row = dict[str, Any]


def make_rows(count: int, seed: int, first_subject: int = 0) -> list[Row]:
    """Made-up rows: even diseases leave a word in the note, odd ones shift a variable; both unreliably."""
    rng = np.random.default_rng(seed)
    prevalence = np.linspace(0.6, 0.1, len(DISEASES))
    rows = []
    for number in range(count):
        labels = (rng.random(len(DISEASES)) < prevalence).astype(int)
        words = [f"filler{rng.integers(60)}" for _ in range(40)]
        words += [f"finding{d}" for d in range(0, 25, 2) if rng.random() < (0.9 if labels[d] else 0.03)]
        steps = int(rng.integers(4, 12))
        centre = np.array([variable.fill for variable in VARIABLES])
        shift = np.zeros(len(VARIABLES))
        for d in range(1, 25, 2):
            shift[(d // 2) % len(VARIABLES)] += 0.15 * labels[d]
        values = centre * (1 + shift + 0.05 * rng.normal(size=(steps, len(VARIABLES))))
        observed = rng.random(values.shape) < 0.7
        observed[:, rng.random(len(VARIABLES)) < 0.1] = False
        gaps = np.where(observed, values, np.nan)
        rows.append(
            {
                "subject_id": first_subject + number // 2,
                "note": " ".join(rng.permutation(words)),
                "lab_hours": np.sort(rng.uniform(0, 24, steps)).tolist(),
                "lab_values": [[None if np.isnan(v) else float(v) for v in step] for step in gaps],
                "lab_observed": observed.tolist(),
                "labels": labels.tolist(),
            }
        )
    return rows


def labels_of(rows: list[Row]) -> np.ndarray:
    return np.array([row["labels"] for row in rows])


@cache
def splits() -> tuple[list[Row], list[Row], list[Row]]:
    return make_rows(400, 1), make_rows(120, 2, 1000), make_rows(150, 3, 2000)


def regression(features: str = "both", **settings: Any) -> LogisticBaseline:
    return LogisticBaseline(VOCABULARY, RANGES, features, **settings)  # type: ignore[arg-type]


@cache
def fitted(features: str) -> LogisticBaseline:
    train, validation, _ = splits()
    return regression(features, c_grid=(1.0, 10.0)).fit(train, validation)


def test_the_logistic_regression_beats_the_guess_and_both_inputs_beat_one() -> None:
    train, _, test = splits()
    truth = labels_of(test)
    guess = micro_f1(truth, PrevalenceGuess().fit(labels_of(train)).predict(len(test)))
    both, note, labs = (micro_f1(truth, fitted(name).predict(test)) for name in ("both", "note", "labs"))
    assert both > max(note, labs) + 0.02
    assert min(note, labs) > guess + 0.02


def test_test_labels_do_not_change_the_predictions() -> None:
    train, validation, test = splits()
    flipped = copy.deepcopy(test)
    for row in flipped:
        row["labels"] = [1 - label for label in row["labels"]]
    assert np.array_equal(fitted("both").predict(flipped), fitted("both").predict(test))
    unlabelled = [{key: value for key, value in row.items() if key != "labels"} for row in test]
    again = regression(c_grid=(1.0, 10.0)).fit(train, validation)
    assert np.array_equal(again.predict(unlabelled), fitted("both").predict(test))
    assert again.choices == fitted("both").choices


def test_each_example_is_judged_alone() -> None:
    test = splits()[2]
    together = fitted("both").predict(test[:20])
    assert np.array_equal(np.vstack([fitted("both").predict([row]) for row in test[:20]]), together)


@pytest.mark.parametrize(("features", "ignored"), [("note", "labs"), ("labs", "note")])
def test_a_single_modality_baseline_does_not_read_the_other(features: str, ignored: str) -> None:
    test, other = splits()[2], make_rows(150, 77)
    keys = ["note"] if ignored == "note" else ["lab_hours", "lab_values", "lab_observed"]
    swapped = [{**row, **{key: strange[key] for key in keys}} for row, strange in zip(test, other, strict=True)]
    model = fitted(features)
    assert np.array_equal(model.probabilities(swapped), model.probabilities(test))
    assert not np.array_equal(fitted("both").probabilities(swapped), fitted("both").probabilities(test))


def test_missing_modalities_and_constant_diseases_are_no_obstacle() -> None:
    train, validation, test = (copy.deepcopy(rows[:60]) for rows in splits())
    for row in train:
        row["labels"][0], row["labels"][1] = 0, 1
    for row in (train[0], validation[0], test[0]):
        row.update(note="", lab_hours=[], lab_values=[], lab_observed=[])
    model = regression(c_grid=(1.0,)).fit(train, validation)
    probabilities = model.probabilities(test)
    assert np.isfinite(probabilities).all()
    assert (probabilities[:, 0] == 0).all()
    assert (probabilities[:, 1] == 1).all()


def test_unusable_settings_and_data_are_named() -> None:
    train, validation, test = splits()
    with pytest.raises(SettingsError, match="features 'labels'"):
        regression("labels")
    with pytest.raises(SettingsError, match="c_grid"):
        regression(c_grid=())
    with pytest.raises(SettingsError, match="fit first"):
        regression().predict(test)
    with pytest.raises(InputDataError, match="validation"):
        regression().fit(train, [])
    with pytest.raises(InputDataError, match="features='labs'"):
        regression("both").fit([{**row, "note": ""} for row in train], validation)
    with pytest.raises(InputDataError, match="no labels"):
        PrevalenceGuess().fit(np.zeros((0, 25)))


@pytest.mark.parametrize("seed", range(6))
def test_no_fixed_set_beats_the_prevalence_guess(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((40, 7)) < rng.uniform(0.02, 0.7, 7)).astype(int)
    reached = micro_f1(labels, PrevalenceGuess().fit(labels).predict(40))
    every = [micro_f1(labels, np.tile(chosen, (40, 1))) for chosen in product((0, 1), repeat=7)]
    assert reached == pytest.approx(max(every))


def test_nobody_is_given_a_disease_when_nobody_had_one() -> None:
    assert PrevalenceGuess().fit(np.zeros((5, 3))).predict(2).tolist() == [[0, 0, 0], [0, 0, 0]]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 1.0])), min_size=1, max_size=15)
)
def test_no_threshold_is_better_than_the_best(pairs: list[tuple[bool, float]]) -> None:
    truth = np.array([label for label, _ in pairs])
    scores = np.array([score for _, score in pairs])
    chosen = best_threshold(truth, scores)
    every = [micro_f1(truth, scores >= cut) for cut in [*scores, 2.0]]
    if truth.any():
        assert micro_f1(truth, scores >= chosen) == pytest.approx(max(every))
    else:
        assert chosen == 0.5


def test_thresholds_are_per_disease_only_when_that_helps_new_patients() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 6)) < 0.3
    informative = np.where(truth, rng.beta(4, 2, truth.shape), rng.beta(2, 4, truth.shape))
    uneven = informative * np.array([1.0, 0.1, 0.5, 0.2, 1.0, 0.05])
    thresholds, kind, reached = choose_thresholds(truth, uneven, range(400))
    assert kind == "per_disease"
    assert reached > micro_f1(truth, uneven >= best_threshold(truth, uneven))
    # Calibrated noise on few rows: thresholds of its own for each disease would only fit the noise.
    thresholds, kind, _ = choose_thresholds(truth[:40], rng.random((40, 6)), range(40))
    assert kind == "global"
    assert len(set(thresholds.tolist())) == 1


def test_lab_statistics_equal_a_plain_computation() -> None:
    rows = [*splits()[0][:25], {"lab_hours": [], "lab_values": [], "lab_observed": []}]
    keys = VOCABULARY.variable_keys
    table = dict(zip(statistic_names(keys, RANGES), series_statistics(rows, keys, RANGES).T, strict=True))
    assert "weight.share_low" not in table
    for number, row in enumerate(rows):
        for column, variable in enumerate(VARIABLES):
            pairs = [
                (hour, step[column])
                for hour, step in zip(row["lab_hours"], row["lab_values"], strict=True)
                if step[column] is not None
            ]
            found = {name.split(".")[1]: v[number] for name, v in table.items() if name.startswith(variable.key + ".")}
            assert found["count"] == len(pairs)
            assert found["missing"] == (not pairs)
            assert found["share_observed"] == pytest.approx(len(pairs) / max(len(row["lab_hours"]), 1))
            if not pairs:
                assert np.isnan(found["mean"])
                continue
            hours, values = map(np.array, zip(*pairs, strict=True))
            expected = {"first": values[0], "last": values[-1], "min": min(values), "max": max(values)}
            expected |= {"mean": values.mean(), "std": values.std()}
            if len(values) > 1:
                expected["slope"] = np.polyfit(hours, values, 1)[0]
            else:
                assert np.isnan(found["slope"])
            if variable.key in RANGES.bounds:
                levels = [RANGES.level(variable.key, value) for value in values]
                expected["share_low"] = levels.count("low") / len(levels)
                expected["share_high"] = levels.count("high") / len(levels)
            for name, value in expected.items():
                assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), (variable.key, name)
