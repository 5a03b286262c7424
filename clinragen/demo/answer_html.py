"""The right side of the page: an answer, of which every sentence stands with its verdict and what decides it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from clinragen.checking.checked import MAX_EXCERPTS, WORDS, CheckedText, count_words
from clinragen.checking.printable import one_line, printable
from clinragen.checking.render_html import MARKS
from clinragen.claims.sentences import CheckedSentence
from clinragen.claims.types import Claim
from clinragen.demo.diseases_html import diseases_html
from clinragen.demo.not_mentioned import LISTED, STRONG, UNLISTED, NotMentioned, counted
from clinragen.inference import Explanation

GROUPS = {
    LISTED: "Evidence of listed diseases",
    STRONG: "Strong findings in the measurements",
    UNLISTED: "Evidence of diseases that are not listed",
}


def answer_html(whose: str, answer: Explanation, findings: Sequence[NotMentioned] = ()) -> str:
    """An answer, or what is certain of one.

    Args:
        whose: The patient that it is about.
        answer: The answer.
        findings: What was found and is not mentioned.
    """
    if answer.problem is not None:
        rationale = f"<p>The output is malformed ({_text(answer.problem)}). As written: {_text(answer.text)}</p>"
    else:
        rationale = _rationale(answer)
    whole = " cr-whole" if answer.complete and answer.problem is None else ""
    return (
        f'<div class="cr cr-answer{whole}"><p class="whose">Answer for: <strong>{_text(whose)}</strong></p>'
        f"{_status(answer)}{_warnings(answer)}"
        f'<section class="cr-diagnoses"><h2>Diagnoses</h2>{diseases_html(answer)}</section>'
        f'<section class="cr-rationale"><h2>Rationale</h2>{rationale}{_withheld(answer)}</section>'
        f"{_not_mentioned(findings)}</div>"
    )


def _status(answer: Explanation) -> str:
    if not answer.complete:
        said = "Writing; every sentence is checked before it is shown."
    elif answer.problem is not None:
        said = "The answer cannot be read."
    else:
        checked = answer.checked
        said = checked.summary() if answer.sentences else "No sentence is borne out by the data."
    busy = "" if answer.complete else " cr-busy"
    return f'<p class="cr-status{busy}" role="status">{_text(said)}</p>'


def _warnings(answer: Explanation) -> str:
    raw = () if answer.verified else ("Raw output: nothing was withheld, and sentences may be wrong.",)
    items = "".join(f"<li>{_text(warning)}</li>" for warning in (*raw, *answer.warnings))
    return f'<ul class="cr-warnings" aria-label="Warnings">{items}</ul>' if items else ""


def _rationale(answer: Explanation) -> str:
    items = "".join(
        _sentence(answer.checked, sentence, f"s{number}") for number, sentence in enumerate(answer.sentences, start=1)
    )
    return f'<ol class="cr-sentences">{items}</ol>'


def _sentence(checked: CheckedText, sentence: CheckedSentence, name: str) -> str:
    """A sentence; what it is about in note and charts has the same name."""
    claims = "".join(_claim(checked, claim) for claim in sentence.claims)
    faults = "".join(f'<li class="contradicted">{_text(fault)}</li>' for fault in sentence.faults)
    count = count_words(len(sentence.claims), "claim")
    evidence = f"<details><summary>Evidence: {count}</summary><ul>{faults}{claims}</ul></details>"
    owned = f' data-of="{name}" tabindex="0"' if name else ""
    return (
        f'<li class="cr-sentence {sentence.verdict}"{owned}>{badge(sentence.verdict)} '
        f'<span class="cr-text">{_text(sentence.text)}</span>{evidence if claims or faults else ""}</li>'
    )


def _claim(checked: CheckedText, claim: Claim) -> str:
    about = checked.about(claim)
    parts = [f"{badge(claim.verdict)} {_text(claim.kind)}{f' ({_text(about)})' if about else ''}"]
    parts.append(f": {_text(claim.evidence.reason)}")
    if readings := checked.readings(claim):
        parts.append(f'<br><span class="cr-data">{_text(readings)}</span>')
    for span in claim.evidence.spans[:MAX_EXCERPTS]:
        line = checked.places.line(span[0])
        parts.append(f'<br><span class="cr-data">note, line {line}: {_text(checked.places.excerpt(span))}</span>')
    if claim.evidence.cue:
        parts.append(f'<br><span class="cr-data">decided by “{_text(claim.evidence.cue)}”</span>')
    return f"<li>{''.join(parts)}</li>"


def _withheld(answer: Explanation) -> str:
    if not answer.withheld:
        return ""
    items = "".join(_sentence(answer.checked, sentence, "") for sentence in answer.withheld)
    count = count_words(len(answer.withheld), "sentence")
    return (
        f'<details class="cr-withheld"><summary>{count} withheld: not borne out by the data</summary>'
        f'<ul class="cr-sentences">{items}</ul></details>'
    )


def _not_mentioned(findings: Sequence[NotMentioned]) -> str:
    if not findings:
        return ""
    groups = "".join(
        f'<h3>{GROUPS[why]}</h3><ul class="cr-findings">{"".join(map(_finding, ones))}</ul>'
        for why, ones in counted(findings).items()
    )
    count = count_words(len(findings), "finding")
    return (
        f'<section class="cr-omitted"><h2>Found and not mentioned</h2><details><summary>{count} that no sentence '
        f"mentions</summary>{groups}</details></section>"
    )


def _finding(found: NotMentioned) -> str:
    about = f' <span class="cr-tag">{_text(found.about)}</span>' if found.about else ""
    return f'<li data-of="{found.cited.name}" tabindex="0">{_text(found.words)}{about}</li>'


def badge(verdict: str) -> str:
    """A verdict as a word and a sign."""
    return f'<span class="cr-badge {verdict}"><span aria-hidden="true">{MARKS[verdict]}</span> {WORDS[verdict]}</span>'


def _text(text: str) -> str:
    return escape(printable(text) if "\n" in text else one_line(text))
