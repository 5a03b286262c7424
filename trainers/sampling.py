"""Batches of like length: without them more than a third of what is computed for notes is their padding."""

from collections.abc import Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochSeededLengthSampler(LengthGroupedSampler):
    """transformers' sampler of batches of like length, in an order that follows from seed and epoch alone.

    So a run that goes on after an interruption sees the examples that it would have seen without one.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        super().__init__(batch_size, lengths=list(lengths), generator=torch.Generator())
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed + self.epoch)
        yield from super().__iter__()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; the Trainer does."""
        self.epoch = epoch
