"""Language models as teachers: R_m, then R_t, and one repair, each with its own request (paper, section 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.claims.rationale import Complaint, Rationale
from clinragen.llm.client import LLMClient
from clinragen.llm.types import Message, Request
from clinragen.teachers.prompt import Prompt
from modeling_clinragen.errors import ModelInputError

logger = logging.getLogger(__name__)


class LLMTeacher:
    """Writes rationales with a language model.

    The requests for an example depend only on the example and on the model's own earlier answers, and the client's
    journal has every answer: repeating them after an interruption costs nothing.

    Args:
        client: Sends the requests; see `clinragen.llm`.
        prompt: The conversation about one patient.
        max_tokens: Maximum tokens per answer; each rationale is one answer.
        temperature: 0 for the most likely answer.
        seed: Seed of the sampling, where the temperature is not 0.
        concurrency: Number of examples at a time.
    """

    def __init__(
        self,
        client: LLMClient,
        prompt: Prompt,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        concurrency: int,
    ) -> None:
        self._client = client
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._seed = seed if temperature else None
        self.concurrency = concurrency

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._client.model.name

    @property
    def settings(self) -> dict[str, Any]:
        """Model, sampling and prompt version."""
        return {
            **self._client.model.settings,
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": self._seed,
            "prompt": self._prompt.version,
        }

    @property
    def services(self) -> Sequence[Mapping[str, Any]]:
        """The services that gave the answers, in this run or an earlier one."""
        return self._client.services

    @property
    def usage(self) -> Mapping[str, Any]:
        """Number of answers, tokens and cost."""
        return self._client.usage

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        """R_m first; the request for R_t contains it."""
        patient = self._prompt.describe(example)
        note = await self._answer(self._prompt.about_note(patient))
        return Rationale(note, await self._answer(self._prompt.about_labs(patient, note)))

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        """Both again, with the faults pointed out; None where the answer does not have the two parts."""
        messages = self._prompt.about_faults(self._prompt.describe(example), rationale, complaints)
        return self._prompt.parts(await self._answer(messages, parts=2))

    async def _answer(self, messages: tuple[Message, ...], parts: int = 1) -> str:
        request = Request(
            messages, max_tokens=parts * self._max_tokens, temperature=self._temperature, seed=self._seed
        )
        try:
            return (await self._client.complete(request)).text.strip()
        except ModelInputError as error:
            # Only this request failed: its example is rejected as empty, the others continue.
            logger.warning("%s", error)
            return ""
