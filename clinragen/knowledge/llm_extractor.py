"""Terms from a language model: one request per topic and passage, a strict JSON answer, and nothing invented."""

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
from clinragen.llm.client import LLMClient
from clinragen.llm.types import Message, Request
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic
from clinragen.text.term_index import TermIndex, split_words
from modeling_clinragen.errors import ModelInputError

RESOURCES = files("clinragen.knowledge") / "resources"

MAX_TERM_WORDS = 6
COUNTS = ("passages", "asked_again", "failed", "terms", "not_in_passage", "too_long")


class LLMExtractor:
    """Requests the terms of each passage from a language model.

    A malformed answer is requested once more; after that, or where the passage is too long for the model, the passage
    counts as `failed`. A term that does not occur in the passage is dropped and counted: a model cannot invent
    support. Nobody has judged the terms, so none is cited.

    Args:
        client: Sends the requests and keeps the answers.
        max_tokens: Maximum tokens per answer.
    """

    def __init__(self, client: LLMClient, *, max_tokens: int = 800) -> None:
        self._client = client
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        """The provider of the model, such as "openai"."""
        return str(self._client.model.settings["kind"])

    @property
    def settings(self) -> dict[str, Any]:
        """Model, prompt version and sampling."""
        own = {"prompt": load_prompt()["version"], "max_tokens": self._max_tokens, "temperature": 0.0}
        return {**self._client.model.settings, **own}

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        """See `Extractor.extract`.

        Raises:
            InputDataError: The model does not answer; its answers so far are in the journal.
        """
        counts = Counter(dict.fromkeys(COUNTS, 0))
        pairs = [(topic, passage) for topic in topics for passage in retrieved[topic.key]]
        read = await asyncio.gather(*(self._read(topic, passage, counts) for topic, passage in pairs))
        candidates: dict[str, list[Candidate]] = {topic.key: [] for topic in topics}
        for (topic, _), found in zip(pairs, read, strict=True):
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
                answer = await self._client.complete(request)
            except ModelInputError:
                break
            terms, problem = _parse(answer.text, topic.kind)
            if problem is None:
                return _occurring(terms, passage, counts)
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
    """The messages about one passage: the rules, a worked example, the passage."""
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
    """The terms of an answer, or a description of what is wrong with it."""
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


def _occurring(terms: Sequence[Mapping[str, Any]], passage: Passage, counts: Counter[str]) -> list[Candidate]:
    """The terms that occur in the passage, each with those of its spellings that do."""
    words = split_words(passage.text)

    def occurs(surface: str) -> bool:
        if len(split_words(surface)) > MAX_TERM_WORDS:
            counts["too_long"] += 1
            return False
        found = bool(TermIndex([(surface, True)]).find(passage.text, words))
        counts["not_in_passage"] += not found
        return found

    kept = [
        Candidate(
            _on_one_line(term["term"]), term["kind"], tuple(filter(occurs, map(_on_one_line, term["spellings"])))
        )
        for term in terms
        if occurs(term["term"])
    ]
    counts["terms"] += len(kept)
    return kept


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
