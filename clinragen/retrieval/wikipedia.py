"""Wikipedia through the MediaWiki API: the sections of the articles about a topic, as plain text.

Requests are sent one after the other, with a contact in the user agent and `maxlag`, as Wikimedia requires of programs
(https://www.mediawiki.org/wiki/API:Etiquette). Titles and searches contain names of diseases and variables only.
"""

from __future__ import annotations

import json
import re
import urllib.request
from functools import partial
from itertools import chain, zip_longest
from typing import Any
from urllib.parse import quote, urlencode

from clinragen.retrieval.config import RetrievalConfig, web_sources
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.web import TemporaryError, with_retries
from dataset_builder.storage.http import check_base_url, retry_after
from modeling_clinragen.errors import InputDataError

MAXLAG = 5  # seconds of replication lag above which the servers ask to try again later
TEMPORARY_CODES = ("maxlag", "ratelimited", "readonly")
PAGE = {
    "prop": "extracts|info|revisions|pageprops",
    "explaintext": 1,
    "exsectionformat": "wiki",
    "inprop": "url",
    "rvprop": "timestamp",
    "ppprop": "disambiguation",
    "redirects": 1,
}
SEARCH = {"list": "search", "srnamespace": 0, "srlimit": 1, "srprop": ""}

_HEADING = re.compile(r"^(={2,6}) *(.+?) *\1 *$", re.MULTILINE)


class Wikipedia:
    """Sections of the articles about a topic; all introductions come before the second section of any article.

    Raises `SettingsError` without an e-mail address, and for an unusable base URL.
    """

    name = "wikipedia"

    def __init__(self, config: RetrievalConfig) -> None:
        self._agent = f"clinragen ({config.contact()}) Python-urllib"
        self._retry = config.retry
        self._address = check_base_url(config.wikipedia_address, credentialed=False)

    def query(self, topic: Topic) -> dict[str, Any]:
        """Address, titles, and the sections that are left out."""
        left_out = web_sources()["wikipedia"]["left_out"]
        return {"address": self._address, "titles": topic.wikipedia, "left_out": left_out}

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """At most `count` sections; empty where no article is found.

        Raises:
            InputDataError: Wikipedia cannot be reached, refuses, or no attempt gives readable JSON.
        """
        articles = [_sections(page) for page in map(self._article, topic.wikipedia) if page is not None]
        in_turn = chain.from_iterable(zip_longest(*articles))
        return list({passage.key: passage for passage in in_turn if passage is not None}.values())[:count]

    def describe(self) -> dict[str, Any]:
        """The entry in the provenance: address, and the sections that are left out."""
        return {"source": self.name, "address": self._address, "left_out": web_sources()["wikipedia"]["left_out"]}

    def _article(self, title: str) -> dict[str, Any] | None:
        """The article with this title, else the first that a search for the title finds."""
        page = self._page(title)
        if page is not None:
            return page
        found = self._call("search", {**SEARCH, "srsearch": title}, f"Wikipedia, search for {title!r}")
        return self._page(found[0]["title"]) if found else None

    def _page(self, title: str) -> dict[str, Any] | None:
        """The page that a title leads to; None where there is none, or only a disambiguation page."""
        what = f"Wikipedia, article {title!r}"
        pages = self._call("pages", {**PAGE, "titles": title}, what)
        page: dict[str, Any] = next(iter(pages.values()))
        if "missing" in page or "invalid" in page or "pageprops" in page:
            return None
        if "extract" not in page:
            raise InputDataError(f"{what}: this wiki provides no extracts; use one with the extension TextExtracts")
        return page

    def _call(self, wanted: str, parameters: dict[str, Any], what: str) -> Any:
        """The entry `wanted` of the answer's "query"."""
        query = urlencode({"action": "query", "format": "json", "maxlag": MAXLAG, **parameters})
        request = urllib.request.Request(f"{self._address}api.php?{query}", headers={"User-Agent": self._agent})
        return with_retries(partial(self._answer, request, wanted, what), what, self._retry)

    def _answer(self, request: urllib.request.Request, wanted: str, what: str) -> Any:
        with urllib.request.urlopen(request, timeout=self._retry.read_s) as answer:
            content, wait = answer.read(), retry_after(answer.headers.get("Retry-After"))
        try:
            answered = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise TemporaryError("the answer is not JSON") from error
        if not isinstance(answered, dict):
            raise TemporaryError("the answer does not come from the API")
        _refuse_errors(answered, wait, what)
        query = answered.get("query")
        found = query.get(wanted) if isinstance(query, dict) else None
        if not found and found != []:
            raise TemporaryError(f"the answer contains no {wanted}")
        return found


def _refuse_errors(answered: dict[str, Any], wait: float | None, what: str) -> None:
    if "error" not in answered:
        return
    error = answered["error"]
    code = str(error.get("code") if isinstance(error, dict) else error)[:60]
    if code in TEMPORARY_CODES or code.startswith("internal_api_error"):
        raise TemporaryError(f"the API answered '{code}'", wait)
    raise InputDataError(f"{what}: the API refuses ('{code}'); check the address and the title")


def _sections(page: dict[str, Any]) -> list[Passage]:
    """The introduction and the sections of an article, each with its headings, in order."""
    source = web_sources()["wikipedia"]
    left_out = set(source["left_out"])
    introduction, *rest = _HEADING.split(page["extract"])
    headings: list[tuple[int, str]] = []
    sections: list[tuple[list[str], str]] = [([], introduction)]
    for marks, heading, body in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        headings = [(level, name) for level, name in headings if level < len(marks)] + [(len(marks), heading)]
        sections.append(([name for _, name in headings], body))
    date = page["revisions"][0]["timestamp"][:10] if "revisions" in page else ""
    return [
        Passage(
            source="wikipedia",
            id=f"{page['pageid']}#{number}",
            title=": ".join([page["title"], *([" > ".join(names)] if names else [])]),
            text=body.strip(),
            date=date,
            licence=source["licence"],
            url=_url(page.get("canonicalurl", ""), names),
        )
        for number, (names, body) in enumerate(sections)
        if body.strip() and not left_out & set(names)
    ]


def _url(page: str, headings: list[str]) -> str:
    return page + "#" + quote(headings[-1].replace(" ", "_")) if page and headings else page
