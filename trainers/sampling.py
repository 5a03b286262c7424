"""The order of the training examples: by similar length, or with rare diseases more often."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerState

SORTED_BATCHES = 49
"""Batches' worth of examples that are sorted by the length of their inputs: more would make every epoch's alike."""
ALIKE_BATCHES = 7
"""Of these, so many batches' worth that follow each other are sorted by the length of their targets."""


class EpochSeededLengthSampler(Sampler[int]):
    """Batches of similar length, in an order that depends on seed and epoch alone.

    So a resumed run sees the same examples as an uninterrupted one. Without it more than a third of the computation
    for notes would be padding. Of some batches' worth of examples, drawn at random, those with inputs of similar
    length are put together, and of these those with targets of similar length; then the batches are shuffled. The
    longest one comes first, so that a memory that is too small shows itself at once.

    Args:
        lengths: Positions of each example's input and of its target.
        batch_size: Examples in a batch.
        seed: Seed of the first epoch.
    """

    def __init__(self, lengths: Sequence[tuple[int, int]], batch_size: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = torch.randperm(len(self._lengths), generator=generator).tolist()
        batches: list[list[int]] = []
        for together in _cut(drawn, SORTED_BATCHES * self._batch_size):
            together.sort(key=lambda row: -self._lengths[row][0])
            for alike in _cut(together, ALIKE_BATCHES * self._batch_size):
                alike.sort(key=lambda row: -self._lengths[row][1])
                batches += _cut(alike, self._batch_size)
        # Whoever cuts the order into batches counts from its begin: one that is not full must be the last.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        order = [full[place] for place in torch.randperm(len(full), generator=generator).tolist()]
        longest = max(order, key=self._positions, default=None)
        order.sort(key=lambda batch: batch is not longest)
        for batch in order + rest:
            yield from batch

    def _positions(self, batch: Sequence[int]) -> int:
        return max(self._lengths[row][0] for row in batch) + max(self._lengths[row][1] for row in batch)

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; the Trainer calls it."""
        self.epoch = epoch


def _cut(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def balanced_weights(labels: torch.Tensor, power: float) -> torch.Tensor:
    """How often each example should be drawn relative to the others, by the rarest disease that it has.

    Args:
        labels: Which diseases each example has, `(examples, diseases)`.
        power: 0 weighs all alike; 1 by how rare that disease is. An example without any counts as one with the most
            frequent disease.

    Returns:
        `(examples,)`, of mean 1.
    """
    counts = labels.sum(dim=0)
    most = counts.max().clamp(min=1)
    rarity = torch.where(labels.bool(), most / counts.clamp(min=1), 1.0).amax(dim=1) ** power
    return rarity / rarity.mean()


class EpochSeededWeightedSampler(Sampler[int]):
    """Draws examples with their weights, with replacement, in an order that depends on seed and epoch alone.

    Args:
        weights: How often each example is drawn, relative to the others.
        seed: Seed of the first epoch.
    """

    def __init__(self, weights: torch.Tensor, seed: int) -> None:
        self._weights = weights.double()
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = torch.multinomial(self._weights, len(self._weights), replacement=True, generator=generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return len(self._weights)

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; the Trainer calls it."""
        self.epoch = epoch


class EpochOfSharedBatches(TrainerCallback):
    """Tells the sampler of several processes which epoch begins.

    Where a training goes on in the middle of an epoch, transformers and accelerate do not reach it behind the batches
    to be skipped and the division between processes: it would begin anew, with the order of the first epoch.
    """

    def on_epoch_begin(
        self, args: Any, state: TrainerState, control: Any, train_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Set the epoch, the one that the last step before an interruption was in."""
        batches = train_dataloader.batch_sampler
        if isinstance(batches, BatchSamplerShard):
            sampler = batches.batch_sampler.sampler
            if isinstance(sampler, EpochSeededLengthSampler | EpochSeededWeightedSampler | SeedableRandomSampler):
                sampler.set_epoch(int(state.epoch or 0))
