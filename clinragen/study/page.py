"""A rater's page: one HTML file with its cases in it, which needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import Any

from clinragen.study.criteria import RESOURCES


def rater_page(form: Mapping[str, Any]) -> str:
    """The page.

    Args:
        form: What the rater gets: `id`, `rater`, `criteria`, `diseases`, `notices` and `cases`, values of JSON.
    """
    script, style = (_resource(name) for name in ("page.js", "page.css"))
    # Only this very script runs, whatever a note has in it. Answers go to the server of the page, where there is one.
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(dict(form), ensure_ascii=False, sort_keys=True, allow_nan=False)
    # A note that says "</script>" ends nothing.
    for sign in "<>&\u2028\u2029":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Study {escape(str(form['id']))}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        "<noscript><p>This page needs JavaScript, which runs in this file alone.</p></noscript>\n"
        '<div id="page"></div>\n'
        f'<script type="application/json" id="study">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _resource(name: str) -> str:
    return (RESOURCES / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
