"""PubMed through NCBI's E-utilities: a search kept on their history server, and its abstracts page by page.

Requests go through Biopython's Entrez, which keeps to NCBI's limits (3 requests per second, 10 with an API key) in the
whole process. Queries contain names of diseases and variables only.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO, TextIOWrapper
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring

from Bio import Entrez

from clinragen.retrieval.config import RetrievalConfig, web_sources
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.pubmed_xml import BrokenXMLError, passage_of, read_records
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.web import TemporaryError, with_retries
from dataset_builder.storage.http import check_base_url

NCBI = "eutils.ncbi.nlm.nih.gov"
TOOL = "clinragen"

_entrez_lock = threading.Lock()


class PubMed:
    """Abstracts that PubMed finds for a topic, the most relevant first.

    Raises `SettingsError` without an e-mail address, and for an unusable base URL.
    """

    name = "pubmed"

    def __init__(self, config: RetrievalConfig) -> None:
        key = config.api_key()
        self._identity = {"tool": TOOL, "email": config.contact(), "api_key": key or None}
        self._page_size = config.page_size
        self._retry = config.retry
        self._address = check_base_url(config.pubmed_address, credentialed=bool(key))
        self._opener = urllib.request.build_opener(_NcbiElsewhere(self._address, self._retry.read_s), _NoRedirect)

    def query(self, topic: Topic) -> dict[str, str]:
        """Address and query."""
        return {"address": self._address, "query": f"({topic.pubmed}) AND {web_sources()['pubmed']['narrowed_by']}"}

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """The abstracts among the first `count` records of the topic's query; empty where it finds nothing.

        Raises:
            InputDataError: PubMed cannot be reached, refuses, or its XML is damaged in every attempt.
        """
        query = self.query(topic)["query"]
        found = with_retries(partial(self._search, query), f"PubMed, query {query!r}", self._retry)
        passages: list[Passage] = []
        for start in range(0, min(count, found.count), self._page_size):
            size = min(self._page_size, min(count, found.count) - start)
            what = f"PubMed, records {start + 1} to {start + size} of query {query!r}"
            passages += with_retries(partial(self._page, found, start, size), what, self._retry)
        return passages

    def describe(self) -> dict[str, Any]:
        """The entry in the provenance: address and filter."""
        return {"source": self.name, "address": self._address, "narrowed_by": web_sources()["pubmed"]["narrowed_by"]}

    def _search(self, query: str) -> _Found:
        content = self._call(Entrez.esearch, term=query, usehistory="y", retmax="0", sort="relevance")
        try:
            answer = fromstring(content)
        except ParseError as error:
            raise TemporaryError("the XML is damaged or cut off") from error
        count, environment = answer.findtext("Count", ""), answer.findtext("WebEnv", "")
        if not count.isdecimal() or (count != "0" and not environment):
            problem = answer.findtext(".//ERROR") or "no count and no history"
            raise TemporaryError(f"the search failed ({' '.join(problem.split())[:200]})")
        return _Found(int(count), environment, answer.findtext("QueryKey", "1"))

    def _page(self, found: _Found, start: int, size: int) -> list[Passage]:
        history = {"WebEnv": found.environment, "query_key": found.query_key}
        content = self._call(Entrez.efetch, **history, retstart=str(start), retmax=str(size))
        try:
            records = [passage_of(record) for record in read_records(BytesIO(content))]
        except BrokenXMLError as error:
            raise TemporaryError(str(error)) from error
        if not records:
            raise TemporaryError("the page is empty")
        return [passage for passage in records if passage is not None]

    def _call(self, tool: Callable[..., Any], **parameters: str) -> bytes:
        """The complete answer of one E-utility."""
        with _entrez_through(self._opener), tool(db="pubmed", retmode="xml", **self._identity, **parameters) as answer:
            # Entrez decodes what the server declares as plain text; XML declares its own encoding.
            stream = answer.buffer if isinstance(answer, TextIOWrapper) else answer
            content: bytes = stream.read()
        return content


@contextmanager
def _entrez_through(opener: urllib.request.OpenerDirector) -> Iterator[None]:
    """Let Entrez send one request through `opener`: by itself it would repeat a refused request at once."""
    with _entrez_lock:
        tries, Entrez.max_tries = Entrez.max_tries, 1
        urllib.request.install_opener(opener)
        try:
            yield
        finally:
            urllib.request.install_opener(urllib.request.build_opener())
            Entrez.max_tries = tries


@dataclass(frozen=True)
class _Found:
    """A search on NCBI's history server."""

    count: int
    environment: str
    query_key: str


class _NcbiElsewhere(urllib.request.BaseHandler):
    """Sends Entrez's requests to `address` with a timeout in seconds: Entrez has a setting for neither.

    The parameters are sent in the body: in a URL, the API key would end up in logs.
    """

    handler_order = 100  # before urllib's own handlers, which complete the request

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s

    def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if request.host != NCBI:
            return request
        utility, _, query = request.full_url.rpartition("/")[2].partition("?")
        body = request.data or query.encode("ascii")
        own = urllib.request.Request(self._address + utility, data=body, method="POST")
        own.timeout = self._timeout_s
        return own


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: urllib would follow it without the body."""

    def redirect_request(self, *arguments: Any, **settings: Any) -> None:
        return None
