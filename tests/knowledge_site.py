"""A local server that answers like NCBI's E-utilities and the MediaWiki API, and fails on demand."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import physionet_site

from clinragen.retrieval.config import RetrievalConfig
from dataset_builder.storage.http import RetryPolicy

DATA = Path(__file__).parent / "data" / "retrieval"
KEY, EMAIL = "0123456789abcdef-the-key", "someone@example.org"
QUICK = RetryPolicy(connect_s=1.0, read_s=0.3, attempts=2, first_pause_s=0.01)

Answer = Callable[[dict[str, str]], bytes]
"""The body of the answer to a request with these parameters."""


@dataclasses.dataclass
class Request(physionet_site.Request):
    tool: str = ""
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    at: float = 0.0


class Handler(physionet_site.Handler):
    server: KnowledgeSite

    def do_GET(self) -> None:
        self._serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _serve(self, query: str) -> None:
        tool = urlsplit(self.path).path.rpartition("/")[2]
        asked = Request(self.path, dict(self.headers.items()), 0, tool, dict(parse_qsl(query)), time.monotonic())
        self.server.requests.append(asked)
        body = self.server.answers[tool](asked.parameters)
        odd = self.server.odd.get(tool, [])
        if odd and odd.pop(0)(self, body):
            return
        self.answer(200, body, {"Content-Type": "application/json" if tool == "api.php" else "text/xml"})


class KnowledgeSite(physionet_site.Site):
    """E-utilities at `url`, with `articles` by a word of the query that finds them, and the API of a small wiki.

    `odd` has, per tool ("esearch.fcgi", "efetch.fcgi", "api.php"), what happens to its next requests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = Handler
        self.ranges = False
        self.requests: list[Any] = []
        self.articles: dict[str, list[str]] = {}
        self.wiki = json.loads((DATA / "wikipedia.json").read_text(encoding="utf-8"))
        self.answers: dict[str, Answer] = {
            "esearch.fcgi": self._search,
            "efetch.fcgi": self._fetch,
            "api.php": self._query,
        }
        self._history: list[list[str]] = []

    def config(self, **changed: Any) -> RetrievalConfig:
        """Settings of a client of this server that retries quickly."""
        here: dict[str, Any] = {"email": EMAIL, "retry": QUICK}
        return RetrievalConfig(**{**here, "pubmed_address": self.url, "wikipedia_address": self.url, **changed})

    def asked_of(self, tool: str) -> list[dict[str, str]]:
        return [request.parameters for request in self.requests if request.tool == tool]

    def _search(self, parameters: dict[str, str]) -> bytes:
        self._history.append(
            [article for word, found in self.articles.items() if word in parameters["term"] for article in found]
        )
        return (
            '<?xml version="1.0" encoding="UTF-8" ?><!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
            '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd"><eSearchResult>'
            f"<Count>{len(self._history[-1])}</Count><RetMax>0</RetMax><RetStart>0</RetStart><QueryKey>1</QueryKey>"
            f"<WebEnv>MCID_{len(self._history) - 1}</WebEnv><IdList/></eSearchResult>"
        ).encode()

    def _fetch(self, parameters: dict[str, str]) -> bytes:
        found = self._history[int(parameters["WebEnv"].removeprefix("MCID_"))]
        start = int(parameters["retstart"])
        return article_set(*found[start : start + int(parameters["retmax"])])

    def _query(self, parameters: dict[str, str]) -> bytes:
        if "srsearch" in parameters:
            title = self.wiki["search"].get(parameters["srsearch"])
            return json.dumps({"query": {"search": [{"ns": 0, "title": title}] if title else []}}).encode()
        title = self.wiki["redirects"].get(parameters["titles"], parameters["titles"])
        page = self.wiki["pages"].get(title)
        pages = {"-1": {"ns": 0, "title": title, "missing": ""}} if page is None else {str(page["pageid"]): page}
        return json.dumps({"batchcomplete": "", "query": {"pages": pages}}).encode()


def article(pmid: int, text: str, title: str = "A review.") -> str:
    """One record of PubMed."""
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><Journal><JournalIssue><PubDate>'
        f"<Year>2020</Year></PubDate></JournalIssue></Journal><ArticleTitle>{title}</ArticleTitle>"
        f"<Abstract><AbstractText>{text}</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle>"
    )


def article_set(*articles: str) -> bytes:
    """A page of efetch, or a baseline file."""
    return (
        '<?xml version="1.0" ?><!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2026//EN" '
        '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_260101.dtd">'
        f"<PubmedArticleSet>{''.join(articles)}</PubmedArticleSet>"
    ).encode()


def instead(body: bytes, headers: dict[str, str] | None = None) -> physionet_site.Behaviour:
    """Answer with another body and status 200."""

    def act(handler: physionet_site.Handler, usual: bytes) -> bool:
        handler.answer(200, body, headers)
        return True

    return act


def cut(handler: physionet_site.Handler, usual: bytes) -> bool:
    """Half of the answer, with the content length of that half."""
    handler.answer(200, usual[: len(usual) // 2])
    return True
