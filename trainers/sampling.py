"""The order of the training examples: by similar length, or with rare diseases more often."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerState

from modeling_clinragen.modeling_clinragen import MULTIPLE

SORTED_BATCHES = 64
"""Batches' worth of examples that are put together by their lengths: more would make every epoch's batches alike."""


class EpochSeededLengthSampler(Sampler[int]):
    """Batches of similar length, in an order that depends on seed and epoch alone.

    So a resumed run sees the same examples as an uninterrupted one. Without it more than a third of the computation
    for notes would be padding. Some batches' worth of examples, drawn at random, are cut in two, those with the longer
    inputs or targets and the others, where that saves most of the padding; and each part again, until it is a batch.
    Then the batches are shuffled. The longest comes first, so that a memory that is too small shows itself at once.

    Args:
        lengths: Positions of each example's input and of its target.
        batch_size: Examples in a batch.
        seed: Seed of the first epoch.
    """

    def __init__(self, lengths: Sequence[tuple[int, int]], batch_size: int, seed: int) -> None:
        # As batches are padded: of equal lengths chance decides, and the epochs' batches differ more.
        self._lengths = -(-np.array(lengths, dtype=int).reshape(-1, 2) // MULTIPLE) * MULTIPLE
        self._batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = torch.randperm(len(self._lengths), generator=generator).numpy()
        batches: list[list[int]] = []
        for start in range(0, len(drawn), SORTED_BATCHES * self._batch_size):
            batches += self._cut(drawn[start : start + SORTED_BATCHES * self._batch_size])
        # Whoever cuts the order into batches counts from its begin: one that is not full must be the last.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        order = [full[place] for place in torch.randperm(len(full), generator=generator).tolist()]
        longest = max(order, key=self._positions, default=None)
        order.sort(key=lambda batch: batch is not longest)
        for batch in order + rest:
            yield from batch

    def _cut(self, rows: np.ndarray) -> list[list[int]]:
        """Batches of these rows, of which the last may not be full."""
        if len(rows) <= self._batch_size:
            return [rows.tolist()]
        cuts = [self._best_cut(rows[np.argsort(-self._lengths[rows, part], kind="stable")]) for part in (0, 1)]
        _, longer, shorter = min(cuts, key=lambda cut: cut[0])
        return self._cut(longer) + self._cut(shorter)

    def _best_cut(self, rows: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        """How many positions two parts of these rows have, cut where they are fewest, and the parts, whole batches."""
        longest = np.maximum.reduceat(self._lengths[rows], np.arange(0, len(rows), self._batch_size))
        first = np.maximum.accumulate(longest)[:-1].sum(axis=1)
        second = np.maximum.accumulate(longest[::-1])[-2::-1].sum(axis=1)
        ends = np.arange(1, len(longest)) * self._batch_size
        positions = ends * first + (len(rows) - ends) * second
        best = int(positions.argmin())
        return int(positions[best]), rows[: ends[best]], rows[ends[best] :]

    def _positions(self, batch: Sequence[int]) -> int:
        return int(self._lengths[list(batch)].max(axis=0).sum())

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; the Trainer calls it."""
        self.epoch = epoch


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
