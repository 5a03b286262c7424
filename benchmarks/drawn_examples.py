"""Random patients whose notes, series and targets are as long as real ones (see lengths.py), and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import read_json
from modeling_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.modeling_clinragen import IGNORED, MULTIPLE

LENGTHS = read_json(Path(__file__).resolve().parent / "lengths.json")
VARIABLES = shipped_definitions().vocabulary.variables
FIRST_WORD = 3  # the ids below are T5's padding, end and unknown


@dataclass(frozen=True)
class Example:
    """One patient: token ids of note and target, and the series as `ClinRaGenLabFeatureExtractor` takes it."""

    note: list[int]
    target: list[int]
    series: dict[str, np.ndarray]


@dataclass(frozen=True)
class Limits:
    """Maximum lengths, and the number of token ids."""

    vocabulary: int
    note_tokens: int = 1475
    steps: int = 1000
    target_tokens: int = 500


def draw_lengths(kind: str, count: int, longest: int, rng: np.random.Generator) -> list[int]:
    """`count` lengths of one kind in random order.

    They are the distribution's values at evenly spaced shares, so that a few of them already represent all.
    """
    shares = rng.permutation((np.arange(count) + 0.5) / count)
    lengths = np.interp(100 * shares, LENGTHS["percentiles"], LENGTHS[kind]["lengths"])
    return [min(round(float(length)), longest) for length in lengths]


def draw_example(
    note_tokens: int, steps: int, target_tokens: int, limits: Limits, rng: np.random.Generator
) -> Example:
    """A patient of given lengths: random tokens, random levels of all variables, hours in the first two days."""
    levels = np.array([variable.fill for variable in VARIABLES])
    return Example(
        note=rng.integers(FIRST_WORD, limits.vocabulary, note_tokens).tolist(),
        target=rng.integers(FIRST_WORD, limits.vocabulary, target_tokens).tolist(),
        series={
            "hours": np.sort(rng.uniform(0.0, 48.0, steps)),
            "values": levels * rng.normal(1.0, 0.1, (steps, len(levels))),
        },
    )


def draw_examples(count: int, limits: Limits, seed: int) -> list[Example]:
    """Patients of all lengths; the lengths of note, series and target are independent."""
    rng = np.random.default_rng(seed)
    lengths = zip(
        draw_lengths("note_tokens", count, limits.note_tokens, rng),
        draw_lengths("steps", count, limits.steps, rng),
        draw_lengths("target_tokens", count, limits.target_tokens, rng),
        strict=True,
    )
    return [draw_example(*each, limits, rng) for each in lengths]


def make_extractor(layout: str, limits: Limits) -> ClinRaGenLabFeatureExtractor:
    """An extractor for the shipped variables in one of the two layouts."""
    fills = [variable.fill for variable in VARIABLES]
    return ClinRaGenLabFeatureExtractor(
        variables=[variable.key for variable in VARIABLES],
        units=[variable.unit for variable in VARIABLES],
        means=fills,
        stds=[max(abs(fill) / 5, 0.1) for fill in fills],
        max_steps=limits.steps,
        lab_layout=layout,
        fills=fills if layout == "paper" else (),
    )


def split(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Batches of `size`, in the order given."""
    return [list(examples[at : at + size]) for at in range(0, len(examples), size)]


def padded(rows: Sequence[Sequence[int]], value: int, length: int | None = None) -> torch.Tensor:
    """Rows as one tensor, filled up at the end with `value` to `length`, by default the longest row's."""
    width = max(map(len, rows)) if length is None else length
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def our_batch(
    examples: Sequence[Example], extractor: ClinRaGenLabFeatureExtractor, label_padding: int = IGNORED
) -> dict[str, Any]:
    """What `ClinRaGenForConditionalGeneration.forward` takes, with labels padded as the trainers do."""
    ids = padded([example.note for example in examples], 0)
    longest = max(len(example.target) for example in examples)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        **extractor([example.series for example in examples], return_tensors="pt"),
        "labels": padded([example.target for example in examples], label_padding, longest + -longest % MULTIPLE),
    }
