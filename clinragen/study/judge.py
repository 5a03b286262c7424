"""A language model as judge: it answers a study's checklists, each case twice in two orders.

It is one more rater, in a file of the same form, and never part of the people's means. Where a case may be sent is
decided as for a teacher: credentialed notes go to this machine only, unless the three statements are made.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.llm.client import LLMClient
from clinragen.llm.providers import open_client
from clinragen.llm.types import Message, Request
from clinragen.study.answers import Answer, RaterAnswers, write_answers
from clinragen.study.folder import CASES, Study
from clinragen.study.judge_config import JudgeConfig
from clinragen.study.judge_prompt import JudgePrompt
from dataset_builder.storage.files import faults_named, folder_lock, read_json
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError

logger = logging.getLogger(__name__)

ORDERS = 2


def judge_study(study: Study, config: JudgeConfig, *, report: Report = no_report) -> RaterAnswers:
    """Let a language model judge every case of a study, and write its answers beside the raters'.

    Every answer of the model is in a journal beside the study before it is used: the same command again goes on where
    an interruption left it, and costs nothing where nothing is missing.

    Args:
        study: The study.
        config: The judge.
        report: Called after every answer of the model.

    Raises:
        SettingsError: The name is a rater's, or the model cannot be reached with these settings.
        GovernanceError: Credentialed notes would leave this machine.
        InputDataError: The model answered nothing that can be used.
    """
    if config.name in study.raters:
        raise SettingsError(f"name: '{config.name}' is a rater of this study; choose another")
    found = asyncio.run(_judge(study, config, report))
    with folder_lock(study.answers / f"{config.name}.json"):
        write_answers(study.answers / f"{config.name}.json", found, study.id)
    return found


class _Judge:
    """Asks about one case in one order; counts what could not be used."""

    def __init__(self, study: Study, config: JudgeConfig, client: LLMClient) -> None:
        self._config = config
        self._client = client
        self.prompt = JudgePrompt(study.asked, study.diseases)
        self.faults: Counter[str] = Counter()

    async def answers(self, place: int, order: int, case: Mapping[str, Any]) -> dict[str, Answer]:
        """The answers about a case's rationales; none where the model's cannot be used."""
        # In the study's file they stand by their opaque names, which say nothing of their sources.
        rationales = case["rationales"][:: -1 if order else 1]
        items = [str(one["item"]) for one in rationales]
        messages = self.prompt.messages(case, rationales, reverse=bool(order))
        key = f"case {place + 1}, order {order + 1}"
        try:
            text = await self._ask(messages, len(items), key)
            found, fault = self._read(text, items)
            if found is None:
                self.faults["asked_again"] += 1
                text = await self._ask(self.prompt.again(messages, text, fault), len(items), key)
                found, fault = self._read(text, items)
        except ModelInputError as error:
            # Only this request failed; the others continue.
            self.faults["refused"] += 1
            logger.warning("%s", error)
            return {}
        if found is None:
            self.faults["unusable"] += 1
            logger.warning("%s: the answer was unusable twice (%s); it is left out", key, fault)
        return found or {}

    def _read(self, text: str, items: Sequence[str]) -> tuple[dict[str, Answer] | None, str]:
        """The answers in a text, or None and the fault."""
        try:
            return self.prompt.read(text, items), ""
        except InputDataError as error:
            return None, str(error)

    async def _ask(self, messages: tuple[Message, ...], count: int, key: str) -> str:
        config = self._config
        request = Request(
            messages,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=config.seed if config.temperature else None,
            json_schema=self.prompt.schema(count),
            key=key,
        )
        return (await self._client.complete(request)).text


async def _judge(study: Study, config: JudgeConfig, report: Report) -> RaterAnswers:
    cases = _cases(study)
    opened = open_client(
        config.llm,
        study.provenance(),
        journal_of(study),
        expected=ORDERS * len(cases),
        report=report,
    )
    async with opened as client:
        judge = _Judge(study, config, client)
        once, again = await asyncio.gather(*(_in_order(judge, order, cases) for order in range(ORDERS)))
        made_by = {
            "model": client.model.name,
            "settings": {
                **client.model.settings,
                "max_tokens": config.max_tokens,
                "temperature": config.temperature,
                "seed": config.seed if config.temperature else None,
                "prompt": judge.prompt.version,
                "criteria": study.criteria.version,
            },
            "services": [dict(one) for one in client.services],
            "usage": dict(client.usage),
            **{name: judge.faults[name] for name in ("asked_again", "unusable", "refused")},
        }
    if not once and not again:
        raise InputDataError(f"{config.llm.model_name}: gave no answer that can be used; try another model")
    return RaterAnswers(config.name, once, again, made_by)


async def _in_order(judge: _Judge, order: int, cases: Sequence[Mapping[str, Any]]) -> dict[str, Answer]:
    asked = [judge.answers(place, order, case) for place, case in enumerate(cases)]
    return {item: answer for found in await asyncio.gather(*asked) for item, answer in found.items()}


def journal_of(study: Study) -> Path:
    """The folder with the model's answers: beside the study, private."""
    return study.folder.resolve().with_name(study.folder.resolve().name + ".journal")


def _cases(study: Study) -> Sequence[Mapping[str, Any]]:
    path = study.folder / CASES
    content = read_json(path)
    if not isinstance(content, dict) or content.get("study") != study.id:
        raise InputDataError(f"{path}: has the cases of another study; take those that were made with it")
    with faults_named(path):
        cases = list(content["cases"])
        if any(str(one["item"]) not in study.first_showings for case in cases for one in case["rationales"]):
            raise ValueError("a rationale of the key")
    return cases
