"""A recurrent network on the series alone, with which the paper compares (its table 2: GRU)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dataset_builder.contract.arrays import SeriesArrays
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.feature_extraction_clinragen import last_measured

HIDDEN = 64
LAYERS = 1
DROPOUT = 0.3
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
BATCH = 64
MOST_EPOCHS = 40
PATIENCE = 5
"""Epochs without a lower validation loss after which the training ends; the best epoch's weights are kept."""
LIMIT = 8.0
HOURS = 24.0
SEED = 0


class RecurrentBaseline:
    """A GRU that reads of every variable at every step its last value, whether it was measured then, and how long ago.

    These inputs are those of "GRU-Simple" in Che et al. 2018 (doi 10.1038/s41598-018-24271-9). Values are standardised
    by the training split. A linear layer on the last state gives all diseases at once. The same inputs give the same
    model.

    Attributes:
        epochs: After `fit`, the number of the epoch whose weights were kept, from 1.
    """

    def __init__(self) -> None:
        self.epochs = 0
        self._means = self._stds = np.zeros(0)
        self._network: _Network | None = None

    def fit(
        self,
        train: tuple[Sequence[SeriesArrays], np.ndarray],
        validation: tuple[Sequence[SeriesArrays], np.ndarray],
        *,
        report: Report = no_report,
    ) -> RecurrentBaseline:
        """Train on the training examples for as long as the loss of the validation examples falls.

        Args:
            train, validation: Series and labels `(examples, diseases)`.
            report: Called with the number of epochs done.

        Raises:
            InputDataError: One of the two has no example.
        """
        if not len(train[1]) or not len(validation[1]):
            raise InputDataError("the GRU needs training and validation examples; enlarge the cohort")
        values = np.concatenate([one["values"] for one in train[0]]).astype(np.float64)
        measured = np.where(np.isnan(values), 0.0, 1.0)
        count = measured.sum(axis=0).clip(1)
        self._means = np.nansum(values, axis=0) / count
        spread = np.sqrt((((np.nan_to_num(values) - self._means) * measured) ** 2).sum(axis=0) / count)
        self._stds = np.where(spread > 0, spread, 1.0)
        inputs, held_out = ([self._described(one) for one in part[0]] for part in (train, validation))
        labels, wanted = (torch.as_tensor(np.asarray(part[1]), dtype=torch.float32) for part in (train, validation))
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(SEED)
            self._network = _Network(inputs[0].shape[1], labels.shape[1])
            self._train(self._network, (inputs, labels), (held_out, wanted), report)
        return self

    def probabilities(self, series: Sequence[SeriesArrays]) -> np.ndarray:
        """The probability of every disease, `(examples, diseases)`. Raises `RuntimeError` before `fit`."""
        if self._network is None:
            raise RuntimeError("fit comes first")
        return self._logits(self._network, [self._described(one) for one in series]).sigmoid().numpy()

    def _described(self, series: SeriesArrays) -> torch.Tensor:
        """`(steps, 3 * variables)`; a single step of zeros where there is none."""
        values, hours = np.asarray(series["values"], dtype=np.float64), np.asarray(series["hours"], dtype=np.float64)
        if not len(hours):
            return torch.zeros(1, 3 * len(self._means))
        scaled = ((values - self._means) / self._stds).clip(-LIMIT, LIMIT)
        observed = ~np.isnan(scaled)
        seen, source = last_measured(observed)
        held = np.where(seen, np.take_along_axis(scaled, source, axis=0), 0.0)
        age = np.where(seen, (hours[:, None] - hours[source]) / HOURS, 1.0).clip(0, 2)
        return torch.as_tensor(np.concatenate([held, observed, age], axis=1), dtype=torch.float32)

    def _train(
        self,
        network: _Network,
        train: tuple[list[torch.Tensor], torch.Tensor],
        validation: tuple[list[torch.Tensor], torch.Tensor],
        report: Report,
    ) -> None:
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        best, kept = float("inf"), dict[str, torch.Tensor]()
        for epoch in range(1, MOST_EPOCHS + 1):
            network.train()
            for rows in torch.randperm(len(train[0])).split(BATCH):
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network([train[0][row] for row in rows.tolist()]), train[1][rows]
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            reached = float(
                nn.functional.binary_cross_entropy_with_logits(self._logits(network, validation[0]), validation[1])
            )
            if reached < best:
                best, self.epochs = reached, epoch
                kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
            report(Progress(epoch, MOST_EPOCHS, "epochs", "GRU"))
            if epoch - self.epochs >= PATIENCE:
                break
        network.load_state_dict(kept)

    @torch.no_grad()
    def _logits(self, network: _Network, inputs: list[torch.Tensor]) -> torch.Tensor:
        network.eval()
        parts = [network(inputs[start : start + 4 * BATCH]) for start in range(0, len(inputs), 4 * BATCH)]
        return torch.cat(parts) if parts else torch.zeros(0, network.output.out_features)


class _Network(nn.Module):
    def __init__(self, width: int, diseases: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(width, HIDDEN, num_layers=LAYERS, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(HIDDEN, diseases)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Logits `(examples, diseases)` of sequences `(steps, width)`."""
        packed: Any = nn.utils.rnn.pack_sequence(inputs, enforce_sorted=False)
        _, state = self.recurrent(packed)
        return self.output(self.dropout(state[-1]))
