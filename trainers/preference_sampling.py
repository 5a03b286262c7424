"""From prompts to pairs: texts are sampled, scored, and put beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError
from trainers.preference_config import PreferenceConfig
from trainers.preference_pairs import Candidate, choose_pairs
from trainers.preference_policy import Example, Policy, Target
from trainers.preference_rewards import RewardFunction

Proposals = Callable[[Sequence[Example]], Sequence[Sequence[str]]]
"""Further texts for each of some examples, which are scored and paired beside the sampled ones."""


@dataclass
class Pair:
    """Two texts of one example, of which the first is preferred.

    Args:
        example: What both were written for.
        chosen, rejected: The texts.
        row: The place of the example among those that were given.
        reference: Log-probability of either by the reference, once it is known.
    """

    example: Example
    chosen: Target
    rejected: Target
    row: int = 0
    reference: tuple[float, float] | None = None


def sample_pairs(
    policy: Policy,
    examples: Sequence[Example],
    ranking: RewardFunction,
    coverage: Sequence[RewardFunction],
    config: PreferenceConfig,
    proposals: Proposals | None = None,
    report: Report = no_report,
) -> list[Pair]:
    """Let a policy write several texts for each example, and make pairs of them (see `choose_pairs`).

    Args:
        policy: Who writes.
        examples: The prompts.
        ranking: How good a text is.
        coverage: How much a text says, by several counts, none of which may be smaller for a chosen text.
        config: How many texts and pairs, and how they are drawn.
        proposals: Further texts for examples.
        report: Called with the number of examples that are done.

    Raises:
        InputDataError: There are examples, but no pair could be made.
    """
    pairs: list[Pair] = []
    size = max(1, config.sample_batch_size // config.group_size)
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        groups = policy.sample(
            part, config.group_size, temperature=config.temperature, max_new_tokens=config.max_new_tokens
        )
        if proposals is not None:
            groups = [
                [*group, *_proposed(policy, example, group, texts)]
                for example, group, texts in zip(part, groups, proposals(part), strict=True)
            ]
        owners = [place for place, group in enumerate(groups) for _ in group]
        texts = [policy.text(target) for group in groups for target in group]
        rows = [part[owner] for owner in owners]
        scores = ranking(texts, rows)
        counts = list(zip(*(count(texts, rows) for count in coverage), strict=True)) or [()] * len(texts)
        written = iter(zip(texts, scores, counts, strict=True))
        for row, (example, group) in enumerate(zip(part, groups, strict=True), start=start):
            candidates = [
                Candidate(text, score, tuple(counted), len(target.written), target.finished)
                for target, (text, score, counted) in zip(group, written, strict=False)
            ]
            pairs += [
                Pair(example, group[first], group[second], row)
                for first, second in choose_pairs(
                    candidates,
                    most=config.pairs_per_prompt,
                    tolerance=config.length_tolerance,
                    margin=config.score_margin,
                )
            ]
        report(Progress(start + len(part), len(examples), "prompts", f"{len(pairs)} pairs"))
    if examples and not pairs:
        raise InputDataError(
            f"no pair could be made of the texts of {len(examples)} prompts: of each prompt they are equally good, or "
            "the better ones say less or differ in length; raise group_size, temperature or length_tolerance"
        )
    return pairs


def given_pairs(policy: Policy, examples: Sequence[Example]) -> list[Pair]:
    """Pairs that the data have already: examples with the texts `chosen` and `rejected`.

    Raises:
        InputDataError: An example lacks one of the two.
    """
    found = []
    for row, example in enumerate(examples):
        chosen, rejected = (_given(policy, example, name, row) for name in ("chosen", "rejected"))
        found.append(Pair(example, chosen, rejected, row))
    return found


def _given(policy: Policy, example: Example, name: str, row: int) -> Target:
    """A text that an example has in one of its columns."""
    text = example.get(name)
    target = policy.read(example, text) if isinstance(text, str) else None
    if target is None:
        raise InputDataError(f"example {row} has no text '{name}'; give all examples 'chosen' and 'rejected', or none")
    return target


def _proposed(policy: Policy, example: Example, group: Sequence[Target], texts: Sequence[str]) -> Iterator[Target]:
    """The proposed texts that go on from what is given in this group."""
    for text in texts:
        target = policy.read(example, text, group[0].given)
        if target is not None:
            yield target


__all__ = ["Pair", "Proposals", "given_pairs", "sample_pairs"]
