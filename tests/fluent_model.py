"""A tiny random model that writes in sentences, so that what is checked of it is more than noise.

The sentences are made here and speak of any disease and variable at random, right or wrong: whether what they say
holds depends on the patient alone.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from modeling_clinragen.vocabulary_clinragen import Vocabulary
from modeling_clinragen.writing_clinragen import GroundedWriting

LONGEST_CONTEXT = 16
START = -1
"""Stands before the first token of a text."""
_LEVELS = ("is high", "is low", "rises", "falls", "is normal", "is high in most readings", "is low in every reading")
_DETAILS = ("", " from hour 8", ", peaking near 130", ", down to about 70", " until hour 20", ", lowest near 60")
_QUOTED = ("dyspnea", "fever", "cough", "diabetes", "orthopnea", "melena", "chest pain")
_VAGUE = ("The patient looks ill.", "There is no note.", "Nothing was measured.", "She was seen on rounds.")


def sentences(vocabulary: Vocabulary, count: int = 400, seed: int = 0) -> list[str]:
    """Sentences as a rationale has them, and some that claim nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        first, second = rng.choice(vocabulary.disease_names, 2, replace=False)
        name = vocabulary.variables[rng.integers(len(vocabulary.variables))].name
        name = name[0].upper() + name[1:]
        level, detail = rng.choice(_LEVELS), rng.choice(_DETAILS)
        one, other = rng.choice(_QUOTED, 2, replace=False)
        found.append(
            str(
                rng.choice(
                    [
                        f'"{one}" supports {first}.',
                        f'"{one}" supports {first} and {second}.',
                        f'"{one}" and "{other}" support {first}.',
                        f"{name} {level}{detail}.",
                        f"{name} {level}{detail}, in keeping with {first}.",
                        f"{name} {level}{detail}, in keeping with {first} and {second}.",
                        f"{name} was not measured.",
                        f"The note itself does not point to {first}.",
                        f"No measurement points to {first}.",
                        str(rng.choice(_VAGUE)),
                    ]
                )
            )
        )
    return found


def made_up(vocabulary: Vocabulary, seed: int = 0) -> list[tuple[list[str], str]]:
    """Lists of diseases with rationales of such sentences."""
    rng = np.random.default_rng(seed)
    made = sentences(vocabulary, seed=seed)
    return [
        (
            rng.choice(vocabulary.disease_names, int(rng.integers(2, 6)), replace=False).tolist(),
            " ".join(made[place : place + 8]),
        )
        for place in range(0, len(made), 8)
    ]


class _Fluency(LogitsProcessor):
    """Scores the tokens by the sentences, and by the model as far as `share` lets it.

    Args:
        table: How often each token follows a context, by context.
        share: Share of the model's own scores.
        skipped: Tokens at the beginning of a row that are no text.
        before: The text before each text's own tokens, where those do not have it.
        writing: The search, where texts leave its batch.
    """

    def __init__(
        self,
        table: dict[tuple[int, ...], Counter[int]],
        share: float,
        skipped: int,
        before: Sequence[list[int]] | None,
        writing: GroundedWriting | None,
    ) -> None:
        self._table, self._share, self._skipped, self._before = table, share, skipped, before
        self._writing = writing

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        fluent = torch.full_like(scores, -9.0)
        rows = input_ids[:, self._skipped :].tolist()
        numbers = range(len(rows)) if self._writing is None else self._writing.batch
        for row, (number, ids) in enumerate(zip(numbers, rows, strict=True)):
            known = [START, *(() if self._before is None else self._before[number]), *ids]
            for size in range(min(LONGEST_CONTEXT, len(known)), -1, -1):
                following = self._table.get(tuple(known[len(known) - size :]))
                if following:
                    for token, count in following.items():
                        fluent[row, token] = math.log(count)
                    break
        return fluent + self._share * scores


class FluentModel:
    """A model that writes in sentences; everything but `generate` is the given model's.

    Args:
        model, processor: A ClinRaGen model, as random as it may be, and its processor.
        share: Share of the model's own scores: the greater, the more does the text depend on patient and model.
        answers: Lists of diseases and rationales that it writes like; by default made-up ones.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        share: float = 1.0,
        answers: Sequence[tuple[Sequence[str], str]] | None = None,
    ) -> None:
        self._model, self._share = model, share
        self._table: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for listed, text in made_up(processor.vocabulary) if answers is None else answers:
            ids = [START, *processor.tokenizer(processor.target(list(listed), text))["input_ids"]]
            for place, token in enumerate(ids[1:], start=1):
                for size in range(min(LONGEST_CONTEXT, place) + 1):
                    self._table[tuple(ids[place - size : place])][token] += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def eval(self) -> FluentModel:
        """This model: what it wraps is evaluated as it is."""
        self._model.eval()
        return self

    def generate(self, **settings: Any) -> Any:
        """As the model's, with the scores of the sentences before every other processor."""
        prefix = settings.get("target_prefix")
        skipped, before = 0, None
        if self._model.config.is_encoder_decoder:
            skipped = 1
        elif prefix is not None:
            mask = settings["target_prefix_mask"]
            before = [ids[known.bool()].tolist() for ids, known in zip(prefix, mask, strict=True)]
        fluency = _Fluency(self._table, self._share, skipped, before, settings.get("custom_generate"))
        given = settings.pop("logits_processor", [])
        return self._model.generate(logits_processor=LogitsProcessorList([fluency, *given]), **settings)
