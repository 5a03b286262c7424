"""An explanation as programs get it from the page's one public event."""

from __future__ import annotations

from html import escape

from clinragen.checking.checked import count_words
from clinragen.checking.render_html import html_fragment, style
from clinragen.inference import Explanation
from modeling_clinragen.vocabulary_clinragen import RangeSet

Values = tuple[str, str, str, str, dict[str, float] | None]


def values_of(whose: str, found: Explanation, ranges: RangeSet) -> Values:
    """Warnings and diagnoses as Markdown, the rationale as HTML, the measurements in words, and the probabilities."""
    scores = None if found.probabilities is None else dict(found.probabilities)
    measured = found.patient.series.in_words(ranges) or "Nothing was measured."
    title = f'<p class="whose">Answer for: <strong>{escape(whose)}</strong></p>'
    return _warnings(found), _diagnoses(found), title + rationale_html(found), measured, scores


def rationale_html(found: Explanation) -> str:
    """The shown rationale with what decides each claim, and the withheld sentences, closed, below it."""
    if found.problem is not None:
        return f"<p>The output is malformed ({escape(found.problem)}). As written: {escape(found.text)}</p>"
    parts = [f"<style>{style()}</style>", html_fragment(found.checked, "Rationale", "shown")]
    if found.withheld:
        items = "".join(f"<li>{escape(sentence.text)}</li>" for sentence in found.withheld)
        summary = f"{count_words(len(found.withheld), 'sentence')} withheld: not borne out by the data"
        parts.append(f"<details><summary>{summary}</summary><ul>{items}</ul></details>")
    return "".join(parts)


def _warnings(found: Explanation) -> str:
    return "\n".join(f"- **{warning}**" for warning in found.warnings)


def _diagnoses(found: Explanation) -> str:
    # A text that cannot be read says nothing; it must not look like a clean bill of health.
    if found.problem is not None:
        return "No diagnosis could be read."
    shown = [f"- {name}" for name in found.asserted]
    lines = shown or ["No disease is diagnosed with evidence." if found.diagnoses else "No disease is diagnosed."]
    if found.without_evidence:
        lines += ["", "Named without evidence, so not asserted:", ""]
        lines += [f"- *{name}*" for name in found.without_evidence]
    return "\n".join(lines)
