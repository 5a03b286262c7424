"""Batches of similar length: every example once, little padding, the same order when an epoch is repeated."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.sampling import EpochSeededLengthSampler

LENGTHS = np.random.default_rng(0).integers(10, 1400, 800).tolist()


def padded_positions(order: list[int], batch: int) -> int:
    return sum(batch * max(LENGTHS[row] for row in order[at : at + batch]) for at in range(0, len(order), batch))


@pytest.fixture
def sampler() -> EpochSeededLengthSampler:
    return EpochSeededLengthSampler(LENGTHS, batch_size=4, seed=3)


def test_every_example_comes_once_and_batches_are_nearly_full(sampler: EpochSeededLengthSampler) -> None:
    order = list(sampler)
    assert sorted(order) == list(range(len(LENGTHS)))
    assert sum(LENGTHS) <= padded_positions(order, 4) < 1.05 * sum(LENGTHS)
    assert padded_positions(list(range(len(LENGTHS))), 4) > 1.4 * sum(LENGTHS)


def test_the_order_follows_from_seed_and_epoch_alone(sampler: EpochSeededLengthSampler) -> None:
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    resumed = EpochSeededLengthSampler(LENGTHS, batch_size=4, seed=3)
    resumed.set_epoch(1)
    assert list(resumed) == second != first
    resumed.set_epoch(0)
    assert list(resumed) == first
    assert list(EpochSeededLengthSampler(LENGTHS, batch_size=4, seed=4)) != first
