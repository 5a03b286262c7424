"""Writes docs/real-data.md from benchmarks/results/challenge_2012.json and real_notes.json.

    python benchmarks/real_data_page.py

A figure that has not been measured is said to be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.formatting import format_percent, format_score, format_share, markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "real-data.md"
NOT_HERE = "not measured yet"

INTRO = """# Real data

Most figures of this project are about its own synthetic hospital. Here are those about real patients and real notes
that anyone may use: series without notes, and notes without series. The model is the quickstart's, which has seen
synthetic patients only. This page is written by `python benchmarks/real_data_page.py` from
[challenge_2012.json](../benchmarks/results/challenge_2012.json) and
[real_notes.json](../benchmarks/results/real_notes.json).

## PhysioNet Challenge 2012

[The challenge](https://physionet.org/content/challenge-2012/1.0.0/) (Silva et al., Computing in Cardiology 2012;
ODC-BY 1.0) has the first 48 hours of ICU stays, one text file for each, with all eleven variables of the shipped
vocabulary among 37, and whether the patient died in hospital. It has no notes and no ICD codes.

```
clinragen source tables challenge-2012 --root set-a.tar.gz --output challenge-tables
clinragen build challenge-2012 --root challenge-tables --note-policy structured \\
    --output challenge-cohort
```

The first command makes tables of the files of an archive or a folder; values are copied as they are, and what is
doubtful is counted by the build. The source is one file, `dataset_builder/sources/challenge-2012.yaml`. Without codes
every label is null, so that such a cohort can be explained but not trained on or scored
([the contract](contract.md)). The structured notes have age, sex and unit. The outcome stands where other sources have
a code, so that a vocabulary can have it in place of a disease, and nothing of the model changes:

```yaml title="my-outcome/vocabulary.yaml"
format: 1
diseases: [in_hospital_death]
```

```yaml title="my-outcome/diseases/in_hospital_death.yaml"
name: In-hospital death
kind: acute
codes: {0: [DIED]}
```

```
clinragen build challenge-2012 --root challenge-tables --note-policy structured \\
    --vocabulary my-outcome --output challenge-outcome
```
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page, of the results that there are."""
    challenge, notes = (_read(name) for name in ("challenge_2012", "real_notes"))
    parts: Mapping[str, Any] = (challenge or {}).get("parts", {})
    written = [
        INTRO,
        "### Values and units\n",
        _units(parts.get("tables")),
        "\n### The encoder and the rationales\n",
        _encoder(parts.get("encoder")),
        _rationales(parts.get("rationales")),
        "\n### Death in hospital\n",
        _death(parts, (challenge or {}).get("published", ())),
        "\n## Real notes\n",
        _notes(notes),
        "\n## What these figures cannot show\n",
        LIMITS.strip(),
        *(line for line in (_made(challenge, "challenge_2012.py"), _made(notes, "real_notes.py")) if line),
    ]
    return "\n\n".join(part.strip("\n") for part in written) + "\n"


LIMITS = """
- **Not whether the diagnoses are right.** The challenge has no diagnoses and the notes no codes: a rationale's claims
  are checked against the patient's own data, not against what the patient had. A disease that the model lists for
  these patients may be wrong however true its sentences are.
- **Not what a model that learned from real patients would do.** The quickstart's has a vocabulary of words, a style of
  notes and a way of measuring that are our own; what it lists here says how far it carries over, and no more.
- **Not both at once.** No public data here have a real note and real series of one patient.
- **One hospital's units** (the challenge is drawn from MIMIC-II), and patients who stayed for two days or longer; the
  transcribed reports and the visit notes are of outpatients and general medicine more than of an ICU.
- **The AUROC is of one split**, with the interval over its test patients; the published ones are means over five
  folds of the same 4,000 stays. They read 33 variables.
- The negated terms stand directly behind their cue, so that their share is an upper bound of how well negation is
  read; [claims](claims.md) has the measurement on labelled sentences of other authors."""


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _units(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return f"Values and units: {NOT_HERE}."
    stays = part["stays"]
    rows = []
    for one in part["variables"]:
        normal = one["normal_range"]
        quantiles = one["quantiles"]
        rows.append(
            [
                f"{one['name']} ({one['unit']})",
                f"{one['used']:,} of {one['rows']:,}",
                format_share(one["stays_with_a_value"]),
                f"{quantiles['0.01']:g} – {quantiles['0.5']:g} – {quantiles['0.99']:g}",
                "–" if normal is None else f"{normal[0]:g} to {normal[1]:g}",
                "–" if normal is None else format_share(one["share_in_normal_range"]),
            ]
        )
    header = ["variable", "values used", "stays with one", "1 % – median – 99 %", "normal range", "within it"]
    counts = part["counts"]
    used, total = (sum(one[name] for one in part["variables"]) for name in ("used", "rows"))
    settled = sum(count for one in part["variables"] for count in one["settled"].values())
    doubts = f" Of {settled:,} values the unit was settled by their size." if settled else ""
    outside = [
        f"{one['name']} ({one['quantiles']['0.5']:g})"
        for one in part["variables"]
        if one["normal_range"] and not one["normal_range"][0] <= one["quantiles"]["0.5"] <= one["normal_range"][1]
    ]
    return (
        f"{counts['records']:,} records with {counts['measurements']:,} measurements of 37 parameters become "
        f"{stays['has_events']:,} examples ({stays['all ICU stays']:,} stays, {stays['adults']:,} of adults). Of the "
        f"{total:,} values of the eleven variables {used:,} are used; the others are outside the plausible range and "
        f"counted (an unknown weight is -1, the zeros of disconnected lines, a pH of 735).{doubts} A wrong unit would "
        "move a variable's median by its factor; outside its normal range is the median of "
        f"{' and '.join(outside) or 'none'}, as it is where oxygen is given.\n\n"
        f"{markdown_table(header, rows)}\n\nReading the archive takes {part['seconds_tables']:g} s of one "
        f"processor, the build {part['seconds_build']:g} s.\n"
    )


def _encoder(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return f"The encoder: {NOT_HERE}.\n"
    return (
        f"The model read the series of all {part['stays']:,} stays (median {part['steps']['median']:g} rows, at most "
        f"{part['steps']['most']:,}): {part['finite']:,} gave finite probabilities, none failed. A stay takes "
        f"{part['milliseconds_per_stay']:g} ms of one processor.\n"
    )


def _rationales(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return f"\nRationales about the series: {NOT_HERE}.\n"
    ways = ("as written", "as shown")
    rows = [
        ["Claims about the series", *(f"{part[way]['claims']:,}" for way in ways)],
        ["Contradicted by it", *(format_percent(part[way]["contradicted"]) for way in ways)],
        ["Unverifiable", *(format_percent(part[way]["unverifiable"]) for way in ways)],
        ["Claims supported a rationale", *(f"{part[way]['supported_per_rationale']:.2f}" for way in ways)],
        [
            "Omitted, of the three strongest findings of a series",
            *(format_percent(_opposite(part[way]["strongest_findings_mentioned"])) for way in ways),
        ],
        ["Sentences withheld", "–", format_percent(part["as shown"]["sentences_withheld"])],
        ["Rationales without a sentence", *(str(part[way]["empty"]) for way in ways)],
        ["Seconds a stay, of one processor", *(f"{part[way]['seconds_per_stay']:.2f}" for way in ways)],
    ]
    written, shown = (part[way]["contradicted"] for way in ways)
    return (
        f"\nRationales about {part['stays']} test stays, from the series alone, as the model writes them freely and "
        "as they are shown (written under constraints, checked, withheld where they do not hold; "
        f"[how](verification.md)). What holds on synthetic patients holds here: {format_share(written['value'])} of "
        f"the claims are contradicted as written, {format_share(shown['value'])} as shown.\n\n"
        f"{markdown_table(['', 'as written', 'as shown'], rows)}\n"
    )


def _death(parts: Mapping[str, Any], published: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for key, part in parts.items():
        if not key.startswith("death, "):
            continue
        system = key.rpartition(": ")[2]
        area = part["auroc"]
        rows.append(
            [
                f"{system[0].upper()}{system[1:]}, here",
                str(part["variables"]),
                format_score(area),
                f"{part['event_1']:.3f}",
            ]
        )
    measured = next((part for key, part in parts.items() if key.startswith("death, ")), None)
    if measured is None:
        return f"Death in hospital: {NOT_HERE}.\n"
    rows += [
        [
            f"{one['what']}, published",
            str(one.get("variables", "–")),
            f"{one['auroc']:g} ± {one['spread']:g}" if "auroc" in one else "–",
            f"{one['event_1']:g}" if "event_1" in one else "–",
        ]
        for one in published
    ]
    sources = dict.fromkeys(f"{one['what']}: {one['source']} ({one['of']}), {one['address']}" for one in published)
    missing = (
        ""
        if any("all variables: disease head" in key for key in parts)
        else (
            f"The disease head on all variables: {NOT_HERE}; `python benchmarks/challenge_2012.py` goes on where it "
            "stopped.\n\n"
        )
    )
    examples, deaths = measured["examples"], measured["deaths"]
    header = ["system", "variables", "AUROC (95 % interval)", "event 1"]
    return (
        "A model with a disease head, built from scratch as the quickstart's, reads the series without a note and "
        "learns one thing, whether the patient dies in hospital; gradient boosting reads statistics of the same "
        f"series. The builder's own split by patient: {examples['train']:,} stays to learn from ({deaths['train']} "
        f"deaths), {examples['validation']} for choices ({deaths['validation']}), {examples['test']} to score "
        f"({deaths['test']}). Event 1 is the challenge's: the lower of sensitivity and positive predictive value, "
        "here at the threshold that is best on the validation split.\n\n"
        f"{markdown_table(header, rows)}\n\n{missing}"
        "Published figures:\n\n" + "\n".join(f"- {source}" for source in sources) + "\n"
    )


def _notes(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return f"Sections, quotations, negation and reading: {NOT_HERE}.\n"
    sets = result["sets"]
    names = list(sets)

    def row(label: str, value: Any) -> list[str]:
        return [label, *(value(sets[name]) for name in names)]

    def asked(kind: str) -> Any:
        return lambda one: f"{one['quotations'][kind]['found']:,} of {one['quotations'][kind]['asked']:,}"

    def denied(one: Mapping[str, Any]) -> str:
        found = one["negation"]["denied"]
        return f"{found['contradicted']:,} of {found['mentions']:,}"

    def affirmed(one: Mapping[str, Any]) -> str:
        found = one["negation"]["affirmed"]
        return f"{found['supported']:,} of {found['mentions']:,}"

    def claims(way: str) -> Any:
        def said(one: Mapping[str, Any]) -> str:
            found = one["rationales"][way]
            return f"{found['claims']['contradicted']:,} of {sum(found['claims'].values()):,}; {found['empty']} empty"

        return said

    lengths = [key for key in sets[names[0]]["reading"] if "tokens" in key]
    rows = [
        row("notes", lambda one: f"{one['notes']:,}"),
        row("sections put together again are the note", lambda one: f"{one['sections']['put_together_again']:,}"),
        row("with a known heading", lambda one: f"{one['sections']['with_a_known_heading']:,}"),
        row(
            "characters under a known heading, an unknown one, none",
            lambda one: ", ".join(
                format_share(one["sections"]["share_of_characters"][kind]) for kind in ("known", "unknown", "preamble")
            ),
        ),
        row(
            "share that the policy `admission` shows (median)",
            lambda one: format_share(one["sections"]["admission_share_of_a_note"]["median"]),
        ),
        row("nothing of it shown", lambda one: f"{one['sections']['admission_part_is_empty']:,}"),
        row(
            "shown with words of a discharge, a hospital course or day",
            lambda one: ", ".join(
                str(one["sections"]["admission_parts_with_words_of"][kind])
                for kind in ("discharge", "hospital_course", "hospital_day")
            ),
        ),
        row("quotations found: verbatim", asked("verbatim")),
        row("… with other blanks and capitals", asked("other blanks and capitals")),
        row("… with two words exchanged (none should)", asked("two words exchanged")),
        row("… of another note (none should)", asked("of another note")),
        row("denied terms, quoted as a finding: contradicted", denied),
        row("affirmed terms, quoted as a finding: supported", affirmed),
        *(
            row(
                f"read whole at {length.partition(',')[0] if 'quick' in length else '1,475 tokens'}",
                lambda one, length=length: (
                    f"{one['reading'][length]['read_whole']:,}, median share "
                    f"{format_share(one['reading'][length]['share_read']['median'])}"
                ),
            )
            for length in lengths
        ),
        *(
            row(
                f"… cut notes whose first part ends a sentence or line ({length.partition(' tokens')[0]})",
                lambda one, length=length: (
                    f"{one['reading'][length]['first_part_ends_a_sentence_or_line']:,} of "
                    f"{one['reading'][length]['cut']:,}"
                ),
            )
            for length in lengths
        ),
        row(
            "words that the quickstart's tokenizer holds whole (median)",
            lambda one: format_share(one["reading"]["words_that_one_token_holds"]["median"]),
        ),
        row("claims contradicted, as written", claims("as written")),
        row("claims contradicted, as shown", claims("as shown")),
    ]
    return (
        "Transcribed reports of [MTSamples](https://mtsamples.com) (discharge summaries, histories, ER and general "
        "medicine; CC0) and the visit notes of [ACI-Bench](https://doi.org/10.1038/s41597-023-02487-3) (Yim et al. "
        "2023; CC BY 4.0). The tokenizer and the model are the quickstart's.\n\n"
        f"{markdown_table(['', *names], rows)}\n\n"
        "What is cut of a long note is its middle, at the end of a sentence or line where there is one in reach. The "
        "quickstart's model has never seen such notes: its tokenizer cuts most of their words into pieces, which the "
        "answer to such a patient says as a warning.\n"
    )


def _opposite(found: Mapping[str, Any]) -> dict[str, Any]:
    value, low, high = (found[name] for name in ("value", "low", "high"))
    return {"value": None} if value is None else {"value": 1 - value, "low": 1 - high, "high": 1 - low}


def _made(result: Mapping[str, Any] | None, script: str) -> str:
    if result is None:
        return ""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return (
        f"`benchmarks/{script}`: commit {result['commit']}, seed {result['seed']}, {result['threads']} thread, "
        f"{result['machine']}, {versions}.\n"
    )


if __name__ == "__main__":
    main()
