"""One step of preference training: the loss of pairs (DPO), or of groups of texts that are sampled now (GRPO)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from trainers.preference_config import PreferenceConfig
from trainers.preference_loss import dpo_losses, group_advantages, masked_mean, policy_losses
from trainers.preference_policy import Example, Policy, Target
from trainers.preference_reference import Start
from trainers.preference_rewards import Rewards
from trainers.preference_sampling import Pair

Notes = dict[str, float]
"""Numbers about a step, for the log."""


class Reference:
    """How probable texts are by the reference: another policy, or the policy itself as it was at the start.

    Args:
        policy: The policy that learns.
        other: Another one to be held to.
    """

    def __init__(self, policy: Policy, other: Policy | None) -> None:
        self._policy = policy if other is None else other
        self._as_it_was: Callable[[], AbstractContextManager[None]] = nullcontext
        if other is None:
            self._as_it_was = Start(policy.model).given
        else:
            other.model.eval()

    @torch.no_grad()
    def log_probabilities(
        self, examples: Sequence[Example], targets: Sequence[Target], owners: Sequence[int]
    ) -> torch.Tensor:
        """As those of a policy, `(texts, tokens)`, without a gradient."""
        with self._as_it_was():
            return self._policy.log_probabilities(examples, targets, owners)[0]


class PairSteps:
    """DPO: what is learned from pairs.

    Args:
        policy, reference: Who learns, and who it is held to.
        config: Beta and the form of the loss.
    """

    def __init__(self, policy: Policy, reference: Reference, config: PreferenceConfig) -> None:
        self._policy = policy
        self._reference = reference
        self._config = config

    def ask_reference(self, pairs: Sequence[Pair], batch: Callable[[], AbstractContextManager[None]]) -> None:
        """Let the reference say how probable all texts are, once; pairs that know it already are left as they are.

        Args:
            pairs: The pairs.
            batch: A context for each batch, such as autocast.
        """
        unknown = [pair for pair in pairs if pair.reference is None]
        size = max(1, self._config.sample_batch_size // 2)
        for start in range(0, len(unknown), size):
            part = unknown[start : start + size]
            with batch():
                scores = self._reference.log_probabilities(*_both(part)).float().sum(dim=1)
            for pair, chosen, rejected in zip(part, *scores.view(2, -1).tolist(), strict=True):
                pair.reference = chosen, rejected

    def loss(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, Notes]:
        """The mean loss of pairs whose reference is known."""
        config = self._config
        log_probs, mask = self._policy.log_probabilities(*_both(pairs))
        log_probs = log_probs.float()
        reference = torch.tensor([pair.reference for pair in pairs], device=mask.device).T.flatten()
        # By how much a text became more probable than the reference has it.
        gains = log_probs.sum(dim=1) - reference
        lengths = mask.sum(dim=1)
        counted = gains / lengths.clamp(min=1) if config.length_normalised else gains
        of_chosen, of_rejected = counted.chunk(2)
        loss = dpo_losses(of_chosen, of_rejected, config.beta).mean()
        count = len(pairs)
        own = -masked_mean(log_probs[:count], mask[:count])
        if config.chosen_weight:
            loss = loss + config.chosen_weight * own
        chosen, rejected = (config.beta * gains.detach()).chunk(2)
        # The first four are TRL's: of sums of log-probabilities, also where the loss is of their means.
        return loss, {
            "rewards/chosen": float(chosen.mean()),
            "rewards/rejected": float(rejected.mean()),
            "rewards/margins": float((chosen - rejected).mean()),
            "rewards/accuracies": float((chosen > rejected).float().mean()),
            "chosen_loss": float(own.detach()),
            "chosen_length": float(lengths[:count].mean()),
            "rejected_length": float(lengths[count:].mean()),
        }


@dataclass(frozen=True)
class Rollout:
    """Texts that were sampled for some prompts, and what is learned from them."""

    examples: Sequence[Example]
    targets: Sequence[Target]
    owners: Sequence[int]
    advantages: torch.Tensor
    sampled: torch.Tensor
    reference: torch.Tensor | None


class GroupSteps:
    """GRPO: what is learned from groups of texts and their rewards.

    Args:
        policy, reference: Who learns, and who it is held to (None where `beta` is 0).
        rewards: The reward functions.
        config: Size of the groups and form of the loss.
    """

    def __init__(
        self, policy: Policy, reference: Reference | None, rewards: Rewards, config: PreferenceConfig
    ) -> None:
        self._policy = policy
        self._reference = reference
        self._rewards = rewards
        self._config = config

    @torch.no_grad()
    def sample(self, examples: Sequence[Example]) -> tuple[Rollout, Notes]:
        """Write a group of texts for each example, and reward them."""
        config = self._config
        groups: list[list[Target]] = []
        size = max(1, config.sample_batch_size // config.group_size)
        for start in range(0, len(examples), size):
            groups += self._policy.sample(
                examples[start : start + size],
                config.group_size,
                temperature=config.temperature,
                max_new_tokens=config.max_new_tokens,
            )
        targets = [target for group in groups for target in group]
        owners = [place for place, group in enumerate(groups) for _ in group]
        texts = [self._policy.text(target) for target in targets]
        rewards = self._rewards(texts, [examples[owner] for owner in owners])
        advantages = group_advantages(rewards, self._rewards.weights, config.group_size)
        sampled, mask = self._policy.log_probabilities(examples, targets, owners)
        reference = None
        if self._reference is not None:
            reference = self._reference.log_probabilities(examples, targets, owners).float()
        silent = (advantages.view(-1, config.group_size) == 0).all(dim=1)
        notes = {
            f"reward/{name}": float(value) for name, value in zip(self._rewards.names, rewards.mean(0), strict=True)
        }
        notes |= {
            "length": float(mask.sum(dim=1).mean()),
            "finished": sum(target.finished for target in targets) / len(targets),
            "groups_without_signal": float(silent.float().mean()),
        }
        given = advantages.to(sampled.device)
        return Rollout(examples, targets, owners, given, sampled.float(), reference), notes

    def loss(self, rollout: Rollout) -> tuple[torch.Tensor, Notes]:
        """The mean loss of the tokens of sampled texts."""
        config = self._config
        log_probs, mask = self._policy.log_probabilities(rollout.examples, rollout.targets, rollout.owners)
        log_probs = log_probs.float()
        losses = policy_losses(
            log_probs, rollout.sampled, rollout.reference, rollout.advantages, clip=config.clip, beta=config.beta
        )
        ratio = (log_probs.detach() - rollout.sampled).exp()
        # Beyond the clip a token of a good text gains nothing by becoming more probable, one of a bad text by less.
        moved = (ratio - 1) * rollout.advantages.sign()[:, None]
        notes = {"clipped": float(masked_mean((moved > config.clip).float(), mask))}
        if rollout.reference is not None:
            behind = rollout.reference - log_probs.detach()
            notes["kl"] = float(masked_mean(ratio * (behind.exp() - behind - 1), mask))
        return masked_mean(losses, mask), notes


def _both(pairs: Sequence[Pair]) -> tuple[list[Example], list[Target], list[int]]:
    """All chosen texts, then all rejected ones; each example is encoded once."""
    targets = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    return [pair.example for pair in pairs], targets, [*range(len(pairs))] * 2


__all__ = ["GroupSteps", "PairSteps", "Reference", "Rollout"]
