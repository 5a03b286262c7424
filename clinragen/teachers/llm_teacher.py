"""Teachers that are language models: R_m, then R_t, and one repair, each a request of its own (paper, section 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.llm.client import Asker
from clinragen.llm.types import Message, Request
from clinragen.teachers.prompt import Prompt
from clinragen.teachers.teacher import Complaint, Rationale
from modeling_clinragen.errors import ModelInputError

logger = logging.getLogger(__name__)


class ModelTeacher:
    """Writes rationales by asking a language model.

    What it asks for an example depends on the example and on its own earlier answers alone, and the asker's journal
    has every answer: the same questions after an interruption cost nothing.

    Args:
        asker: Asks the model; see `clinragen.llm`.
        prompt: What it is asked.
        max_tokens: Longest answer; each rationale is one.
        temperature: 0 for the likeliest answer.
        seed: Of the sampling, with another temperature.
        concurrency: Examples at once.
    """

    def __init__(
        self,
        asker: Asker,
        prompt: Prompt,
        *,
        max_tokens: int = 400,
        temperature: float = 0.0,
        seed: int = 0,
        concurrency: int = 32,
    ) -> None:
        self._asker = asker
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._seed = seed if temperature else None
        self.concurrency = concurrency

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._asker.model.name

    @property
    def settings(self) -> dict[str, Any]:
        """Model, sampling and prompt version."""
        return {
            **self._asker.model.settings,
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": self._seed,
            "prompt": self._prompt.version,
        }

    @property
    def services(self) -> Sequence[Mapping[str, Any]]:
        """Who gave the answers, in this run or an earlier one."""
        return self._asker.services

    @property
    def usage(self) -> Mapping[str, Any]:
        """Answers, tokens and cost."""
        return self._asker.usage

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        """R_m, then, with R_m in view, R_t."""
        told = self._prompt.told(example)
        note = await self._answer(self._prompt.about_note(told))
        return Rationale(note, await self._answer(self._prompt.about_labs(told, note)))

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        """Both again, with the faults pointed out; None where the answer has not the two parts asked for."""
        told = self._prompt.told(example)
        return self._prompt.parts(await self._answer(self._prompt.about_faults(told, rationale, complaints), parts=2))

    async def _answer(self, messages: tuple[Message, ...], parts: int = 1) -> str:
        request = Request(
            messages, max_tokens=parts * self._max_tokens, temperature=self._temperature, seed=self._seed
        )
        try:
            return (await self._asker.ask(request)).text.strip()
        except ModelInputError as error:
            # This request alone: its example is rejected as empty, and the others go on.
            logger.warning("%s", error)
            return ""
