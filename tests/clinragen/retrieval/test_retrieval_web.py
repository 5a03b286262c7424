"""PubMed and Wikipedia over a real connection: pages, faults, courtesy, the cache, and recorded answers."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from Bio import Entrez
from knowledge_site import EMAIL, KEY, QUICK, KnowledgeSite, article, article_set, cut, instead
from physionet_site import Behaviour, drop_after, stall, status

from clinragen.retrieval.config import RetrievalConfig, web_sources
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.pubmed import PubMed
from clinragen.retrieval.retrieve import Source, open_sources, retrieve
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.web import with_retries
from clinragen.retrieval.wikipedia import Wikipedia
from dataset_builder.storage.config_fields import deciding
from dataset_builder.storage.http import retry_after
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

SEPSIS = Topic("septicemia", "Septicemia", "disease", '"Sepsis"[Majr]', ("Sepsis",), "sepsis")
SHOCK = Topic("shock", "Shock", "disease", '"Shock"[Majr]', ("Shock (circulatory)",), "shock")
TWO_ARTICLES = dataclasses.replace(SEPSIS, wikipedia=("Septicemia", "Shock (circulatory)"))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[KnowledgeSite]:
    for name in ("NCBI_EMAIL", "NCBI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    server = KnowledgeSite()
    server.articles = {
        "Sepsis": [article(number, f"Sepsis, part {number}.") for number in range(1, 8)],
        "Shock": [article(7, "Sepsis, part 7."), article(50, "Shock.")],
    }
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _key_in_no_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


def ids(passages: list[Passage]) -> list[str]:
    return [passage.id for passage in passages]


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(ClinRaGenError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert KEY not in message
    return message


# --- PubMed


def test_abstracts_come_page_by_page_from_the_history_server(site: KnowledgeSite) -> None:
    found = PubMed(site.config(page_size=3)).passages(SEPSIS, 5)
    assert ids(found) == ["1", "2", "3", "4", "5"]
    (search,) = site.asked_of("esearch.fcgi")
    assert search["term"].startswith('("Sepsis"[Majr]) AND hasabstract AND ')
    assert {name: search[name] for name in ("db", "usehistory", "email", "api_key", "tool", "sort")} == {
        "db": "pubmed",
        "usehistory": "y",
        "email": EMAIL,
        "api_key": KEY,
        "tool": "clinragen",
        "sort": "relevance",
    }
    pages = site.asked_of("efetch.fcgi")
    assert [(page["WebEnv"], page["retstart"], page["retmax"]) for page in pages] == [
        ("MCID_0", "0", "3"),
        ("MCID_0", "3", "2"),
    ]
    assert all(KEY not in request.path for request in site.requests)


def test_a_query_that_finds_little_or_nothing_ends_there(site: KnowledgeSite) -> None:
    source = PubMed(site.config())
    assert len(source.passages(SHOCK, 100)) == 2
    nothing = dataclasses.replace(SHOCK, pubmed="abcXYZ")
    assert source.passages(nothing, 100) == []
    assert len(site.asked_of("efetch.fcgi")) == 1


ERROR = b'<?xml version="1.0"?><eSearchResult><ERROR>Search Backend failed</ERROR></eSearchResult>'
NO_HISTORY = b"<eSearchResult><Count>3</Count></eSearchResult>"
CAPTIVE = b"<!doctype html><html><body>Please log in<br></body></html>"
PASSING: list[tuple[str, Behaviour]] = [
    ("500", status(500)),
    ("429", status(429)),
    ("the XML is damaged or cut off", cut),
    ("closed the connection", drop_after(50)),
    ("in time", stall),
    ("the XML is damaged or cut off", instead(CAPTIVE)),
]


@pytest.mark.parametrize(
    ("tool", "problem", "fault"),
    [*(("efetch.fcgi", *passing) for passing in PASSING), *(("esearch.fcgi", *passing) for passing in PASSING[::2])],
)
def test_a_fault_of_pubmed_is_survived_once_and_named_when_it_stays(
    site: KnowledgeSite, tool: str, problem: str, fault: Behaviour
) -> None:
    source = PubMed(site.config())
    site.odd[tool] = [fault]
    assert ids(source.passages(SEPSIS, 5)) == ["1", "2", "3", "4", "5"]
    assert len(site.asked_of(tool)) == 2
    site.odd[tool] = [fault] * QUICK.attempts
    message = refused(lambda: source.passages(SEPSIS, 5))
    assert problem in message
    assert '"Sepsis"[Majr]' in message
    assert "2 times in a row" in message
    assert "run the same command again" in message


@pytest.mark.parametrize(
    ("tool", "body", "problem"),
    [
        ("esearch.fcgi", ERROR, "Search Backend failed"),
        ("esearch.fcgi", NO_HISTORY, "no count and no history"),
        ("efetch.fcgi", ERROR, "contains no PubmedArticleSet"),
        ("efetch.fcgi", article_set(), "the page is empty"),
    ],
)
def test_an_incomplete_answer_is_requested_again(site: KnowledgeSite, tool: str, body: bytes, problem: str) -> None:
    site.odd[tool] = [instead(body)]
    assert len(PubMed(site.config()).passages(SHOCK, 5)) == 2
    site.odd[tool] = [instead(body)] * QUICK.attempts
    assert problem in refused(lambda: PubMed(site.config()).passages(SHOCK, 5))


def test_an_answer_called_plain_text_is_read_all_the_same(site: KnowledgeSite) -> None:
    plain = {"Content-Type": "text/plain; charset=UTF-8"}
    site.odd["efetch.fcgi"] = [instead(article_set(article(1, "Fieber über 39 °C.")), plain)]
    assert PubMed(site.config()).passages(SHOCK, 1)[0].text == "Fieber über 39 °C."


@pytest.mark.parametrize(
    ("code", "cure"), [(400, "check its address, the query and the API key"), (302, "new address")]
)
def test_a_refusal_is_final_and_a_redirect_gets_no_key(site: KnowledgeSite, code: int, cure: str) -> None:
    site.odd["esearch.fcgi"] = [status(code, {"Location": f"{site.url}elsewhere/esearch.fcgi"})]
    message = refused(lambda: PubMed(site.config()).passages(SEPSIS, 5))
    assert str(code) in message
    assert cure in message
    assert len(site.requests) == 1


@pytest.mark.parametrize(("key", "least"), [("", 1 / 3), (KEY, 0.1)])
def test_requests_keep_to_the_limit_with_and_without_a_key(
    site: KnowledgeSite, monkeypatch: pytest.MonkeyPatch, key: str, least: float
) -> None:
    monkeypatch.setenv("NCBI_API_KEY", key)
    PubMed(site.config(page_size=2)).passages(SEPSIS, 4)
    times = [request.at for request in site.requests]
    assert len(times) == 3
    # The server records when a request arrives, which may be slightly late.
    assert all(later - earlier > least - 0.03 for earlier, later in pairwise(times))
    assert all(("api_key" in asked) == bool(key) for asked in site.asked_of("efetch.fcgi"))


def test_entrez_and_urllib_are_left_as_they_were(site: KnowledgeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    # Requests to other hosts end at the test's server, which is not a proxy and says so.
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{site.server_port}")
    PubMed(site.config()).passages(SEPSIS, 1)
    assert Entrez.max_tries == 3
    site.requests.clear()
    with pytest.raises(OSError, match="501"):
        urllib.request.urlopen("https://eutils.ncbi.nlm.nih.gov/entrez/eutils/nothing.fcgi", timeout=2)
    assert not site.requests


# --- waiting


@pytest.mark.parametrize("tool", ["esearch.fcgi", "api.php"])
def test_a_server_that_asks_to_wait_gets_its_time(site: KnowledgeSite, tool: str) -> None:
    source: Source = PubMed(site.config()) if tool == "esearch.fcgi" else Wikipedia(site.config())
    site.odd[tool] = [status(429, {"Retry-After": "1"})]
    assert source.passages(SEPSIS, 1)
    first, second = [request.at for request in site.requests if request.tool == tool]
    assert second - first > 0.95
    site.odd[tool] = [status(503, {"Retry-After": "3600"})]
    assert "asks to wait 3600 s; run the same command again after that" in refused(lambda: source.passages(SEPSIS, 1))


@pytest.mark.parametrize(("value", "wait"), [("7", 7), (" 0.25 ", 0.25), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)])
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, wait: float) -> None:
    assert retry_after(value) == wait


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_a_date_to_come_is_waited_for(zone: str) -> None:
    then = datetime.now(UTC) + timedelta(hours=2)
    assert retry_after(then.strftime(f"%a, %d %b %Y %H:%M:%S {zone}")) == pytest.approx(7200, abs=30)


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1e9", "nan", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_an_unreadable_retry_after_is_none(value: str | None) -> None:
    assert retry_after(value) is None


def test_an_invalid_certificate_is_not_a_temporary_fault() -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        raise urllib.error.URLError(ssl.SSLCertVerificationError("certificate of another host"))

    assert refused(lambda: with_retries(ask, "PubMed", QUICK)).startswith(
        "PubMed: the server's certificate is not valid"
    )
    assert len(asked) == 1


# --- Wikipedia


def test_an_article_becomes_a_passage_per_section(site: KnowledgeSite) -> None:
    found = Wikipedia(site.config()).passages(SEPSIS, 50)
    assert [(passage.title, passage.text) for passage in found] == [
        ("Sepsis", "Sepsis is an infection that harms organs."),
        ("Sepsis: Signs and symptoms", "Fever and fast breathing are common."),
        ("Sepsis: Signs and symptoms > In the old", "Confusion may be all there is."),
        ("Sepsis: Diagnosis > Laboratory", "Lactate == 2 or more is read with care."),
    ]
    assert {(passage.source, passage.licence, passage.date) for passage in found} == {
        ("wikipedia", "CC BY-SA 4.0", "2026-02-03")
    }
    assert found[0].url == "https://en.wikipedia.org/wiki/Sepsis"
    assert found[1].url == "https://en.wikipedia.org/wiki/Sepsis#Signs_and_symptoms"
    assert len({passage.key for passage in found}) == 4
    (asked,) = site.requests
    assert EMAIL in asked.headers["User-Agent"]
    assert asked.parameters["maxlag"] == "5"


def test_introductions_come_first_and_redirects_lead_to_their_article(site: KnowledgeSite) -> None:
    source = Wikipedia(site.config())
    found = source.passages(TWO_ARTICLES, 3)
    assert [passage.title for passage in found] == ["Sepsis", "Shock (circulatory)", "Sepsis: Signs and symptoms"]
    twice = dataclasses.replace(SEPSIS, wikipedia=("Sepsis", "Septicemia"))
    assert source.passages(twice, 50) == source.passages(SEPSIS, 50)


def test_a_redirect_of_the_server_is_followed(site: KnowledgeSite) -> None:
    usual = Wikipedia(site.config()).passages(SEPSIS, 50)
    site.odd["api.php"] = [
        lambda handler, _: status(301, {"Location": handler.path.replace("files", "moved")})(handler, b"")
    ]
    assert Wikipedia(site.config()).passages(SEPSIS, 50) == usual
    assert "/moved/" in site.requests[-1].path


@pytest.mark.parametrize(
    ("title", "found"), [("Blood poisoning of kidneys", "Sepsis"), ("Mercury", None), ("No such thing", None)]
)
def test_a_title_without_an_article_is_searched_for(site: KnowledgeSite, title: str, found: str | None) -> None:
    passages = Wikipedia(site.config()).passages(dataclasses.replace(SEPSIS, wikipedia=(title,)), 1)
    assert [passage.title for passage in passages] == ([found] if found else [])
    assert site.asked_of("api.php")[1]["srsearch"] == title


def api_error(code: str) -> Behaviour:
    return instead(json.dumps({"error": {"code": code, "info": "x"}}).encode(), {"Retry-After": "0"})


@pytest.mark.parametrize(
    ("problem", "fault"),
    [
        ("500", status(500)),
        ("not JSON", cut),
        ("closed the connection", drop_after(50)),
        ("in time", stall),
        ("not JSON", instead(CAPTIVE)),
        ("does not come from the API", instead(b"[]")),
        ("contains no pages", instead(b'{"batchcomplete": ""}')),
        ("contains no pages", instead(b'{"query": []}')),
        ("maxlag", api_error("maxlag")),
        ("internal_api_error_DBQueryError", api_error("internal_api_error_DBQueryError")),
    ],
)
def test_a_fault_of_wikipedia_is_survived_once_and_named_when_it_stays(
    site: KnowledgeSite, problem: str, fault: Behaviour
) -> None:
    source = Wikipedia(site.config())
    site.odd["api.php"] = [fault]
    assert len(source.passages(SEPSIS, 50)) == 4
    site.odd["api.php"] = [fault] * QUICK.attempts
    message = refused(lambda: source.passages(SEPSIS, 50))
    assert problem in message
    assert message.startswith("Wikipedia, article 'Sepsis': ")


def test_what_the_api_refuses_is_not_requested_again(site: KnowledgeSite) -> None:
    site.odd["api.php"] = [api_error("badvalue")]
    assert "('badvalue')" in refused(lambda: Wikipedia(site.config()).passages(SEPSIS, 1))
    assert len(site.requests) == 1
    bare = dataclasses.replace(SEPSIS, wikipedia=("Bare",))
    assert "TextExtracts" in refused(lambda: Wikipedia(site.config()).passages(bare, 1))


# --- settings


@pytest.mark.parametrize("name", ["pubmed", "wikipedia"])
@pytest.mark.parametrize(
    ("changed", "cure"),
    [
        ({"email": ""}, "NCBI_EMAIL"),
        ({"email": "a@b.org\r\nX-Header: 1"}, "NCBI_EMAIL"),
        ({"pubmed_address": "ftp://x.org", "wikipedia_address": "ftp://x.org"}, "https://host/path/"),
        ({"page_size": 0}, "page_size"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(
    site: KnowledgeSite, name: str, changed: dict[str, Any], cure: str
) -> None:
    assert cure in refused(lambda: open_sources([name], site.config(**changed)))


def test_a_key_goes_to_no_other_host_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSPITAL_NCBI_KEY", KEY)
    config = RetrievalConfig(
        email=EMAIL, api_key_variable="HOSPITAL_NCBI_KEY", pubmed_address="http://eutils.example.org/"
    )
    assert config.api_key() == KEY
    assert "https" in refused(lambda: PubMed(config))
    assert KEY not in repr(config)


def test_contact_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_EMAIL", EMAIL)
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    config = RetrievalConfig()
    assert (config.contact(), config.api_key()) == (EMAIL, KEY)
    described = [source.describe() for source in open_sources(["pubmed", "wikipedia"], config)]
    assert [entry["address"] for entry in described] == [config.pubmed_address, config.wikipedia_address]
    assert config.pubmed_address == web_sources()["pubmed"]["address"]
    assert KEY not in json.dumps(described)


def test_only_addresses_and_encoder_decide_the_result() -> None:
    assert set(deciding(RetrievalConfig())) == {"pubmed_address", "wikipedia_address", "encoder"}


def test_unknown_and_repeated_sources_are_refused(site: KnowledgeSite) -> None:
    assert "unknown source 'scholar'" in refused(lambda: open_sources(["scholar"], site.config()))
    assert "named 'pubmed'" in refused(lambda: open_sources(["pubmed", "pubmed"], site.config()))


# --- every topic from every source, and the cache


def test_each_topic_gets_each_source_in_order_and_a_passage_once(site: KnowledgeSite, tmp_path: Path) -> None:
    reported: list[Progress] = []
    both = dataclasses.replace(SEPSIS, key="both", pubmed='"Sepsis"[Majr] OR "Shock"[Majr]')
    sources = open_sources(["wikipedia", "pubmed"], site.config())
    found = retrieve([both, SHOCK], sources, per_topic=9, cache_dir=tmp_path, report=reported.append)
    assert list(found) == ["both", "shock"]
    assert ids(found["both"]) == ["101#0", "101#1", "101#2", "101#4", "1", "2", "3", "4", "5", "6", "7", "50"]
    assert ids(found["shock"]) == ["102#0", "102#1", "7", "50"]
    names = ["wikipedia", "pubmed"] * 2
    assert reported == [Progress(done, 4, "queries", name) for done, name in enumerate(names, start=1)]


def test_an_interrupted_run_goes_on_and_what_is_here_is_not_asked_for(
    site: KnowledgeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(per_topic: int = 3) -> dict[str, list[Passage]]:
        sources = open_sources(["pubmed", "wikipedia"], site.config())
        return retrieve([SEPSIS, SHOCK], sources, per_topic=per_topic, cache_dir=tmp_path / "cache")

    site.odd["api.php"] = [lambda *_: False, *[status(500)] * QUICK.attempts]
    assert "Shock (circulatory)" in refused(run)
    site.requests.clear()
    whole = run()
    assert {request.tool for request in site.requests} == {"api.php"}
    assert len(site.requests) == 1
    site.requests.clear()
    assert run() == whole
    assert not site.requests
    assert [len(passages) for passages in whole.values()] == [6, 4]
    # Another number of passages is another query, and so are other sections.
    assert len(run(per_topic=4)["septicemia"]) == 8
    assert site.requests
    site.requests.clear()
    monkeypatch.setitem(web_sources()["wikipedia"], "left_out", [])
    run()
    assert {request.tool for request in site.requests} == {"api.php"}


def test_nothing_found_is_said_and_kept_too(
    site: KnowledgeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = dataclasses.replace(SEPSIS, pubmed="abcXYZ")
    for _ in range(2):
        sources = open_sources(["pubmed"], site.config())
        assert retrieve([nothing], sources, per_topic=3, cache_dir=tmp_path) == {"septicemia": []}
    assert len(site.requests) == 1
    assert "pubmed: no passages for 'septicemia'" in caplog.text


@pytest.mark.parametrize("damage", ["", "{}", '{"passages": [{"source": "pubmed"}]}', '{"passages": 3}'])
def test_a_damaged_cache_is_named(site: KnowledgeSite, tmp_path: Path, damage: str) -> None:
    sources = open_sources(["wikipedia"], site.config())
    retrieve([SEPSIS], sources, per_topic=3, cache_dir=tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(damage)
    with pytest.raises(InputDataError, match=re.escape(str(kept))):
        retrieve([SEPSIS], sources, per_topic=3, cache_dir=tmp_path)


@pytest.mark.parametrize("per_topic", [0, -1, 10_001])
def test_a_number_of_passages_that_cannot_work_is_refused(tmp_path: Path, per_topic: int) -> None:
    with pytest.raises(SettingsError, match="per_topic"):
        retrieve([SEPSIS], [], per_topic=per_topic, cache_dir=tmp_path)


# --- recorded answers


def test_recorded_answers_of_pubmed_are_replayed(site: KnowledgeSite, shared: Path) -> None:
    pages = sorted((shared / "fixtures" / "pubmed").glob("*.xml"))[:6]
    site.answers["esearch.fcgi"] = lambda _: (shared / "fixtures/eutils/esearch2.xml").read_bytes()
    site.answers["efetch.fcgi"] = lambda asked: pages[int(asked["retstart"])].read_bytes()
    found = PubMed(site.config(page_size=1)).passages(SEPSIS, len(pages))
    with_abstract = [path.stem for path in pages if b"<AbstractText" in path.read_bytes()]
    assert ids(found) == with_abstract
    assert all(asked["WebEnv"].startswith("MCID_6927d6e7") for asked in site.asked_of("efetch.fcgi"))
    site.answers["esearch.fcgi"] = lambda _: (shared / "fixtures/eutils/esearch8.xml").read_bytes()
    assert PubMed(site.config()).passages(SEPSIS, 5) == []
    other = yaml.safe_load((shared / "fixtures/eutils/test_esearchresult").read_text())
    site.answers["efetch.fcgi"] = lambda _: other["interactions"][0]["response"]["body"]["string"].encode()
    site.answers["esearch.fcgi"] = lambda _: (shared / "fixtures/eutils/esearch2.xml").read_bytes()
    assert "contains no PubmedArticleSet" in refused(lambda: PubMed(site.config()).passages(SEPSIS, 5))


def test_recorded_answers_of_wikipedia_are_replayed(site: KnowledgeSite, shared: Path) -> None:
    def recorded(name: str) -> bytes:
        content = json.loads((shared / "fixtures" / "mediawiki" / name).read_text(encoding="utf-8"))
        return str(content["interactions"][0]["response"]["body"]["string"]).encode()

    page, search = (
        recorded("TestVcrPageExtractProps.test_sections.json"),
        recorded("TestVcrWikiSearch.test_what[text].json"),
    )
    missing = b'{"query": {"pages": {"-1": {"ns": 0, "title": "Python programming", "missing": ""}}}}'

    def answer(asked: dict[str, str]) -> bytes:
        if "srsearch" in asked:
            return search
        return page if asked["titles"] == "Python (programming language)" else missing

    site.answers["api.php"] = answer
    found = Wikipedia(site.config()).passages(dataclasses.replace(SEPSIS, wikipedia=("Python programming",)), 100)
    (recorded_page,) = json.loads(page)["query"]["pages"].values()
    assert found[0].text.startswith("Python is a high-level, general-purpose programming language.")
    assert found[0].id == "23862#0"
    titles = [passage.title for passage in found]
    assert "Python (programming language): Syntax and semantics > Indentation" in titles
    assert not {title.rpartition(": ")[2] for title in titles} & {"References", "Sources", "See also", "History"}
    kept = sum(len(passage.text.split()) for passage in found)
    assert 0.8 < kept / len(recorded_page["extract"].split()) < 1
