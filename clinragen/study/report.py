"""The report of a study in Markdown, made from its scores alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clinragen.study.criteria import Criteria
from trainers.formatting import NOTHING, format_difference, format_percent, format_rate, format_score, markdown_table

_NAMES = {
    "icc_2_1": "ICC(2,1)",
    "icc_2_k": "ICC(2,k)",
    "alpha_nominal": "alpha, nominal",
    "alpha_ordinal": "alpha, ordinal",
}
_COUNTS = {
    "omissions": "Omissions per rationale",
    "omitted_diseases": "Diseases left out per rationale",
    "errors": "Wrong sentences per rationale",
}
_FLAGS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "errors": ("Wrong sentences marked per rationale", format_rate),
    "contradicted_found": ("Of the sentences that the checker contradicts: marked", format_percent),
    "others_marked": ("Of the other sentences: marked", format_percent),
    "omissions": ("Omissions per rationale", format_rate),
    "omitted_diseases": ("Diseases left out per rationale", format_rate),
}
_CHECKER = {
    "kappa_sentences": ("Kappa, sentences", format_score),
    "contradicted_marked": ("Of the contradicted sentences: marked", format_percent),
    "marked_contradicted": ("Of the marked sentences: contradicted", format_percent),
    "kappa_rationales": ("Kappa, rationales (not wholly correct against any contradiction)", format_score),
}


def write_report(scores: Mapping[str, Any], criteria: Criteria) -> str:
    """The report, with a row for every question that the answers cannot say anything about."""
    names = {
        **{one.key: one.name for one in criteria.criteria},
        "overall": "Overall verdict",
        "wrong_sentences": "Wrong sentences",
    }
    parts = [
        "# Study of rationales",
        f"Study {scores['study']}: {scores['cases']} cases, {scores['rationales']} rationales.",
        *(f"**Note:** {notice}" for notice in scores["notices"]),
        "Intervals are 95 % bootstrap intervals over cases; means and agreement leave repeated cases and judges out. "
        "Definitions: docs/study.md.",
        "## Who rated",
        _progress(scores),
        *(
            f"## {_title(source)}\n\n{_source(content, names, criteria)}"
            for source, content in scores["sources"].items()
        ),
    ]
    if scores["differences"]:
        parts += ["## Differences between sources (people)", _differences(scores["differences"], names, criteria)]
    parts += ["## Agreement of the raters", _agreement(scores["agreement"], names)]
    parts += ["## Agreement with oneself", _pairs(scores["own_agreement"], names)]
    parts += ["## Agreement with judges", _judges(scores["judge"], names)]
    parts += ["## Agreement with the claim checker", _checker(scores["checker"])]
    parts += ["## With the checker's flags and without", _flags(scores["flags"])]
    parts += ["## Not answerable here", _unanswerable(scores["unanswerable"])]
    return "\n\n".join(parts) + "\n"


def _title(source: str) -> str:
    return f"Source `{source}`"


def _progress(scores: Mapping[str, Any]) -> str:
    rows = [
        [name, kind, f"{one['finished']} of {one['of']}", str(one["unfinished"])]
        for kind, group in (("person", scores["raters"]), ("language model", scores["judges"]))
        for name, one in group.items()
    ]
    return markdown_table(["Rater", "Who", "Rationales finished", "Unfinished"], rows)


def _source(content: Mapping[str, Any], names: Mapping[str, str], criteria: Criteria) -> str:
    rows = [
        [f"{names[one.key]} (share of yes)", *(format_score(found[one.key]) for found in content.values())]
        for one in criteria.criteria
    ]
    rows += [
        [f"As a whole {text}", *(format_percent(found[f"overall_{choice}"]) for found in content.values())]
        for choice, text in criteria.overall.items()
    ]
    rows += [[title, *(format_rate(found[name]) for found in content.values())] for name, title in _COUNTS.items()]
    rows.append(
        ["Sentences that are wrong", *(format_percent(found["wrong_sentences"]) for found in content.values())]
    )
    return markdown_table(["", *(name.capitalize() for name in content)], rows)


def _differences(found: Mapping[str, Any], names: Mapping[str, str], criteria: Criteria) -> str:
    rows = [[names[one.key], *(_signed(each[one.key]) for each in found.values())] for one in criteria.criteria]
    best = criteria.choices[-1]
    rows.append(
        [f"As a whole {criteria.overall[best]}", *(_signed(each[f"overall_{best}"]) for each in found.values())]
    )
    rows += [[title, *(_signed(each[name]) for each in found.values())] for name, title in _COUNTS.items()]
    return markdown_table(["", *found], rows)


def _agreement(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if "because" in found:
        return _because(found)
    rows = [
        [names[part], *(format_score(content.get(name)) for name in _NAMES)]
        for part, content in found.items()
        if isinstance(content, Mapping)
    ]
    return markdown_table(["", *_NAMES.values()], rows)


def _pairs(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    rows = []
    for rater, content in found.items():
        if "because" in content:
            rows.append([rater, "", NOTHING, f"not answerable: {content['because']}"])
            continue
        rows += [
            [rater, names[part], format_percent(one["same"]), format_score(one["kappa"])]
            for part, one in content.items()
            if isinstance(one, Mapping)
        ]
    return markdown_table(["Rater", "", "The same answers", "Kappa"], rows)


def _judges(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if "because" in found:
        return _because(found)
    parts = []
    for judge, content in found.items():
        if "because" in content:
            parts.append(f"{judge}: {_because(content)}")
            continue
        rows = [
            [
                names[part],
                format_score(one["judge_with_raters"]),
                format_score(one["raters_among_themselves"]),
                _signed(content["scores"].get(part)),
            ]
            for part, one in content.items()
            if part != "scores"
        ]
        header = [judge, "Kappa with the raters", "Kappa of the raters", "Its score minus theirs"]
        parts.append(markdown_table(header, rows))
    return "\n\n".join(parts)


def _checker(found: Mapping[str, Any]) -> str:
    if "because" in found:
        return _because(found)
    rows = [
        [name.replace("_", " ").capitalize(), *(_cell(content, key, shown) for key, (_, shown) in _CHECKER.items())]
        for name, content in found.items()
    ]
    return markdown_table(["Who", *(title for title, _ in _CHECKER.values())], rows)


def _flags(found: Mapping[str, Any]) -> str:
    if "because" in found:
        return _because(found)
    rows = []
    for name, (title, shown) in _FLAGS.items():
        one = found[name]
        rows.append([title, shown(one["with"]), shown(one["without"]), _signed(one["difference"])])
    return markdown_table(["", "With flags", "Without", "Difference"], rows)


def _unanswerable(found: list[Mapping[str, str]]) -> str:
    if not found:
        return "Nothing: every question has an answer."
    return markdown_table(
        ["Question", "Not answerable here, because"], [[one["question"], one["because"]] for one in found]
    )


def _cell(content: Mapping[str, Any], key: str, shown: Callable[[Mapping[str, Any]], str]) -> str:
    return shown(content[key]) if key in content else NOTHING


def _signed(interval: Mapping[str, Any] | None) -> str:
    return NOTHING if interval is None or interval["value"] is None else format_difference(interval)


def _because(found: Mapping[str, Any]) -> str:
    return f"Not answerable here, because {found['because']}."
