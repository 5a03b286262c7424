"""The report of the interventions in Markdown, made from their numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinragen.evaluation.bootstrap import LEVEL
from clinragen.interventions.sufficiency import AS_MANY, CITED, TITLES
from trainers.formatting import NOTHING, format_difference, format_percent, format_score, markdown_table

SUFFICIENT, KNOWN = 0.98, 0.90
"""The goals: of micro F1 that the cited evidence alone keeps, and of the diagnoses that go with their only cause."""

_AT_LEAST = (1 - LEVEL) / 2
"""Probability of what has been seen at the limit of an exact interval."""

_EFFECT = ["Patients", "Micro F1 before", "After", "Difference", "Decisions changed", "Listed ones lost", "New ones"]
_SOURCES = {"all": "All", "note": "A phrase of the note", "series": "A variable of the series"}


def write_report(found: Mapping[str, Any]) -> str:
    """The report of the content of interventions.json, with a row for every question that cannot be answered here."""
    held_out = found["held_out"]
    parts = [
        "# Interventions",
        *(f"**Note:** {notice}" for notice in found["notices"]),
        f"{held_out['examples']} examples of {held_out['subjects']} patients of the test split, asked about as they "
        f"are and with something changed. Diseases are those of {found['decided_by']}; micro F1 as they are: "
        f"{format_score(held_out['micro_f1'])}. {held_out['without_input']} examples without a word or a measurement "
        "are left out. Intervals are 95 % bootstrap intervals over patients; differences and "
        "shares are paired. Definitions: docs/interventions.md.",
        _verdict(found),
        "## The input changed",
        _effects({one["title"]: one["effect"] for one in found["inputs"].values()}),
        "## The patient described as somebody else",
        _ABOUT_PERSONS,
        _effects({one["title"]: one["effect"] for one in found["persons"].values()}),
        "## One variable removed",
        _effects({one["title"]: one["effect"] for one in found["variables"].values()}),
    ]
    if found["pairs"]:
        parts += ["## Cited evidence removed, against uncited evidence", *_pairs(found["pairs"])]
    if found["known_cause"]:
        parts += ["## The only cause removed", _ABOUT_CAUSES, _causes(found["known_cause"])]
    if found["sufficiency"]:
        parts += [
            "## Sufficiency: these pieces of evidence alone",
            _ABOUT_PIECES.format(units=found["config"]["units"]),
            _pieces(found["sufficiency"], "Micro F1 kept", lambda one: format_percent(one["kept"])),
            "## Necessity: all but these pieces of evidence",
            _pieces(found["necessity"], "Listed ones lost", lambda one: format_percent(one["lost"])),
        ]
    if found["alignment"]:
        parts += ["## Lab vectors and knowledge", *_alignment(found["alignment"])]
    if found["unanswerable"]:
        rows = [[one["question"], f"not answerable here, because {one['because']}"] for one in found["unanswerable"]]
        parts += ["## Not answerable here", markdown_table(["Question", ""], rows)]
    return "\n\n".join(parts) + "\n"


_ABOUT_PERSONS = (
    "Notes with the words for the patient's sex, race or age replaced, and nothing else. What changes is what the "
    "model takes from these words alone."
)
_ABOUT_CAUSES = (
    "Listed diseases of the synthetic hospital that one sign alone shows, by its truth: one phrase of the note, whose "
    "sentences were removed, or one variable, whose readings in the course of the disease were replaced by normal "
    "ones of the patient's own, or removed where there are fewer than three. The sentence is that of the shown "
    "rationale, where it gave evidence for the disease."
)
_ABOUT_PIECES = (
    "A piece is a sentence of the note or a variable of the series; at most {units} of those that the shown rationale "
    'cites. "As many" has the number that the rationale\'s choice has of each patient; the others have {units}. A '
    "patient of whom nothing is left is given no disease."
)


def _effects(effects: Mapping[str, Mapping[str, Any] | None]) -> str:
    rows = [
        [title, *(_effect(one) if one is not None else ["0", *[NOTHING] * (len(_EFFECT) - 1)])]
        for title, one in effects.items()
    ]
    return markdown_table(["Change", *_EFFECT], rows)


def _effect(one: Mapping[str, Any]) -> list[str]:
    scores = [format_score(one["before"]), format_score(one["after"]), format_difference(one["difference"])]
    return [str(one["cases"]), *scores, *(format_percent(one[name]) for name in ("changed", "lost", "gained"))]


def _pairs(pairs: Mapping[str, Any]) -> list[str]:
    found = []
    for pair in pairs.values():
        more = pair["cited_minus_uncited"]
        found.append(
            f"**{pair['title']}**, the same patients. Cited ones cost {format_difference(more['f1'])} more micro F1 "
            f"than uncited ones, and {_points(more['lost'])} more of the listed diseases."
        )
        found.append(_effects({"Cited removed": pair["cited"], "Uncited removed": pair["uncited"]}))
    return found


def _causes(causes: Mapping[str, Any]) -> str:
    names = ("gone", "sentence_gone", "both_gone", "others_stay", "others_listed_stay")
    header = ["Cause", "Number", "Diagnosis goes", "Its sentence goes", "Both go", "Other decisions stay"]
    rows = [
        [
            _SOURCES[source],
            str(one["causes"]),
            *(format_percent(one[name]) if name in one else NOTHING for name in names),
        ]
        for source, one in causes.items()
    ]
    return markdown_table([*header, "Other listed diseases stay"], rows)


def _pieces(choices: Mapping[str, Any], title: str, kept: Any) -> str:
    rows = []
    for name, one in choices.items():
        more = one["cited_minus_this"]
        rows.append(
            [
                _choice(name),
                f"{one['units']:.1f}",
                format_score(one["after"]),
                kept(one),
                format_percent(one["changed"]),
                NOTHING if more is None else format_difference(more["f1"]),
            ]
        )
    header = ["Pieces", "Mean number", "Micro F1", title, "Decisions changed", "Cited, at most as many, minus this"]
    return markdown_table(header, rows)


def _choice(name: str) -> str:
    return f"{TITLES[name.removesuffix(AS_MANY)]}{', as many' if name.endswith(AS_MANY) else ''}"


def _alignment(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            title,
            format_score(one["present"]),
            f"{one['shuffled']:.3f}",
            format_difference(one["difference"]),
            _p(one["p"]),
        ]
        for title, one in (
            ("As it is", found["as_it_is"]),
            ("Above each term's mean over the patients", found["above_own_mean"]),
        )
    ]
    header = ["Attention", "Terms of the present diseases", "Terms shuffled", "Difference", "p"]
    return [
        f"What the lab vectors give to the terms of the diseases that a patient has, in standard deviations, and the "
        f"same with the {found['terms']} terms shuffled between the diseases ({found['permutations']} shuffles, "
        f"{found['patients']} patients). Only the second row is about the patient: the first is high also where some "
        "terms are attended to in everybody.",
        markdown_table(header, rows),
        *(f"![Attention of lab patches to knowledge terms]({name})" for name in found["heat_maps"]),
    ]


def _verdict(found: Mapping[str, Any]) -> str:
    rows = []
    if found["sufficiency"]:
        kept = found["sufficiency"][CITED]["kept"]
        rows.append(["Micro F1 that the cited evidence alone keeps", *write_goal(kept, SUFFICIENT)])
    if found["known_cause"]:
        every = found["known_cause"]["all"]
        both = every.get("both_gone", every["gone"])
        rows.append(["Diagnoses that go with their only cause", *write_goal(every["gone"], KNOWN)])
        if "both_gone" in every:
            rows.append(["The same, with their sentences", *write_goal(both, KNOWN)])
    return markdown_table(["Goal", "Measured", "At least", ""], rows) if rows else "No goal can be measured here."


def write_goal(share: Mapping[str, Any], goal: float) -> list[str]:
    """The measured share, the goal, and whether it is reached: only where the whole interval says so."""
    if share["value"] is None:
        return [NOTHING, f"{100 * goal:.0f} %", "nothing to measure it by"]
    low, high = share["low"], share["high"]
    if low == high and share.get("of"):
        # All are the same, so that no resample differs: the exact limits of so many instead.
        low, high = (low and _AT_LEAST ** (1 / share["of"]), high or 1 - _AT_LEAST ** (1 / share["of"]))
    if low >= goal:
        reached = "reached"
    elif high < goal:
        reached = "not reached"
    else:
        reached = "open: the interval includes the goal"
    return [format_percent(share), f"{100 * goal:.0f} %", reached]


def _points(difference: Mapping[str, Any]) -> str:
    if difference["value"] is None:
        return NOTHING
    value, low, high = (round(100 * difference[name], 1) + 0.0 for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f}) percentage points"


def _p(value: float) -> str:
    return f"{value:.3f}"
