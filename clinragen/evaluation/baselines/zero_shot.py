"""Zero-shot, a baseline of the paper: a language model is asked which of the diseases a patient has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from clinragen.claims.filter import named_diseases
from clinragen.llm.client import LLMClient
from clinragen.llm.types import Message, Request
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import ModelInputError
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

RESOURCES = files("clinragen.evaluation.baselines") / "resources"
logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def load_prompt() -> Mapping[str, Any]:
    """The shipped prompt."""
    content: Mapping[str, Any] = yaml.safe_load((RESOURCES / "zero_shot_prompt.yaml").read_text(encoding="utf-8"))
    return content


class ZeroShot:
    """Diagnoses that a language model gives without training, through the interface of the teachers.

    It reads the note, the anomalies of the series in words (the paper's A), and the names of all diseases.

    Args:
        client: Sends the requests; its journal keeps the answers.
        vocabulary: Names variables and diseases.
        range_set: What is low and high.
    """

    def __init__(self, client: LLMClient, vocabulary: Vocabulary, range_set: RangeSet) -> None:
        self._client = client
        self._vocabulary = vocabulary
        self._range_set = range_set

    async def diagnose(self, examples: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, dict[str, Any]]:
        """Ask about examples of the data contract; labels and rationales are not read.

        Returns:
            0/1 decisions `(examples, diseases)`, and what was asked, JSON-able. An answer in which no disease is named
            gives none; `unnamed` counts those that do not say so.
        """
        texts = await asyncio.gather(*(self._answer(self.messages(example)) for example in examples))
        keys = [disease.key for disease in self._vocabulary.diseases]
        named = [named_diseases(text, self._vocabulary) for text in texts]
        decisions = np.array([[key in found for key in keys] for found in named], dtype=np.int8)
        none = load_prompt()["none"].casefold()
        unnamed = sum(not found and none not in text.casefold() for text, found in zip(texts, named, strict=True))
        settings = {**self._client.model.settings, "prompt": load_prompt()["version"]}
        return decisions, {"model": self._client.model.name, "settings": settings, "unnamed": unnamed}

    def messages(self, example: Mapping[str, Any]) -> tuple[Message, ...]:
        """The conversation about one patient."""
        prompt = load_prompt()
        words = clean_note(example["note"]).split(" ")
        series = LabSeries.from_example(self._vocabulary, example)
        task = prompt["task"].format(
            note=" ".join(words[: prompt["note_words"]]).strip() or prompt["no_note"],
            anomalies=series.in_words(self._range_set) or prompt["no_anomalies"],
            diseases="\n".join(self._vocabulary.disease_names),
            none=prompt["none"],
        )
        return Message("system", prompt["system"]), Message("user", task)

    async def _answer(self, messages: tuple[Message, ...]) -> str:
        try:
            request = Request(messages, max_tokens=load_prompt()["max_tokens"])
            return (await self._client.complete(request)).text
        except ModelInputError as error:
            # Too long for this model: nobody is diagnosed, and the others are still asked.
            logger.warning("%s", error)
            return ""
