"""Batches of similar length: every example once, little padding, the same order when an epoch is repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.sampling import EpochSeededLengthSampler

GENERATOR = np.random.default_rng(0)
LENGTHS = list(zip(GENERATOR.integers(10, 1400, 800).tolist(), GENERATOR.integers(10, 300, 800).tolist(), strict=True))


def padded_positions(order: list[int], batch: int, part: int) -> int:
    return sum(batch * max(LENGTHS[row][part] for row in order[at : at + batch]) for at in range(0, len(order), batch))


@pytest.fixture
def sampler() -> EpochSeededLengthSampler:
    return EpochSeededLengthSampler(LENGTHS, batch_size=4, seed=3)


@pytest.mark.parametrize(("part", "share"), [(0, 1.1), (1, 1.25)])
def test_batches_are_nearly_full(sampler: EpochSeededLengthSampler, part: int, share: float) -> None:
    total = sum(length[part] for length in LENGTHS)
    assert total <= padded_positions(list(sampler), 4, part) < share * total
    assert padded_positions(list(range(len(LENGTHS))), 4, part) > 1.4 * total


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=300), st.integers(1, 9), st.integers(0, 3))
def test_every_example_comes_once_and_the_longest_batch_first(
    lengths: list[tuple[int, int]], batch: int, epoch: int
) -> None:
    sampler = EpochSeededLengthSampler(lengths, batch, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(sampler))) == list(range(len(lengths)))
    full = [order[at : at + batch] for at in range(0, len(order) - batch + 1, batch)]
    sizes = [sum(max(lengths[row][part] for row in rows) for part in (0, 1)) for rows in full]
    assert not sizes or sizes[0] == max(sizes)


def test_batches_of_other_lengths_follow_each_other(sampler: EpochSeededLengthSampler) -> None:
    order = list(sampler)
    longest = [max(LENGTHS[row][0] for row in order[at : at + 4]) for at in range(0, len(order), 4)]
    # Sorted, a length would say nearly everything about the next one.
    assert abs(np.corrcoef(longest[1:-1], longest[2:])[0, 1]) < 0.25


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
