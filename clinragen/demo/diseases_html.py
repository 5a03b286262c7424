"""The diseases of an answer: which are listed, how probable each is, and where that leaves room for doubt."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from clinragen.inference import Explanation

NEAR = 0.1
"""A probability within this distance of its threshold is said to be close to it."""


def diseases_html(answer: Explanation) -> str:
    """The diagnoses with their probabilities and thresholds, where the model has them."""
    if answer.problem is not None:
        # A text that cannot be read says nothing; it must not look like a clean bill of health.
        return "<p>No diagnosis could be read.</p>"
    if answer.probabilities is None:
        return _by_name(answer) if answer.complete else ""
    shown = sorted(answer.probabilities.items(), key=lambda pair: -pair[1])
    limits = answer.thresholds or {}
    first = [pair for pair in shown if _in_front(answer, *pair)]
    rest = [pair for pair in shown if pair not in first]
    kind = escape(answer.probability_of)
    lines = f'<p class="cr-kind">{kind}{"; the line is the threshold" if limits else ""}.</p>'
    bars = f'<ul class="cr-bars">{"".join(_bar(answer, limits, *pair) for pair in first)}</ul>' if first else ""
    more = "".join(_bar(answer, limits, *pair) for pair in rest)
    others = f"<details><summary>{len(rest)} other diseases</summary><ul class='cr-bars'>{more}</ul></details>"
    return f"{_outcome(answer)}{lines}{bars}{others if rest else ''}"


def _by_name(answer: Explanation) -> str:
    items = "".join(f"<li>{escape(name)}{_tag(answer, name)}</li>" for name in answer.diagnoses)
    return f'{_outcome(answer)}<ul class="cr-names">{items}</ul>'


def _in_front(answer: Explanation, name: str, probability: float) -> bool:
    limit = (answer.thresholds or {}).get(name)
    return name in answer.diagnoses or (limit is not None and probability >= limit - NEAR)


def _outcome(answer: Explanation) -> str:
    """The outcome of the list in words: also that there is none, or none with evidence."""
    if not answer.complete:
        return ""
    if not answer.diagnoses:
        said = "No disease is diagnosed. This says that none is probable enough to be listed, not that none is there."
    elif not answer.asserted:
        said = "No disease is diagnosed with evidence: none of those that are listed has a sentence that holds."
    else:
        return ""
    return f'<p class="cr-abstains">{said}</p>'


def _bar(answer: Explanation, limits: Mapping[str, float], name: str, probability: float) -> str:
    limit = limits.get(name)
    tick, threshold = "", ""
    if limit is not None:
        tick = f'<span class="cr-tick" style="left:{100 * limit:.1f}%"></span>'
        threshold = f'<span class="cr-limit">threshold {_percent(limit)}</span>'
    near = limit is not None and abs(probability - limit) <= NEAR
    doubt = ' <span class="cr-tag cr-near">close to its threshold: undecided</span>' if near else ""
    own = " cr-on" if limit is not None and probability >= limit else ""
    return (
        f'<li><span class="cr-said"><span class="cr-name">{escape(name)}</span>{_tag(answer, name)}{doubt}</span>'
        f'<span class="cr-track{own}" aria-hidden="true"><span class="cr-fill" style="width:{100 * probability:.1f}%">'
        f'</span>{tick}</span><span class="cr-number"><b>{_percent(probability)}</b> {threshold}</span></li>'
    )


def _tag(answer: Explanation, name: str) -> str:
    if not answer.complete or name not in answer.diagnoses:
        return ""
    if name in answer.without_evidence:
        return ' <span class="cr-tag cr-bare">no evidence: not asserted</span>'
    return ' <span class="cr-tag cr-held">with evidence</span>'


def _percent(share: float) -> str:
    # Nothing is certain: neither 0 % nor 100 %.
    number = "< 1 %" if share < 0.01 else "> 99 %" if share > 0.99 else f"{100 * share:.0f} %"
    return escape(number.replace(" ", "\N{NO-BREAK SPACE}"))
