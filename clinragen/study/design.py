"""The design of a study: opaque names for cases and rationales, repeats, and each rater's order and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinragen.study.config import StudyConfig


@dataclass(frozen=True)
class Entry:
    """A case as it is rated: once, or a second time.

    Args:
        name: Opaque name of this showing.
        case: Number of the case.
        items: Opaque names of its rationales, by source in the sources' own order.
        repeat: Whether it is the second showing.
    """

    name: str
    case: int
    items: tuple[str, ...]
    repeat: bool


@dataclass(frozen=True)
class Form:
    """One rater's study.

    Args:
        rater: Name of the rater, which says nothing about a person.
        order: The entries by their places, with the order of the rationales of each (numbers of sources).
        flagged: Names of the entries that are shown with the checker's flags.
    """

    rater: str
    order: tuple[tuple[int, tuple[int, ...]], ...]
    flagged: frozenset[str]


@dataclass(frozen=True)
class Design:
    """All entries, and the form of every rater."""

    entries: tuple[Entry, ...]
    forms: tuple[Form, ...]


def make_design(config: StudyConfig, rng: np.random.Generator) -> Design:
    """Lay a study out.

    Every rater gets every rationale: order and flags differ, and the repeats are the same cases for all. Half of a
    rater's cases have flags; of two raters one after the other, each case has flags for one (so that no case is easier
    for a condition than another). All rationales of a case have flags or none: who has seen an error flagged in one
    knows it in the next. A repeat has what its first showing had, and follows in the second half.
    """
    sources, cases = len(config.sources), config.cases
    repeated = sorted(rng.permutation(cases)[: config.repeats].tolist())
    shown = [(case, False) for case in range(cases)] + [(case, True) for case in repeated]
    names = _opaque(len(shown) * (sources + 1), rng)
    entries = tuple(
        Entry(names[place], case, tuple(names[len(shown) + place * sources :][:sources]), repeat)
        for place, (case, repeat) in enumerate(shown)
    )
    forms = []
    half = np.zeros(cases, dtype=bool)
    for number in range(config.raters):
        half = ~half if number % 2 else _half(cases, rng)
        flagged = frozenset(entry.name for entry in entries if config.flags and half[entry.case])
        order = _order(entries, cases, repeated, rng)
        rationales = [tuple(rng.permutation(sources).tolist()) for _ in order]
        forms.append(Form(f"rater-{number + 1}", tuple(zip(order, rationales, strict=True)), flagged))
    return Design(entries, tuple(forms))


def _half(cases: int, rng: np.random.Generator) -> np.ndarray:
    found = np.arange(cases) < cases // 2 + (int(rng.integers(2)) if cases % 2 else 0)
    return rng.permutation(found)


def _order(entries: Sequence[Entry], cases: int, repeated: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Places of the entries: what is repeated comes in the first half, its repeat in the second."""
    others = [case for case in rng.permutation(cases).tolist() if case not in repeated]
    ahead = max(0, -(-cases // 2) - len(repeated))
    first = [*repeated, *others[:ahead]]
    second = [*others[ahead:], *range(cases, len(entries))]
    return [*rng.permutation(first).astype(int).tolist(), *rng.permutation(second).astype(int).tolist()]


def _opaque(count: int, rng: np.random.Generator) -> list[str]:
    """Different names that say nothing, not even which came first."""
    found: dict[str, None] = {}
    while len(found) < count:
        # With a letter in front: a spreadsheet would take 1234567890 and 12345678e1 for numbers.
        found[f"r{int(rng.integers(1 << 40)):010x}"] = None
    return list(found)
