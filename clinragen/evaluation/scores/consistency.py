"""Whether the sentences of a rationale agree with each other and with the list of diagnoses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.claims.consistency import find_disagreements
from clinragen.evaluation.checked import CheckedRationale
from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from clinragen.evaluation.texts import each_text
from trainers.formatting import format_percent, markdown_table

COUNTED = {
    "unlisted": "Argues for a disease that is not listed",
    "denied": "Argues for a disease by a source and says that the source does not point to it",
    "either": "Either",
}


def consistency_scores(written: WrittenRationales) -> dict[str, Any]:
    """Shares of the rationales with a disagreement, by text ("raw", "shown"), with intervals (`Bootstrap.quotient`).

    `unlisted` counts rationales that argue for a disease which the answer does not list, `denied` those in which one
    sentence argues for a disease by the note (or the series) and another says that the note (the series) as a whole
    does not point to it, and `either` those with one of the two.
    """
    return written.by_text(lambda rationales: _score(rationales, written))


def _score(rationales: Sequence[CheckedRationale], written: WrittenRationales) -> dict[str, Any]:
    names = written.checking.vocabulary.name_of_disease
    found = []
    for rationale, listed in zip(rationales, written.listed, strict=True):
        argued = [sentence.argued for sentence in rationale.sentences]
        arguments = [argument for sentence in argued for argument in sentence.arguments]
        unlisted = any(not one.negated and not listed.issuperset(one.diseases) for one in arguments)
        denied = any(find_disagreements(argued, names))
        found.append((unlisted, denied, unlisted or denied))
    parsed = np.array([rationale.text is not None for rationale in rationales])
    return {
        name: written.bootstrap.quotient(column, parsed)
        for name, column in zip(COUNTED, np.array(found).T, strict=True)
    }


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"consistency": consistency_scores(written)}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    rows = [
        [title, *(format_percent(scores[name]) for name in COUNTED)]
        for title, scores in each_text(systems, "consistency").items()
    ]
    return [
        "### Rationales that contradict themselves or the diagnoses",
        markdown_table(["Rationales", *COUNTED.values()], rows),
    ]


CONSISTENCY = RationaleScore(_compute, section=_section, of_teacher=True)
