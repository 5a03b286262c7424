"""The evidence of one kind that the rationale cites removed, and as much uncited evidence of the same size."""

from __future__ import annotations

from functools import partial

from clinragen.interventions.intervention import Intervention, Pair
from clinragen.interventions.matching import uncited_like
from clinragen.interventions.patient import Case, Group, Shown, Unit


def cited_pair(kind: str, pieces: str, source: str) -> Pair:
    """The pair of interventions about one kind of evidence.

    Args:
        kind: `SENTENCE` or `VARIABLE`.
        pieces: How reports call the pieces, such as "sentences".
        source: Where they stand, such as "the note".
    """

    def chosen(case: Case, group: Group) -> tuple[list[Unit], list[Unit]] | None:
        # None where there is no rationale, nothing is cited, or there are too few others.
        cited = case.cited_units(kind)
        uncited = uncited_like(case, group, cited) if cited else None
        return None if uncited is None else (cited, uncited)

    def without(place: int, case: Case, group: Group) -> Shown | None:
        found = chosen(case, group)
        return None if found is None else case.without(found[place])

    return Pair(
        f"cited_{pieces}",
        pieces.capitalize(),
        Intervention(f"cited_{pieces}", f"Cited {pieces} of {source} removed", partial(without, 0)),
        Intervention(
            f"uncited_{pieces}", f"Uncited {pieces} of {source} removed, as many and as long", partial(without, 1)
        ),
    )
