"""Draws the cases of a study: by number of diseases and by what the checker flags, many diseases among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeling_clinragen.errors import SettingsError

# Number of diseases up to which a case is in this class; the last class has no bound.
_CLASSES = (0, 1, 3)


@dataclass(frozen=True)
class Candidate:
    """A case that can be drawn.

    Args:
        example: Its `example_id`.
        subject: The person; no two cases of a study are of one.
        diseases: Keys of the diseases that the person has.
        flagged: Whether the checker contradicts a sentence of one of its rationales.
    """

    example: str
    subject: int
    diseases: tuple[str, ...]
    flagged: bool

    @property
    def stratum(self) -> tuple[int, bool]:
        """Class of the number of diseases, and whether something is flagged."""
        return sum(len(self.diseases) > bound for bound in _CLASSES), self.flagged


def draw_cases(candidates: Sequence[Candidate], wanted: int, rng: np.random.Generator) -> list[Candidate]:
    """Draw cases: from every stratum in proportion to its size, within it those whose diseases are rare so far.

    Raises:
        SettingsError: There are fewer persons than cases wanted.
    """
    shuffled = [candidates[place] for place in rng.permutation(len(candidates))]
    persons = list({one.subject: one for one in reversed(shuffled)}.values())[::-1]
    if len(persons) < wanted:
        raise SettingsError(
            f"cases: {wanted} are wanted, but only {len(persons)} patients have a rationale of every source; "
            "ask for fewer, or evaluate more"
        )
    strata: dict[tuple[int, bool], list[Candidate]] = {}
    for one in persons:
        strata.setdefault(one.stratum, []).append(one)
    seen: Counter[str] = Counter()
    drawn: list[Candidate] = []
    for stratum, size in shares({name: len(members) for name, members in strata.items()}, wanted).items():
        members = strata[stratum]
        for _ in range(size):
            # The first of equals, in shuffled order.
            best = max(members, key=lambda one: _rarity(one, seen))
            members.remove(best)
            seen.update(best.diseases)
            drawn.append(best)
    return [drawn[place] for place in rng.permutation(len(drawn))]


def shares(sizes: Mapping[tuple[int, bool], int], wanted: int) -> dict[tuple[int, bool], int]:
    """How many of each stratum: at least one of each where that is possible, else in proportion (largest remainders).

    Args:
        sizes: Members by stratum, none of them empty.
        wanted: How many altogether, at most as many as there are members.
    """
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    found = {name: int(place < wanted) for place, name in enumerate(order)}
    left = wanted - sum(found.values())
    while left:
        total = sum(sizes.values())
        # The one that is farthest below its share.
        name = max(
            (one for one in order if found[one] < sizes[one]), key=lambda one: wanted * sizes[one] / total - found[one]
        )
        found[name] += 1
        left -= 1
    return found


def _rarity(one: Candidate, seen: Mapping[str, int]) -> float:
    if not one.diseases:
        return 0.0
    return sum(1 / (1 + seen[key]) for key in one.diseases) / len(one.diseases)
