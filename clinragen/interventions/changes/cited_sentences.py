"""The sentences of the note that the rationale cites removed, and as many uncited ones of the same size."""

from __future__ import annotations

from clinragen.interventions.intervention import Intervention, Pair
from clinragen.interventions.matching import uncited_like
from clinragen.interventions.patient import SENTENCE, Case, Group, Shown, Unit


def _chosen(case: Case, group: Group) -> tuple[list[Unit], list[Unit]] | None:
    """Cited and uncited ones; None where there is no rationale, nothing is cited, or there are too few others."""
    cited = case.cited_units(SENTENCE)
    uncited = uncited_like(case, group, cited) if cited else None
    return None if uncited is None else (cited, uncited)


def _without_cited(case: Case, group: Group) -> Shown | None:
    chosen = _chosen(case, group)
    return None if chosen is None else case.without(chosen[0])


def _without_uncited(case: Case, group: Group) -> Shown | None:
    chosen = _chosen(case, group)
    return None if chosen is None else case.without(chosen[1])


CITED_SENTENCES = Pair(
    "cited_sentences",
    "Sentences",
    Intervention("cited_sentences", "Cited sentences of the note removed", _without_cited),
    Intervention("uncited_sentences", "Uncited sentences of the note removed, as many and as long", _without_uncited),
)
