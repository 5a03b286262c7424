"""The recurrent baseline reads series in their order, repeats itself, and is there only where it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_examples import tiny_splits

from clinragen.evaluation.baselines.fit import fit_baselines
from clinragen.evaluation.baselines.gru import RecurrentBaseline
from dataset_builder.contract.arrays import SeriesArrays
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RISES, NEVER = 0, 1
Split = tuple[list[SeriesArrays], np.ndarray]


def make_split(size: int, seed: int) -> Split:
    """Who has `RISES` has the same values as the others, in the opposite order; one variable is never measured."""
    rng = np.random.default_rng(seed)
    series, labels = [], []
    for _ in range(size):
        rises = bool(rng.random() < 0.5)
        steps = int(rng.integers(3, 9))
        course = np.sort(rng.normal(80.0, 10.0, steps))
        values = np.stack([course if rises else course[::-1], rng.normal(7.4, 0.1, steps), np.full(steps, np.nan)], 1)
        values[rng.random(steps) < 0.2, 1] = np.nan
        hours = np.sort(rng.uniform(0, 48, steps))
        series.append(SeriesArrays(hours=hours.astype(np.float32), values=values.astype(np.float32)))
        labels.append((int(rises), 0))
    return series, np.array(labels, dtype=np.int8)


@pytest.fixture(scope="module")
def fitted() -> RecurrentBaseline:
    return RecurrentBaseline().fit(make_split(400, 0), make_split(100, 1))


def test_the_order_of_the_readings_is_learned(fitted: RecurrentBaseline) -> None:
    series, labels = make_split(200, 2)
    given = fitted.probabilities(series)
    assert ((given[:, RISES] > 0.5) == labels[:, RISES]).mean() > 0.9
    assert given[:, NEVER].max() < 0.2
    backwards = [SeriesArrays(hours=one["hours"], values=one["values"][::-1].copy()) for one in series]
    assert ((fitted.probabilities(backwards)[:, RISES] > 0.5) != labels[:, RISES]).mean() > 0.9


def test_a_patient_gets_the_same_alone_and_in_a_batch_and_nothing_measured_is_no_error(
    fitted: RecurrentBaseline,
) -> None:
    series = make_split(30, 3)[0]
    series.append(SeriesArrays(hours=np.zeros(0, np.float32), values=np.zeros((0, 3), np.float32)))
    together = fitted.probabilities(series)
    alone = np.concatenate([fitted.probabilities([one]) for one in series])
    assert np.allclose(together, alone, atol=1e-6)
    assert fitted.probabilities([]).shape == (0, 2)


def test_two_fits_are_equal_and_leave_the_random_numbers_of_others_alone(fitted: RecurrentBaseline) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    again = RecurrentBaseline().fit(make_split(400, 0), make_split(100, 1))
    assert torch.equal(torch.rand(3), expected)
    series = make_split(50, 4)[0]
    assert np.array_equal(again.probabilities(series), fitted.probabilities(series))
    assert 1 <= again.epochs == fitted.epochs


def test_there_must_be_examples() -> None:
    empty: Any = ([], np.zeros((0, 2)))
    with pytest.raises(InputDataError, match="the GRU needs training and validation examples"):
        RecurrentBaseline().fit(make_split(4, 0), empty)
    with pytest.raises(RuntimeError, match="fit comes first"):
        RecurrentBaseline().probabilities([])


def test_an_evaluation_has_it_only_where_it_is_asked_for(vocabulary: Vocabulary) -> None:
    cohort = tiny_splits(vocabulary, 40)
    ranges = vocabulary.range_set("clinical")
    without, beside = fit_baselines(cohort, ranges, "light"), fit_baselines(cohort, ranges, "light", gru=True)
    assert set(beside) - set(without) == {"gru"}
    assert beside["gru"].predictions.shape == (40, len(vocabulary.diseases))
    assert beside["gru"].choices["epochs"] >= 1
    assert beside["gru"].choices["thresholds"] in ("global", "per_disease")
