"""PubMed through NCBI's E-utilities: a search kept on their history server, and its abstracts page by page.

Asked through Biopython's Entrez, which keeps to NCBI's limits (3 requests a second, 10 with an API key) in the whole
process. A query holds names of diseases and variables only.
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

from clinragen.retrieval.config import RetrievalSettings, web_sources
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.pubmed_xml import BrokenXMLError, passage_of, read_records
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.web import InterruptionError, patiently
from dataset_builder.download.server import check_base_url

NCBI = "eutils.ncbi.nlm.nih.gov"
TOOL = "clinragen"

_asking = threading.Lock()


class PubMed:
    """Abstracts that PubMed finds for a topic, the most relevant first.

    Raises `SettingsError` without an e-mail address, and for an address that cannot work.
    """

    name = "pubmed"

    def __init__(self, settings: RetrievalSettings) -> None:
        self._who = {"tool": TOOL, "email": settings.contact(), "api_key": settings.api_key or None}
        self._page_size = settings.page_size
        self._patience = settings.patience
        self._address = check_base_url(settings.pubmed_address, credentialed=bool(settings.api_key))
        self._opener = urllib.request.build_opener(_NcbiElsewhere(self._address, self._patience.silence), _NoRedirect)

    def asked(self, topic: Topic) -> dict[str, str]:
        """What decides the answer: address and query."""
        return {"address": self._address, "query": f"({topic.pubmed}) AND {web_sources()['pubmed']['narrowed_by']}"}

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """The abstracts among the first `count` records of the topic's query, none where it finds nothing.

        Raises:
            InputDataError: PubMed is not reached, refuses, or answers with damaged XML again and again.
        """
        query = self.asked(topic)["query"]
        found = patiently(partial(self._search, query), f"PubMed, query {query!r}", self._patience)
        passages: list[Passage] = []
        for start in range(0, min(count, found.count), self._page_size):
            size = min(self._page_size, min(count, found.count) - start)
            what = f"PubMed, records {start + 1} to {start + size} of query {query!r}"
            passages += patiently(partial(self._page, found, start, size), what, self._patience)
        return passages

    def recorded(self) -> dict[str, Any]:
        """For the provenance."""
        return {"source": self.name, "address": self._address, "narrowed_by": web_sources()["pubmed"]["narrowed_by"]}

    def _search(self, query: str) -> _Found:
        content = self._ask(Entrez.esearch, term=query, usehistory="y", retmax="0", sort="relevance")
        try:
            answer = fromstring(content)
        except ParseError as error:
            raise InterruptionError("the XML is damaged or cut off") from error
        count, environment = answer.findtext("Count", ""), answer.findtext("WebEnv", "")
        if not count.isdecimal() or (count != "0" and not environment):
            problem = answer.findtext(".//ERROR") or "no count and no history"
            raise InterruptionError(f"the search failed ({' '.join(problem.split())[:200]})")
        return _Found(int(count), environment, answer.findtext("QueryKey", "1"))

    def _page(self, found: _Found, start: int, size: int) -> list[Passage]:
        history = {"WebEnv": found.environment, "query_key": found.query_key}
        content = self._ask(Entrez.efetch, **history, retstart=str(start), retmax=str(size))
        try:
            records = [passage_of(record) for record in read_records(BytesIO(content))]
        except BrokenXMLError as error:
            raise InterruptionError(str(error)) from error
        if not records:
            raise InterruptionError("the page is empty")
        return [passage for passage in records if passage is not None]

    def _ask(self, tool: Callable[..., Any], **parameters: str) -> bytes:
        """The whole answer of one E-utility."""
        with _entrez_through(self._opener), tool(db="pubmed", retmode="xml", **self._who, **parameters) as answer:
            # Entrez makes text of what the server calls plain; XML says itself how it is encoded.
            stream = answer.buffer if isinstance(answer, TextIOWrapper) else answer
            content: bytes = stream.read()
        return content


@contextmanager
def _entrez_through(opener: urllib.request.OpenerDirector) -> Iterator[None]:
    """Let Entrez ask once through `opener`: by itself it would send a refused request again at once."""
    with _asking:
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
    """Sends what Entrez asks of NCBI to `address`, with a time-out in seconds: Entrez has a setting for neither.

    The parameters travel in the body: in a URL, the API key would end up in logs.
    """

    handler_order = 100  # before urllib's own handlers, which complete the request

    def __init__(self, address: str, silence: float) -> None:
        self._address = address
        self._silence = silence

    def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if request.host != NCBI:
            return request
        utility, _, query = request.full_url.rpartition("/")[2].partition("?")
        body = request.data or query.encode("ascii")
        own = urllib.request.Request(self._address + utility, data=body, method="POST")
        own.timeout = self._silence
        return own


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect an error: urllib would follow it without the body."""

    def redirect_request(self, *arguments: Any, **settings: Any) -> None:
        return None
