"""Terms read by a teacher model: one question per topic and passage, a strict JSON answer, and nothing invented."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from clinragen.knowledge.base import passage_id
from clinragen.knowledge.extraction import Candidate, Extraction, Retrieved
from clinragen.knowledge.json_schema import first_problem
from clinragen.llm.client import Asker
from clinragen.llm.types import Message, Request
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic
from clinragen.text.term_index import TermIndex, split_words
from modeling_clinragen.errors import ModelInputError

RESOURCES = files("clinragen.knowledge") / "resources"

MOST_WORDS = 6
COUNTS = ("passages", "asked_again", "failed", "terms", "not_in_passage", "too_long")


class TeacherExtractor:
    """Asks a language model for the terms of each passage.

    An answer that is not what was asked for is asked for once more; after that, or where the passage is too long for
    the model, the passage counts as `failed`. A term that does not stand in the passage is dropped and counted: a
    model cannot invent support. Nobody has judged the terms, so none is cited.
    """

    def __init__(self, asker: Asker, *, max_tokens: int = 800) -> None:
        self._asker = asker
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        """The kind of model, "openai" or "transformers"."""
        return str(self._asker.model.settings["kind"])

    @property
    def settings(self) -> dict[str, Any]:
        """Model, prompt and sampling."""
        own = {"prompt": load_prompt()["version"], "max_tokens": self._max_tokens, "temperature": 0.0}
        return {**self._asker.model.settings, **own}

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        """See `Extractor.extract`.

        Raises:
            InputDataError: The model gives no answer at all; what it answered so far is in the journal.
        """
        counts = Counter(dict.fromkeys(COUNTS, 0))
        asked = [(topic, passage) for topic in topics for passage in retrieved[topic.key]]
        read = await asyncio.gather(*(self._read(topic, passage, counts) for topic, passage in asked))
        candidates: dict[str, list[Candidate]] = {topic.key: [] for topic in topics}
        for (topic, _), found in zip(asked, read, strict=True):
            candidates[topic.key] += found
        return Extraction(candidates, counts)

    async def _read(self, topic: Topic, passage: Passage, counts: Counter[str]) -> list[Candidate]:
        counts["passages"] += 1
        messages = conversation(topic, passage)
        for attempt in range(2):
            request = Request(
                messages,
                max_tokens=self._max_tokens,
                json_schema=answer_schema(),
                key=f"{topic.key} {passage_id(passage)}",
            )
            try:
                answer = await self._asker.ask(request)
            except ModelInputError:
                break
            terms, problem = _parse(answer.text, topic.kind)
            if problem is None:
                return list(_standing(terms, passage, counts))
            counts["asked_again"] += 1 - attempt
            repair = load_prompt()["repair"].format(problem=problem)
            messages = (*messages, Message("assistant", answer.text), Message("user", repair))
        counts["failed"] += 1
        return []


@lru_cache(maxsize=1)
def load_prompt() -> Mapping[str, Any]:
    """The shipped prompt."""
    content: Mapping[str, Any] = yaml.safe_load(
        (RESOURCES / "term_extraction_prompt.yaml").read_text(encoding="utf-8")
    )
    return content


@lru_cache(maxsize=1)
def answer_schema() -> Mapping[str, Any]:
    """The JSON schema of an answer."""
    schema: Mapping[str, Any] = json.loads(
        (RESOURCES / "term_extraction_answer.schema.json").read_text(encoding="utf-8")
    )
    return schema


def conversation(topic: Topic, passage: Passage) -> tuple[Message, ...]:
    """What a model is told about one passage: the rules, a worked example, the passage."""
    prompt = load_prompt()
    example = prompt["example"]
    kinds = "; ".join(f"{kind} ({meaning})" for kind, meaning in prompt["kinds"][topic.kind].items())
    return (
        Message("system", prompt["system"].format(kinds=kinds)),
        Message("user", prompt["task"].format(**example)),
        Message("assistant", example["answer"]),
        Message("user", prompt["task"].format(topic=topic.name, title=passage.title, text=passage.text)),
    )


def _parse(text: str, kind: str) -> tuple[list[dict[str, Any]], str | None]:
    """The terms of an answer, or what is wrong with it."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return [], "it is not JSON"
    problem = first_problem(content, answer_schema())
    if problem is not None:
        return [], problem
    allowed = load_prompt()["kinds"][kind]
    if any(term["kind"] not in allowed for term in content["terms"]):
        return [], f"'kind' must be one of {', '.join(allowed)}"
    return content["terms"], None


def _standing(terms: Sequence[Mapping[str, Any]], passage: Passage, counts: Counter[str]) -> list[Candidate]:
    """The terms that stand in the passage, with those of their spellings that do."""
    words = split_words(passage.text)

    def stands(surface: str) -> bool:
        if len(split_words(surface)) > MOST_WORDS:
            counts["too_long"] += 1
            return False
        found = bool(TermIndex([(surface, True)]).find(passage.text, words))
        counts["not_in_passage"] += not found
        return found

    kept = [
        Candidate(_line(term["term"]), term["kind"], tuple(filter(stands, map(_line, term["spellings"]))))
        for term in terms
        if stands(term["term"])
    ]
    counts["terms"] += len(kept)
    return kept


def _line(text: str) -> str:
    return " ".join(text.split())
