"""Terms from a language model: strict answers, one more attempt, only terms that occur in the passage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import TEXTS, built, passages, tiny_definitions

from clinragen.knowledge.extraction import Candidate, Extraction, Retrieved
from clinragen.knowledge.json_schema import first_problem
from clinragen.knowledge.llm_extractor import LLMExtractor, answer_schema, conversation, load_prompt
from clinragen.knowledge.reader import parse_knowledge
from clinragen.llm.client import LLMClient
from clinragen.llm.journal import Journal
from clinragen.llm.types import Answer, Request
from clinragen.retrieval.topics import Topic, load_topics
from dataset_builder.contract.definitions import Definitions
from dataset_builder.storage.http import RetryPolicy
from modeling_clinragen.errors import InputDataError, ModelInputError

Says = Callable[[Request], str]


class ScriptedModel:
    """A model whose answer to a request is `says(request)`."""

    name, address = "scripted", None
    settings: dict[str, Any] = {"kind": "transformers", "model": "scripted"}  # noqa: RUF012 (a protocol's attribute)
    governance: dict[str, Any] = {"local": True}  # noqa: RUF012

    def __init__(self, says: Says) -> None:
        self._says = says
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(self._says(request), "stop", 1, 1, self.name)

    async def close(self) -> None:
        pass


@pytest.fixture
def definitions(tmp_path: Path) -> Definitions:
    return tiny_definitions(tmp_path)


@pytest.fixture
def topics(definitions: Definitions) -> Sequence[Topic]:
    return load_topics(definitions)


def terms(*listed: tuple[str, str, list[str]]) -> str:
    return json.dumps({"terms": [{"term": term, "kind": kind, "spellings": more} for term, kind, more in listed]})


class Extracting:
    """The extractor, with a client that is open while it extracts."""

    name, settings = "transformers", {"model": "scripted"}

    def __init__(self, model: ScriptedModel, folder: Path) -> None:
        self._model, self._folder = model, folder

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        with Journal(self._folder / "journal") as journal:
            async with LLMClient(self._model, journal, retry=RetryPolicy(attempts=1)) as client:
                return await LLMExtractor(client).extract(topics, retrieved)


@pytest.fixture
def extract(topics: Sequence[Topic], tmp_path: Path) -> Callable[[Says], tuple[Extraction, ScriptedModel]]:
    """Extract terms of the tiny corpus with a model that answers so."""

    def run(says: Says) -> tuple[Extraction, ScriptedModel]:
        model = ScriptedModel(says)
        return asyncio.run(Extracting(model, tmp_path).extract(topics, passages())), model

    return run


def about(request: Request, text: str) -> bool:
    """Whether the passage of the request contains `text`."""
    return text in request.messages[3].content


Extract = Callable[[Says], tuple[Extraction, ScriptedModel]]


def test_terms_that_occur_in_the_passage_are_kept_with_their_kind(extract: Extract) -> None:
    def says(request: Request) -> str:
        return terms(("uric  acid", "finding", ["UA", "urate"])) if about(request, "Podagra is") else terms()

    extraction, model = extract(says)
    assert extraction.candidates["gout"] == [Candidate("uric acid", "finding", ("UA",))]
    assert extraction.candidates["asthma"] == []
    assert dict(extraction.counts) == {
        "passages": 6,
        "asked_again": 0,
        "failed": 0,
        "terms": 1,
        "not_in_passage": 1,
        "too_long": 0,
    }
    assert {request.key for request in model.requests} == {
        f"{key} local:{key}-{number}" for key, texts in TEXTS.items() for number in range(len(texts))
    }


def test_a_term_of_another_passage_is_not_support(extract: Extract) -> None:
    everywhere = terms(("podagra", "symptom", []), ("tophi", "finding", []), ("gouty kidney", "name", []))
    extraction, _ = extract(lambda request: everywhere if about(request, "Topic: Gout") else terms())
    assert [candidate.term for candidate in extraction.candidates["gout"]] == ["podagra", "podagra", "tophi"]
    assert extraction.counts["not_in_passage"] == 3


@pytest.mark.parametrize(
    "bad",
    [
        "Podagra, uric acid.",
        '```json\n{"terms": []}\n```',
        '{"terms": ["podagra"]}',
        '{"terms": [], "note": "none"}',
        '{"terms": [{"term": "podagra", "kind": "high", "spellings": []}]}',
        '{"terms": [{"term": "podagra", "kind": "symptom"',
        "[" * 100_000,
    ],
    ids=["prose", "fenced", "no objects", "more", "kind of a variable", "cut off", "deep"],
)
@pytest.mark.parametrize("learns", [True, False])
def test_a_malformed_answer_is_requested_once_more(extract: Extract, bad: str, learns: bool) -> None:
    good = terms(("podagra", "symptom", []))

    def says(request: Request) -> str:
        if not about(request, "Topic: Gout"):
            return terms()
        return good if learns and len(request.messages) > 4 else bad

    extraction, model = extract(says)
    assert len(model.requests) == 8
    assert extraction.counts["asked_again"] == 2
    assert extraction.counts["failed"] == (0 if learns else 2)
    assert [candidate.term for candidate in extraction.candidates["gout"]] == (["podagra"] * 2 if learns else [])
    again = [request for request in model.requests if len(request.messages) > 4]
    assert all(request.messages[4].content == bad and request.json_schema for request in again)


def test_a_passage_that_is_too_long_for_the_model_fails_alone(extract: Extract) -> None:
    def says(request: Request) -> str:
        if about(request, "tophi"):
            raise ModelInputError("too long")
        return terms(("podagra", "symptom", [])) if about(request, "Podagra") else terms()

    extraction, _ = extract(says)
    assert extraction.counts["failed"] == 1
    assert [candidate.term for candidate in extraction.candidates["gout"]] == ["podagra"]


def test_sentences_are_not_terms(extract: Extract) -> None:
    sentence = TEXTS["gout"][0].split(".")[0]
    extraction, _ = extract(lambda request: terms((sentence, "symptom", [])) if about(request, sentence) else terms())
    assert extraction.candidates["gout"] == []
    assert extraction.counts["too_long"] == 1


def test_nothing_is_requested_twice_after_an_interruption(extract: Extract) -> None:
    def dies(request: Request) -> str:
        if about(request, "Bradycardia"):
            raise InputDataError("the server is gone")
        return terms(("podagra", "symptom", [])) if about(request, "Podagra") else terms()

    with pytest.raises(InputDataError):
        extract(dies)
    extraction, model = extract(lambda request: terms())
    assert [request.key for request in model.requests] == ["heart_rate local:heart_rate-1"]
    assert len(extraction.candidates["gout"]) == 2


def test_a_base_of_extracted_terms(definitions: Definitions, tmp_path: Path) -> None:
    answers = {
        "Topic: Gout": terms(("podagra", "symptom", []), ("Uric acid", "finding", ["UA"])),
        "Topic: Asthma": terms(("Wheezing", "symptom", []), ("FEV", "finding", [])),
        "Topic: heart rate": terms(("tachycardia", "high", []), ("bradycardia", "low", [])),
    }
    model = ScriptedModel(lambda request: next(answers[topic] for topic in answers if about(request, topic)))
    content = built(definitions, [Extracting(model, tmp_path)])
    base = parse_knowledge(content, "it", definitions.vocabulary)
    assert base.terms_for("gout") == ("podagra", "Uric acid")
    assert base.terms_for("asthma") == ("Wheezing", "Forced expiratory volume")
    assert base.terms_for("heart_rate") == ("tachycardia", "bradycardia")
    (acid,) = (term for term in base.disease("gout").extracted if term.term == "Uric acid")
    assert (acid.kind, acid.cited, acid.source) == ("finding", False, "extracted: transformers")
    assert acid.spellings == ("UA",)
    made_by = content["made_by"]["extractors"]
    assert [made["name"] for made in made_by] == ["transformers"]
    assert made_by[0]["counts"]["not_in_passage"] > 0


def test_the_prompt_and_its_worked_example_keep_its_own_rules(topics: Sequence[Topic]) -> None:
    prompt = load_prompt()
    example = prompt["example"]
    content = json.loads(example["answer"])
    assert first_problem(content, answer_schema()) is None
    for term in content["terms"]:
        assert term["kind"] in prompt["kinds"][example["kind"]]
        assert all(surface in example["text"] for surface in (term["term"], *term["spellings"]))
    for topic in topics:
        system, _, answer, task = conversation(topic, passages()[topic.key][0])
        assert all(kind in system.content for kind in prompt["kinds"][topic.kind])
        assert answer.content == example["answer"]
        assert topic.name in task.content
        assert TEXTS[topic.key][0] in task.content
    kinds = {kind for listed in prompt["kinds"].values() for kind in listed}
    assert kinds == set(answer_schema()["properties"]["terms"]["items"]["properties"]["kind"]["enum"])


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=60) | st.builds(json.dumps, st.dictionaries(st.just("terms"), st.lists(st.text(max_size=5)))))
def test_any_answer_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    topics = load_topics(tiny_definitions(folder))
    extraction = asyncio.run(Extracting(ScriptedModel(lambda _: text), folder).extract(topics, passages()))
    assert extraction.counts["failed"] in (0, 6)
    assert all(listed == [] for listed in extraction.candidates.values())
