"""Pairs of texts of one prompt of which one is better, and not because it says less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A text that may become one of a pair.

    Args:
        text: The text.
        score: How good it is; the greater the better.
        coverage: How much it says, by one or several counts; more is never worse.
        length: Number of its tokens.
        finished: Whether it came to its end; one that did not is never preferred to one that did.
    """

    text: str
    score: float
    coverage: tuple[float, ...]
    length: int
    finished: bool = True


def is_pair(chosen: Candidate, rejected: Candidate, *, tolerance: float, margin: float = 0.0) -> bool:
    """Whether one text may be preferred to another one.

    It has to be better by more than `margin`, to say at least as much by every count, and to be as long: the shorter
    of the two lacks at most the share `tolerance` of the longer one's tokens. Whatever learns from such pairs can't do
    better by saying less.
    """
    longer, shorter = max(chosen.length, rejected.length), min(chosen.length, rejected.length)
    return (
        (chosen.finished or not rejected.finished)
        and chosen.score > rejected.score + margin
        and all(own >= other for own, other in zip(chosen.coverage, rejected.coverage, strict=True))
        and longer - shorter <= tolerance * longer
    )


def choose_pairs(
    candidates: Sequence[Candidate], *, most: int, tolerance: float, margin: float = 0.0
) -> list[tuple[int, int]]:
    """Places of the chosen and the rejected text of each pair, those first that differ most in score.

    Each text is in at most one pair, so that no single text decides what is learned of a prompt.

    Args:
        candidates: Texts of one prompt.
        most: How many pairs at most.
        tolerance, margin: As for `is_pair`.
    """
    possible = [
        (one.score - other.score, sum(one.coverage) - sum(other.coverage), -first, -second)
        for first, one in enumerate(candidates)
        for second, other in enumerate(candidates)
        if is_pair(one, other, tolerance=tolerance, margin=margin)
    ]
    pairs: list[tuple[int, int]] = []
    used: set[int] = set()
    for *_, first, second in sorted(possible, reverse=True):
        if len(pairs) < most and not {-first, -second} & used:
            pairs.append((-first, -second))
            used |= {-first, -second}
    return pairs


__all__ = ["Candidate", "choose_pairs", "is_pair"]
