"""A heat map of one patient: which knowledge terms the lab vectors attend to, hour by hour, terms by disease."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from clinragen.evaluation.figures import GREY, INK, new_figure
from clinragen.interventions.alignment import Terms
from modeling_clinragen.vocabulary_clinragen import Vocabulary

MOST_DISEASES = 8
MOST_PRESENT = 5
TERMS_EACH = 4
LONGEST = 34
"""Characters of a term, or of a line of a disease's name, that are shown."""


def rows_to_show(weights: np.ndarray, terms: Terms, labels: np.ndarray) -> list[tuple[int, list[int]]]:
    """Diseases with the numbers of the terms that are shown: present ones first, then the most attended others.

    Of each disease the first terms of the knowledge base are shown, whatever they get.

    Args:
        weights: `(patches, terms)`.
        terms: The terms.
        labels: Which diseases are present, bool `(diseases,)`.
    """
    mean = weights.mean(axis=0)
    own = {int(disease): np.flatnonzero(terms.diseases == disease) for disease in np.unique(terms.diseases)}
    order = sorted(own, key=lambda disease: -mean[own[disease]].mean())
    present = [disease for disease in order if labels[disease]][:MOST_PRESENT]
    others = [disease for disease in order if not labels[disease]][: MOST_DISEASES - len(present)]
    return [(disease, own[disease][:TERMS_EACH].tolist()) for disease in (*present, *others)]


def draw_heat_map(
    path: Path, hours: np.ndarray, weights: np.ndarray, terms: Terms, labels: np.ndarray, vocabulary: Vocabulary
) -> None:
    """Draw one patient's map as PNG.

    Args:
        path: The file.
        hours: Of the first and the last step of each patch, `(patches, 2)`.
        weights: `(patches, terms)`: attention above the mean of each term over all patients.
        terms: The terms with their diseases.
        labels: Which diseases are present, bool `(diseases,)`.
        vocabulary: Names of the diseases.
    """
    shown = rows_to_show(weights, terms, labels)
    numbers = [term for _, group in shown for term in group]
    matrix = weights[:, numbers].T
    spread = weights.std()
    matrix = matrix / spread if spread > 0 else matrix
    # A patch ends where the next one begins.
    edges = np.append(hours[:, 0], max(hours[-1, 1], hours[-1, 0] + 1e-3))
    edges = np.maximum.accumulate(edges + np.arange(len(edges)) * 1e-6)
    with new_figure(path, 9.5, 1.4 + 0.215 * len(numbers)) as figure:
        axes = figure.subplots()
        axes.grid(visible=False)
        mesh = axes.pcolormesh(
            edges, np.arange(len(numbers) + 1), matrix, cmap="RdBu_r", vmin=-3, vmax=3, rasterized=True
        )
        axes.set_ylim(len(numbers), 0)
        axes.set_yticks(np.arange(len(numbers)) + 0.5, [_short(terms.words[term]) for term in numbers], fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("hours since ICU admission")
        place = 0
        for disease, group in shown:
            here = bool(labels[disease])
            axes.text(
                1.012,
                place + len(group) / 2,
                _wrapped(vocabulary.disease_names[disease] + (" (present)" if here else "")),
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=INK if here else GREY,
                fontweight="bold" if here else "normal",
            )
            place += len(group)
            axes.axhline(place, color="white", linewidth=2.5)
        axes.set_title("Attention of the lab patches to knowledge terms, above each term's mean over the patients")
        bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.35, aspect=30, pad=0.02)
        bar.set_label("standard deviations", fontsize=8)
        bar.ax.tick_params(labelsize=8)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, LONGEST, max_lines=3, placeholder="…"))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1].rstrip(' ;,(')}…"
