"""The losses of preference training, as functions of log-probabilities and rewards alone.

TRL has the same arithmetic only inside its trainers' methods, which take decoder-only models without side inputs;
tests compare the two on the same numbers.
"""

from __future__ import annotations

import torch
from torch import nn

SMALLEST_DEVIATION = 1e-4
"""Added to a standard deviation that is divided by; TRL's value."""


def dpo_losses(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """The loss of each pair, `(pairs,)` (Rafailov et al. 2023).

    Args:
        chosen, rejected: Log-probability of each text by the policy, less that by the reference, `(pairs,)` each.
        beta: How strongly the policy is held to the reference.
    """
    return -nn.functional.logsigmoid(beta * (chosen - rejected))


def group_advantages(rewards: torch.Tensor, weights: torch.Tensor, group_size: int) -> torch.Tensor:
    """How much better each text is than the other texts of its prompt, `(texts,)`.

    Each reward is normalised within its group before the weighted sum, so that a reward of small spread is not drowned
    by one of large spread, and the sum is normalised over the batch, so that the step does not grow with the number of
    rewards or with their weights (GDPO, arXiv 2601.05242; TRL's `normalize_then_sum`). A reward that is the same for
    the whole group counts nothing there, and a group in which all rewards are has advantages of exactly 0.

    Args:
        rewards: `(texts, rewards)`, of the whole batch; the texts of a prompt follow one another.
        weights: Of the rewards, `(rewards,)`.
        group_size: Texts of a prompt, at least two.
    """
    grouped = rewards.reshape(-1, group_size, rewards.shape[1])
    centred = grouped - grouped.mean(dim=1, keepdim=True)
    # The mean of equal numbers may be off by a rounding error.
    same = grouped.amax(dim=1, keepdim=True) == grouped.amin(dim=1, keepdim=True)
    normal = torch.where(same, 0.0, centred / (grouped.std(dim=1, keepdim=True) + SMALLEST_DEVIATION))
    summed = (normal.reshape(rewards.shape) * weights).sum(dim=1)
    # Its mean over the batch is 0, since that of every group is: taking it away would only add a rounding error.
    return summed / (summed.std() + SMALLEST_DEVIATION)


def policy_losses(
    log_probs: torch.Tensor,
    sampled: torch.Tensor,
    reference: torch.Tensor | None,
    advantages: torch.Tensor,
    *,
    clip: float,
    beta: float,
) -> torch.Tensor:
    """The loss of each token, `(texts, tokens)`: the clipped surrogate of PPO, and the divergence from the reference.

    Args:
        log_probs: By the policy.
        sampled: By the policy when it sampled the texts.
        reference: By the reference; None where `beta` is 0.
        advantages: Of the texts, `(texts,)`.
        clip: How far the ratio of the first two counts, from 1.
        beta: Weight of the divergence (Schulman's estimate of the Kullback-Leibler divergence, never negative).
    """
    ratio = (log_probs - sampled).exp()
    gain = advantages[:, None]
    losses = -torch.min(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    if beta and reference is not None:
        behind = reference - log_probs
        # Times the ratio, without which its gradient would not be that of the divergence (arXiv 2512.02556).
        losses = losses + beta * ratio * (behind.exp() - behind - 1)
    return losses


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that count, of all texts together: a token of a long text counts as any other."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


__all__ = ["dpo_losses", "group_advantages", "masked_mean", "policy_losses"]
