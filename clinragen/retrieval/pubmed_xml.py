"""PubMed's XML, an efetch answer or a baseline file: reads records one by one and converts them to passages.

It uses the standard library: `Bio.Entrez.read` downloads a DTD that it does not know (Biopython 1.88 knows none after
2025), and keeps all of a 30,000-record file in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BufferedIOBase
from xml.etree.ElementTree import Element, ParseError, iterparse

from clinragen.retrieval.config import web_sources
from clinragen.retrieval.passages import Passage

ROOT = "PubmedArticleSet"
DELETED = "DeleteCitation"
RECORDS = ("PubmedArticle", "PubmedBookArticle", DELETED)
UNLABELLED = "UNLABELLED"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class BrokenXMLError(ValueError):
    """The content is not PubMed XML, or is cut off."""


def read_records(stream: BufferedIOBase) -> Iterator[Element]:
    """The records of a `PubmedArticleSet`, one in memory at a time: articles, book chapters, and `DeleteCitation`.

    Raises `BrokenXMLError`, after the records before the fault, where the stream is not PubMed XML.
    """
    root = None
    try:
        for event, element in iterparse(stream, events=("start", "end")):
            if root is None:
                root = element
                if root.tag != ROOT:
                    raise BrokenXMLError(f"the XML contains no {ROOT}")
            if event == "end" and element.tag in RECORDS:
                yield element
                root.clear()
    except ParseError as error:
        raise BrokenXMLError("the XML is damaged or cut off") from error


def pmids_of(record: Element) -> list[str]:
    """The PMID of an article or a chapter, or all that a `DeleteCitation` withdraws."""
    found = list(record) if record.tag == DELETED else [record.find(".//PMID")]
    return [_text(pmid) for pmid in found if pmid is not None]


def passage_of(record: Element) -> Passage | None:
    """The abstract of an article or a book chapter, its labels kept; None without one, or where it was retracted."""
    source = web_sources()["pubmed"]
    pmid, abstract = record.find(".//PMID"), record.find(".//Abstract")
    kinds = {_text(kind) for kind in record.iterfind(".//PublicationType")}
    if pmid is None or abstract is None or kinds & set(source["retracted"]):
        return None
    text = "\n".join(part for part in map(_labelled, abstract.iterfind("AbstractText")) if part)
    if not text:
        return None
    title = record.find(".//ArticleTitle")
    if title is None:
        title = record.find(".//BookTitle")
    copyright_line = abstract.find("CopyrightInformation")
    return Passage(
        source="pubmed",
        id=_text(pmid),
        title="" if title is None else _text(title),
        text=text,
        date=_date(record.find(".//PubDate")),
        licence=source["licence"] + ("" if copyright_line is None else f" ({_text(copyright_line)})"),
        url=source["page"].format(pmid=_text(pmid)),
    )


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _labelled(part: Element) -> str:
    label, text = part.get("Label", UNLABELLED), _text(part)
    return f"{label}: {text}" if text and label != UNLABELLED else text


def _date(published: Element | None) -> str:
    """The date as precisely as the record has it, or the first year of a range such as "1998 Dec-1999 Jan"."""
    if published is None:
        return ""
    year, month, day = (published.findtext(name, "").strip() for name in ("Year", "Month", "Day"))
    if not year:
        found = re.search(r"\b(1[89]|20)\d\d\b", published.findtext("MedlineDate", ""))
        return found.group() if found else ""
    if not re.fullmatch(r"\d{4}", year, re.ASCII):
        return ""
    number = MONTHS.index(month[:3].lower()) + 1 if month[:3].lower() in MONTHS else _number(month, 12)
    if number is None:
        return year
    in_month = _number(day, 31)
    return f"{year}-{number:02d}" + ("" if in_month is None else f"-{in_month:02d}")


def _number(text: str, highest: int) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,2}", text, re.ASCII) and 1 <= int(text) <= highest else None
