"""Whether what a system was shown of the patients bears out what its rationales claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.claims.check import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, Claim
from clinragen.evaluation.checked import ABSENCE, NOTE, TIE, CheckedRationale
from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from clinragen.evaluation.texts import each_text
from trainers.formatting import NOTHING, format_percent, format_rate, markdown_table

DATA = tuple(kind for kind in KINDS if kind not in (TIE, ABSENCE))
"""Kinds of claims about the data themselves: the headline's, and the only ones of earlier figures."""
GROUPS: dict[str, tuple[str, ...]] = {
    "data": DATA,
    "ties": (TIE,),
    "absences": (ABSENCE,),
    "all": tuple(KINDS),
}


def claim_scores(written: WrittenRationales) -> dict[str, Any]:
    """How many claims hold, of the rationales as written ("raw") and as shown ("shown"); see `_score`."""
    return written.by_text(lambda rationales: _score(rationales, written))


def _score(rationales: Sequence[CheckedRationale], written: WrittenRationales) -> dict[str, Any]:
    """Counts and shares with their intervals (`Bootstrap.quotient`).

    `rationales` and `sentences` count what could be parsed. Each of `GROUPS` has the number of its `claims`, the share
    of every verdict, and `per_rationale`, the supported claims of a rationale; `data` and `all` also have
    `with_contradiction`, the share of rationales with a contradicted claim. `kinds` has claims and verdicts of every
    kind that occurs, `without_claim` the share of sentences that claim nothing, and `not_given` the share of the
    claims about the data that are about a note or a series which the system was not shown.
    """
    quotient = written.bootstrap.quotient
    parsed = np.array([rationale.text is not None for rationale in rationales])
    sentences = np.array([len(rationale.sentences) for rationale in rationales])
    silent = [sum(not sentence.claims for sentence in rationale.sentences) for rationale in rationales]

    def count(wanted: Callable[[Claim], bool]) -> np.ndarray:
        return np.array([sum(map(wanted, rationale.claims)) for rationale in rationales])

    def counted(kinds: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        by_verdict = {
            verdict: count(lambda claim, verdict=verdict: claim.kind in kinds and claim.verdict == verdict)  # type: ignore[misc]
            for verdict in VERDICTS
        }
        claims = sum(by_verdict.values(), np.zeros(len(rationales)))
        shares = {verdict: quotient(number, claims) for verdict, number in by_verdict.items()}
        return {"claims": int(claims.sum()), **shares}, by_verdict

    found: dict[str, Any] = {"rationales": int(parsed.sum()), "sentences": int(sentences.sum())}
    for group, members in GROUPS.items():
        found[group], by_verdict = counted(members)
        found[group]["per_rationale"] = quotient(by_verdict[SUPPORTED], parsed)
        if group in ("data", "all"):
            found[group]["with_contradiction"] = quotient(by_verdict[CONTRADICTED] > 0, parsed)
    by_kind = {kind: counted((kind,))[0] for kind in KINDS}
    ungiven = count(lambda claim: _is_ungiven(claim, written))
    return {
        **found,
        "kinds": {kind: shares for kind, shares in by_kind.items() if shares["claims"]},
        "without_claim": quotient(np.array(silent), sentences),
        "not_given": quotient(ungiven, count(lambda claim: claim.kind in DATA)),
    }


def _is_ungiven(claim: Claim, written: WrittenRationales) -> bool:
    """Whether a claim about the data is about a source that the system does not read."""
    if claim.kind not in DATA:
        return False
    return not (written.reads_note if claim.kind == NOTE else written.reads_labs)


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"claims": claim_scores(written)}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    texts = each_text(systems, "claims")
    rows = [
        [
            title,
            f"{claims['data']['claims']}",
            format_percent(claims["data"][CONTRADICTED]),
            format_percent(claims["data"][UNVERIFIABLE]),
            format_rate(claims["data"]["per_rationale"]),
            format_percent(claims["data"]["with_contradiction"]),
            format_percent(claims["without_claim"]),
            format_percent(claims["not_given"]),
        ]
        for title, claims in texts.items()
    ]
    header = [
        *("Rationales", "Claims about the data", "Contradicted", "Unverifiable", "Supported a rationale"),
        *("Rationales with a contradiction", "Sentences without a claim", "About what was not given"),
    ]
    return [
        "## Claims",
        "A rationale's statements about the series and its quotations of the note are claims about the data. Each is "
        "checked against what the system was shown of the patient (docs/claims.md): the data support it, contradict "
        "it, or do not decide. Shares are of all claims, with 95 % intervals over patients.",
        markdown_table(header, rows),
        "### By kind",
        "Contradicted / unverifiable in per cent of the claims of a kind, and their number. A tie says that some "
        "evidence supports a disease: it is contradicted where the knowledge base knows the evidence for other "
        "diseases only, and unverifiable where it does not know it. An absence says that something points to no "
        "disease, or is not there.",
        markdown_table(["Kind", *texts], _kind_rows(texts)),
    ]


def _kind_rows(texts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for kind in KINDS:
        if any(kind in claims["kinds"] for claims in texts.values()):
            rows.append([kind, *(_cell(claims["kinds"].get(kind)) for claims in texts.values())])
    for group in ("data", "all"):
        name = {"data": "**all but ties and absences**", "all": "**all**"}[group]
        rows.append([name, *(_cell(claims[group]) for claims in texts.values())])
    return rows


def _cell(shares: Mapping[str, Any] | None) -> str:
    if shares is None or not shares["claims"]:
        return NOTHING
    contradicted, unverifiable = (f"{100 * shares[verdict]['value']:.1f}" for verdict in (CONTRADICTED, UNVERIFIABLE))
    return f"{contradicted} / {unverifiable} of {shares['claims']}"


def _terminal(text: str, *path: str) -> Callable[[Entries], str]:
    def cell(scores: Entries) -> str:
        value = scores["claims"][text]
        for key in path:
            value = value[key]
        return (format_rate if path[-1] == "per_rationale" else format_percent)(value)

    return cell


def _verdict(scores: Entries) -> list[str]:
    raw, shown = (scores["claims"][text]["data"] for text in ("raw", "shown"))
    if not raw["claims"]:
        return ["The full model's rationales claim nothing about the data."]
    contradicted = f"{format_percent(raw[CONTRADICTED])} is contradicted by the patient's own data"
    if raw != shown:
        contradicted += f" as written, {format_percent(shown[CONTRADICTED])} as shown"
    return [f"Of what the full model's rationales say about the data, {contradicted}."]


CLAIMS = RationaleScore(
    _compute,
    section=_section,
    terminal=(
        ("Claims contradicted, as written", _terminal("raw", "data", CONTRADICTED)),
        ("Claims contradicted, as shown", _terminal("shown", "data", CONTRADICTED)),
        ("Claims supported a rationale", _terminal("shown", "data", "per_rationale")),
    ),
    verdict=_verdict,
    of_teacher=True,
)
