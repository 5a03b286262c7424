"""Reward functions: what they take and give, and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from modeling_clinragen.errors import SettingsError
from trainers.preference_policy import Example

RewardFunction = Callable[[Sequence[str], Sequence[Example]], Sequence[float]]
"""From texts and the example of each to one number each; the greater the better. Its `__name__` is its name."""


def name_of(function: RewardFunction) -> str:
    """The name of a reward function, which curves and weights use."""
    return str(function.__name__)


class Rewards:
    """Several reward functions with their weights.

    Args:
        functions: The functions.
        weights: By name; 1 where a name is missing.

    Raises:
        SettingsError: A weight is for a function that is not there, or two functions have one name.
    """

    def __init__(self, functions: Sequence[RewardFunction], weights: Mapping[str, float] | None = None) -> None:
        self.names = [name_of(function) for function in functions]
        if len(set(self.names)) != len(self.names):
            raise SettingsError(f"reward_functions: two have one name among {', '.join(self.names)}; name them apart")
        unknown = sorted(set(weights or {}) - set(self.names))
        if unknown:
            raise SettingsError(
                f"reward_weights: '{unknown[0]}' is not among the rewards {', '.join(self.names)}; correct the name"
            )
        self._functions = list(functions)
        self.weights = torch.tensor([float((weights or {}).get(name, 1.0)) for name in self.names])

    def __call__(self, texts: Sequence[str], examples: Sequence[Example]) -> torch.Tensor:
        """All rewards, `(texts, rewards)`.

        Raises:
            SettingsError: A function did not give one number for each text.
        """
        columns = []
        for name, function in zip(self.names, self._functions, strict=True):
            found = [float(value) for value in function(texts, examples)]
            if len(found) != len(texts):
                raise SettingsError(
                    f"the reward '{name}' gave {len(found)} numbers for {len(texts)} texts; give one each"
                )
            columns.append(found)
        return torch.tensor(columns).T.reshape(len(texts), len(columns))

    def total(self, texts: Sequence[str], examples: Sequence[Example]) -> list[float]:
        """The weighted sum of the rewards of each text."""
        return [float(value) for value in self(texts, examples) @ self.weights]


def mean_of_each(
    functions: Sequence[RewardFunction], texts: Sequence[str], examples: Sequence[Example]
) -> dict[str, float]:
    """The mean of each function over the texts, by its name."""
    found: dict[str, Any] = {}
    for function in functions:
        values = list(function(texts, examples))
        found[name_of(function)] = sum(values) / max(len(values), 1)
    return found


__all__ = ["RewardFunction", "Rewards", "mean_of_each", "name_of"]
