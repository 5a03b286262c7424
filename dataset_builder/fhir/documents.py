"""Notes in DocumentReference resources, which have them as attachments."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from dataset_builder.fhir.codes import LOINC, FhirCodes
from dataset_builder.fhir.elements import codes_of, listed, mapping, name_of, text_of

PLAIN = "text/plain"
HTML = ("text/html", "application/xhtml+xml")
ENCODINGS = {"utf-8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8", "iso-8859-1": "cp1252", "windows-1252": "cp1252"}
# fmt: off
_BLOCKS = frozenset((
    "address", "article", "br", "dd", "div", "dl", "dt", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "ol", "p", "pre", "table", "tr", "ul",
))
# fmt: on
_UNSEEN = frozenset(("head", "script", "style", "title"))


def is_wanted(content: Mapping[str, Any], codes: FhirCodes) -> bool:
    """Whether a document is of a type that is read."""
    types = [code for system, code in codes_of(content.get("type")) if system == LOINC]
    return any(code in codes.note_types for code in types) if types else codes.untyped_notes


def encounters_of(content: Mapping[str, Any]) -> list[str]:
    """The encounters that a document is of."""
    context = content.get("context")
    # R4 has them in a part of the context, R5 in place of it.
    said = context if isinstance(context, list) else listed(mapping(context).get("encounter"))
    return [name for one in said if (name := name_of(one)) is not None]


def text_in(content: Mapping[str, Any]) -> tuple[str | None, str]:
    """The text of a document and "", or None and why there is none.

    The first attachment of plain text is taken, then one of HTML, as text without its marks. Nothing is fetched.
    """
    attachments = [mapping(mapping(part).get("attachment")) for part in listed(content.get("content"))]
    reasons = ["without_an_attachment"]
    for kinds in ((PLAIN,), HTML):
        for attachment in attachments:
            kind, _, rest = (text_of(attachment.get("contentType")) or "").lower().partition(";")
            if kind.strip() in kinds:
                text, why = _decoded(attachment, rest)
                if text is not None:
                    text = _plain(text) if kinds is HTML else text
                    return (text, "") if text.strip() else (None, "without_text")
                reasons.append(why)
            else:
                reasons.append("not_plain_text_or_html")
    known = [reason for reason in reasons if reason not in ("without_an_attachment", "not_plain_text_or_html")]
    return None, known[0] if known else reasons[-1]


def _decoded(attachment: Mapping[str, Any], rest: str) -> tuple[str | None, str]:
    data = attachment.get("data")
    if not isinstance(data, str):
        return None, "with_a_text_that_is_elsewhere" if "url" in attachment else "without_text"
    charset = re.search(r"charset\s*=\s*\"?([a-z0-9_-]+)", rest)
    encoding = ENCODINGS.get(charset[1] if charset is not None else "utf-8")
    if encoding is None:
        return None, "in_an_unknown_encoding"
    try:
        packed = base64.b64decode("".join(data.split()), validate=True)
        return packed.decode(encoding).replace("\0", " "), ""
    except (binascii.Error, ValueError):
        return None, "with_a_damaged_text"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._unseen += tag in _UNSEEN
        self._end_line(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        self._end_line(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _end_line(self, tag: str) -> None:
        if tag in _BLOCKS and self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")


def _plain(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    reader.close()
    text = "".join(reader.parts).encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", " ").strip()
