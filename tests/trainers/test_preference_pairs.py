"""Pairs of texts: no pair rewards saying less."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from trainers.preference_pairs import Candidate, choose_pairs

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        text=st.text(max_size=3),
        score=st.integers(-4, 1).map(float) | st.just(-float("inf")),
        coverage=st.tuples(st.integers(0, 3).map(float), st.integers(0, 3).map(float)),
        length=st.integers(0, 40),
        finished=st.booleans(),
    ),
    max_size=9,
)


def possible(one: Candidate, other: Candidate, tolerance: float) -> bool:
    """What may be preferred to what, written down a second time."""
    lengths = sorted((one.length, other.length))
    as_long = lengths[1] == 0 or (lengths[1] - lengths[0]) / lengths[1] <= tolerance + 1e-12
    says_less = one.coverage[0] < other.coverage[0] or one.coverage[1] < other.coverage[1]
    return one.score > other.score and not says_less and as_long and (one.finished or not other.finished)


@given(CANDIDATES, st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(1, 4))
def test_a_chosen_text_is_better_and_never_says_less(
    candidates: Sequence[Candidate], tolerance: float, most: int
) -> None:
    pairs = choose_pairs(candidates, most=most, tolerance=tolerance)
    assert len(pairs) <= most
    for chosen, rejected in pairs:
        assert possible(candidates[chosen], candidates[rejected], tolerance)
    used = [place for pair in pairs for place in pair]
    assert len(used) == len(set(used))
    # Pairs are left out only for want of room or because one of the texts is in a better pair.
    free = set(range(len(candidates))) - set(used)
    if len(pairs) < most:
        assert not [
            (one, other) for one in free for other in free if possible(candidates[one], candidates[other], tolerance)
        ]


@given(CANDIDATES, st.integers(0, 8))
def test_a_text_with_a_sentence_less_is_never_preferred_to_the_whole(
    candidates: Sequence[Candidate], place: int
) -> None:
    """Leaving out what is wrong makes a text better; where it also leaves out what holds, it is not chosen."""
    if not candidates:
        return
    whole = candidates[place % len(candidates)]
    if not whole.coverage[0]:
        return
    shorter = Candidate("", 1.0, (whole.coverage[0] - 1, whole.coverage[1]), whole.length)
    found = choose_pairs([whole, shorter], most=2, tolerance=1.0)
    assert (1, 0) not in found


@given(CANDIDATES)
def test_the_order_of_the_texts_does_not_change_what_is_gained(candidates: Sequence[Candidate]) -> None:
    def best(texts: Sequence[Candidate]) -> float | None:
        pairs = choose_pairs(texts, most=1, tolerance=0.3)
        return texts[pairs[0][0]].score - texts[pairs[0][1]].score if pairs else None

    assert best(candidates) == best(candidates[::-1])


def test_a_margin_and_an_unfinished_text() -> None:
    better, worse = Candidate("a", 2.0, (1.0,), 10), Candidate("b", 1.0, (1.0,), 10)
    assert choose_pairs([worse, better], most=1, tolerance=0.0) == [(1, 0)]
    assert choose_pairs([worse, better], most=1, tolerance=0.0, margin=1.0) == []
    cut = Candidate("c", 3.0, (1.0,), 10, finished=False)
    assert choose_pairs([worse, cut], most=1, tolerance=0.0) == []
