"""The knowledge that a patient's measurements attend to, and when: a heat map of hours and terms, as a table.

maps = AttentionMaps(explainer, series_of_other_patients)   # once
html = maps.html(series)                                    # for each patient
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np

from clinragen.checking.checked import count_words
from clinragen.checking.printable import one_line
from clinragen.inference import Explainer
from clinragen.interventions.alignment import terms_of
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.knowledge_map_clinragen import map_knowledge

MOST_TERMS, MOST_COLUMNS = 12, 12
MOST_NAMED = 3
"""So many terms are named in the sentence above the table, and so many diseases beside a term."""
STRONGEST = 3.0
"""Standard deviations at which the ground of a cell has its full strength."""
FULL = 45
"""Per cent of the colour in the ground of such a cell; words stay readable on it."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """A patient's map.

    Args:
        hours: Of the first and the last measurement of each column, since ICU admission.
        terms: The terms, the strongest in the mean over the stay first.
        diseases: For each term the diseases that it belongs to.
        weights: `(terms, columns)`, in standard deviations of all terms and columns of the patient.
    """

    hours: tuple[tuple[float, float], ...]
    terms: tuple[str, ...]
    diseases: tuple[tuple[str, ...], ...]
    weights: np.ndarray


class AttentionMaps:
    """Makes the maps of a model's patients.

    Args:
        explainer: The model.
        others: Series of other patients. What a term gets of everybody says nothing about a patient: where there are
            others, a map shows what is above their mean; without them what is above the mean of all terms.
    """

    def __init__(self, explainer: Explainer, others: Iterable[LabSeries] = ()) -> None:
        self._explainer = explainer
        self._words: tuple[str, ...] = ()
        self._mean: np.ndarray | None = None
        self._count = 0
        knowledge = explainer.checking.knowledge
        if explainer.model.knowledge_attention is None or knowledge is None:
            return
        found = terms_of(explainer.model, explainer.processor, knowledge)
        # A term of several diseases is one term.
        self._words = tuple(dict.fromkeys(found.words))
        places = [found.words.index(word) for word in self._words]
        self._tokens = found.tokens[:, places]
        names = explainer.vocabulary.disease_names
        of_term: dict[str, list[str]] = {word: [] for word in self._words}
        for word, number in zip(found.words, found.diseases, strict=True):
            of_term[word].append(names[number])
        self._diseases = {word: tuple(dict.fromkeys(listed)) for word, listed in of_term.items()}
        seen = [self._attention(series)[1] for series in others if self.reason_against(series) is None]
        if seen:
            self._mean, self._count = np.concatenate(seen).mean(axis=0), len(seen)

    def reason_against(self, series: LabSeries) -> str | None:
        """Why there is no map of some measurements, as a sentence; None where there is one."""
        fusion = self._explainer.model.config.knowledge_fusion
        if self._explainer.model.knowledge_attention is None:
            return f"This model has no knowledge attention (its knowledge_fusion is '{fusion}'), so there is no map."
        if not self._words:
            return "This model has no knowledge base whose terms it knows, so there is no map."
        if not series.observed.any():
            return "Nothing was measured, so nothing attends to knowledge, and there is no map."
        return None

    def map(self, series: LabSeries) -> AttentionMap | None:
        """The map of some measurements; None where there is a `reason_against` it."""
        if self.reason_against(series) is not None:
            return None
        hours, weights = self._attention(series)
        weights = weights - (weights.mean() if self._mean is None else self._mean)
        spread = weights.std()
        weights = weights / spread if spread > 0 else weights
        strongest = np.argsort(-weights.mean(axis=0), kind="stable")[:MOST_TERMS]
        parts = np.array_split(np.arange(len(hours)), min(MOST_COLUMNS, len(hours)))
        words = tuple(self._words[place] for place in strongest)
        return AttentionMap(
            hours=tuple((float(hours[part[0], 0]), float(hours[part[-1], 1])) for part in parts),
            terms=words,
            diseases=tuple(self._diseases[word] for word in words),
            weights=np.stack([weights[part][:, strongest].mean(axis=0) for part in parts], axis=1),
        )

    def html(self, series: LabSeries) -> str:
        """The map as part of a page that has `attention_style()`, or a sentence that says why there is none."""
        found = self.map(series)
        content = f"<p>{escape(self.reason_against(series) or '')}</p>\n" if found is None else self._table(found)
        return f'<section class="clinragen-attention" aria-label="Knowledge attention">\n{content}</section>\n'

    def _attention(self, series: LabSeries) -> tuple[np.ndarray, np.ndarray]:
        """Hours of the patches, `(patches, 2)`, and what they give to each term, `(patches, terms)`."""
        given = {"hours": series.hours, "values": series.values}
        found = map_knowledge(self._explainer.model, self._explainer.processor, given)
        return found.hours, found.weights @ self._tokens

    def _table(self, found: AttentionMap) -> str:
        above = (
            "the mean of all terms" if self._mean is None else f"the mean over {count_words(self._count, 'patient')}"
        )
        head = "".join(f'<th scope="col">{_between(*pair)}</th>' for pair in found.hours)
        rows = "".join(
            f'<tr><th scope="row">{escape(one_line(word))}</th>{"".join(map(_cell, weights.tolist()))}</tr>\n'
            for word, weights in zip(found.terms, found.weights, strict=True)
        )
        return (
            f"<p>{escape(in_words(found))}</p>\n"
            f"<p>The table has what the measurements attend to, in standard deviations above {above}. It shows what "
            "the attention computes, not why a diagnosis is made.</p>\n"
            '<div class="wide" role="region" aria-label="Table of terms and hours" tabindex="0">\n<table>\n'
            "<caption>Attention to terms, by hours since ICU admission</caption>\n"
            f'<thead><tr><th scope="col">Term</th>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n'
        )


def attention_style() -> str:
    """The style sheet of `AttentionMaps.html`; it changes nothing outside `.clinragen-attention`."""
    return (files("clinragen.demo") / "resources" / "attention_map.css").read_text(encoding="utf-8")


def in_words(found: AttentionMap) -> str:
    """A map in a sentence: its strongest terms with their diseases, and when each is strongest."""
    parts = []
    for word, diseases, weights in list(zip(found.terms, found.diseases, found.weights, strict=True))[:MOST_NAMED]:
        when = _hours(*found.hours[int(np.argmax(weights))])
        named = "; ".join(diseases[:MOST_NAMED])
        parts.append(f"“{one_line(word)}” ({one_line(named)}), most at {when}")
    return f"The strongest terms: {'. '.join(parts)}."


def _hours(first: float, last: float) -> str:
    between = _between(first, last)
    return f"{'hours' if '–' in between else 'hour'} {between}"


def _between(first: float, last: float) -> str:
    low, high = f"{first:.0f}", f"{last:.0f}"
    return low if low == high else f"{low}–{high}"


def _cell(weight: float) -> str:
    share = round(FULL * min(1.0, abs(weight) / STRONGEST))
    sign = "above" if weight >= 0 else "below"
    return f'<td class="{sign}" style="--share: {share}%">{weight:+.1f}</td>'
