"""Writes the tables of figures within the pages of docs/, each from its result file.

    python benchmarks/docs_tables.py

A table stands between two marks, and the first says of which file its figures are:

    <!-- transfer: begin (figures of benchmarks/results/transfer.json) -->
    <!-- transfer: end -->

What a table is called here is the name of its mark. A test fails where a page has other figures than its file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import recipe_costs
from admissions_set import load_admissions

from clinragen.claims.filter import REASONS
from clinragen.claims.types import VERDICTS
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import atomic_file, read_json, read_text
from trainers.formatting import (
    NOTHING,
    TEXTS,
    format_difference,
    format_percent,
    format_score,
    format_share,
    markdown_table,
)

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NOT_YET = "It has not been measured yet."
MARKED = re.compile(
    r"(?P<begin><!-- (?P<name>[a-z ]+): begin \(figures of (?P<file>[\w./-]+\.json)\) -->\n)"
    r".*?"
    r"(?P<end><!-- (?P=name): end -->)",
    re.DOTALL,
)
Result = Mapping[str, Any]


def transfer(result: Result) -> str:
    """What each shift costs."""
    return markdown_table(
        ["hospital", "micro F1", "minus home", "evidence in the series cited"],
        [
            [
                place["name"],
                format_score(place["scores"]["micro_f1"]),
                "" if place["home"] else format_difference(place["difference"]["micro_f1"]),
                format_score(place["scores"]["cited_series"]),
            ]
            for place in result["places"]
        ],
    )


def clinosim(result: Result) -> str:
    """A model of each world in both."""
    scores = ("micro_f1", "macro_f1", "micro_auroc", "calibration_error")
    worlds = (("ours_there", "ours", "clinosim"), ("theirs_here", "clinosim's", "our test split"))
    rows = []
    for key, model, elsewhere in worlds:
        home, away = result[key]["places"]
        for name, place in (("home", home), (elsewhere, away)):
            found = [format_score(place["scores"][score]) for score in scores]
            rows.append([model, name, f"{place['patients']:,}", *found])
        rows.append([model, "difference", "", *(format_difference(away["difference"][score]) for score in scores)])
    return markdown_table(
        ["model", "place", "patients", "micro F1", "macro F1", "micro AUROC", "calibration error"], rows
    )


def service(result: Result) -> str:
    """Throughput and latency by the number of clients."""
    rows = []
    for clients, found in sorted(result["clients"].items(), key=lambda entry: int(entry[0])):
        for way, name in (("service", "1"), ("processes", str(found["processes"]))):
            latency, ratios = found["latency_seconds"][way], found["ratios"]
            shares = [ratios[f"{way}_to_{other}"] for other in ("explain_many", "generate")]
            rows.append(
                [
                    clients,
                    name,
                    f"{found['ways'][way]['patients_per_second']:.1f}",
                    f"{latency['median']:.2f} s, {latency['p95']:.2f} s",
                    *(f"{share['throughput']:.2f} ({share['processor_time']:.2f})" for share in shares),
                    f"{found['megabytes'][way]:,} MB",
                ]
            )
    header = ["clients", "processes", "patients a second", "latency: median, 95th percentile"]
    return markdown_table([*header, "of explain_many", "of generate", "memory"], rows)


def grounding(result: Result) -> str:
    """Each step of verified generation."""
    names = {
        "free": "free",
        "numbers free": "quotations of the note, numbers free",
        "numbers of readings": "numbers of any reading",
        "numbers of the statistic": "numbers of the statistic",
        "left out": "refused sentences left out",
        "written again": "and written again",
        "asked for evidence": "and left-out evidence asked for",
    }
    rows = []
    for key, name in names.items():
        way = result["ways"][key]
        times = [result["time_ratios"][size].get(key) for size in ("batch", "single")]
        rows.append(
            [
                name,
                format_share(way["contradicted"]),
                format_share(way["unverifiable"]),
                f"{way['supported_per_rationale']:.2f}",
                format_share(way["withheld"]) if "withheld" in way else NOTHING if key == "free" else "",
                *("1" if key == "free" else "" if time is None else f"{time['median']:.2f}" for time in times),
            ]
        )
    first = f"quickstart's model (seed 0), {result['patients']} {result['split']} patients"
    supported = "claims about the data supported, a rationale"
    batch = f"time in a batch of {result['time_ratios']['batch']['patients']}"
    header = [first, "contradicted", "unverifiable", supported, "sentences withheld", batch, "for one patient"]
    return markdown_table(header, rows)


def second_reading(result: Result) -> str:
    """What a second reader finds in shown rationales."""
    systems = [result["systems"][name] for name in ("full", "note_only", "labs_only")]

    def counted(count: int, of: int, places: int = 1) -> str:
        return f"{count:,} ({format_share(count / of, places)})" if count else "0"

    def row(name: str, cell: Callable[[Result], str]) -> list[str]:
        return [name, *(cell(one) for one in systems)]

    rows = [
        row("claims that the second reader decided", lambda one: f"{one['claims']['claims']:,}"),
        row(
            "false among them",
            lambda one: counted(one["claims"]["false"], one["claims"]["claims"], 2),
        ),
        row(
            "sentences, and those it could not read",
            lambda one: f"{one['sentences']:,}, {one['unread']}",
        ),
        row(
            "malformed sentences, such as a verb in the wrong number",
            lambda one: counted(one["malformed"]["sentences"], one["sentences"]),
        ),
        row(
            "listed diseases, and those that no sentence names",
            lambda one: (
                f"{one['listed_diseases']['all']:,}, "
                f"{counted(one['listed_diseases']['never_named'], one['listed_diseases']['all'])}"
            ),
        ),
    ]
    count = systems[0]["rationales"]
    return markdown_table(
        [f"of the quickstart's model (seed 0), {count} patients each", "full", "note only", "labs only"], rows
    )


def admissions(result: Result) -> str:
    """The hand-written admissions by system."""
    rows = []
    for name, one in result["systems"].items():
        claims = one.get("claims")
        rows.append(
            [
                name.removesuffix("/model").replace("_", " "),
                *(
                    format_score(one[score])
                    for score in ("named", "not_named", "denied", "micro_precision", "micro_f1")
                ),
                *(
                    NOTHING if claims is None else format_share(claims[text]["data"]["contradicted"]["value"])
                    for text in TEXTS
                ),
            ]
        )
    header = ["system", "named and listed", "not named, and listed", "denied, and listed", "precision", "micro F1"]
    return markdown_table([*header, "contradicted as written", "as shown"], rows)


LEARNED = 0.1
"""A disease with a lower F1 on the synthetic test split was not learned."""


def missed(result: Result) -> str:
    """Named diseases of the hand-written admissions that SmolLM2 lists, by whether it learned them at all."""
    vocabulary = shipped_definitions().vocabulary
    named = {one.id: {name for name, words in one.named.items() if words} for one in load_admissions(vocabulary)}
    scores = read_json(ROOT / "benchmarks" / "results" / "pretrained.json")["per_disease"]["full"]
    learned = {one.name for one in vocabulary.diseases if scores[one.key]["value"] >= LEARNED}
    rows = []
    for title, diseases in (
        ("learned", learned),
        ("not learned", set(vocabulary.disease_names) - learned),
        ("all", set(vocabulary.disease_names)),
    ):
        cells = [title, str(len(diseases))]
        for system in ("smollm2-135m/model", "quickstart/model"):
            answers = result["answers"][system].items()
            listed = sum(len(named[place] & diseases & set(one["right"])) for place, one in answers)
            cells.append(f"{listed} of {sum(len(named[place] & diseases) for place, _ in answers)}")
        rows.append(cells)
    return markdown_table(["by SmolLM2", "diseases", "named, and listed by SmolLM2", "by the quickstart"], rows)


def head(result: Result) -> str:
    """What a disease head alone reads off the states of a language model that has learned nothing of patients."""
    return markdown_table(
        [
            "head alone, on frozen states",
            "examples seen",
            "macro AUROC",
            "micro F1",
            "not learned",
            "named and listed",
        ],
        [
            [
                f"{'with the pooled part' if one['pooled'] else 'queries alone'}, {one['training']}",
                f"{one['examples']:,}",
                format_score(one["test"]["macro_auroc"]),
                format_score(one["test"]["micro_f1"]),
                str(one["not_learned"]),
                format_score(one["admissions"]["named"]),
            ]
            for one in result["trainings"]
        ],
    )


def baselines(result: Result) -> str:
    """Every baseline on the quickstart's patients, and a language model that was not trained on a part of them."""

    def row(system: str, title: str, scores: Result) -> list[str]:
        ranked = [format_score(scores[name]) if name in scores else NOTHING for name in ("macro_auroc", "macro_auprc")]
        return [system, title, format_score(scores["micro_f1"]), format_score(scores["macro_f1"]), *ranked]

    rows = []
    for name, scores in sorted(result["systems"].items(), key=lambda entry: -entry[1]["micro_f1"]["value"]):
        system, _, setting = name.partition(" ")
        rows.append(row(f"`{system}`", f"`{setting}`" if setting else "", scores))
    if asked := result.get("zero_shot"):
        first = f"first {asked['patients']} patients"
        rows.append(row("`zero_shot`", f"{asked['model']}, {first}", asked["scores"]))
        rows.append(row("`gradient_boosting`", f"`full`, {first}", asked["gradient_boosting"]))
    return markdown_table(["system", "`baselines`", "micro F1", "macro F1", "macro AUROC", "macro AUPRC"], rows)


def preference(result: Result) -> str:
    """Free texts before and after preference training."""

    def cells(one: Result) -> list[str]:
        claims, second = one["claims"]["raw"]["data"], one["second_reading_of_free_texts"]["claims"]
        return [
            f"{claims['per_rationale']['of']} of {one['patients']}",
            format_share(claims["contradicted"]["value"]),
            f"{claims['claims']:,}",
            f"{claims['supported']['count'] / one['patients']:.2f}",
            format_share(one["evidence"]["raw"]["series"]["listed"]["value"]),
            f"{second['false']:,} of {second['claims']:,} ({format_share(second['false_rate'])})",
            f"{one['characters']['free']:.0f}",
            f"{one['micro_f1']:.3f}",
        ]

    names = [
        "texts with both parts, whose claims are counted",
        "claims contradicted",
        "claims",
        "claims supported, a text",
        "evidence in the series cited",
        "false by the second reader",
        "characters a text",
        "micro F1 of the diagnoses",
    ]
    columns = [cells(result[when]) for when in ("before", "after")]
    header = f"as written, {result['before']['patients']} {result['split']} patients"
    return markdown_table([header, "before", "after"], [list(row) for row in zip(names, *columns, strict=True)])


def pretrained(result: Result) -> str:
    """A pretrained model beside the tiny one and boosting, on the same patients."""
    systems, models = result["systems"], result["models"]
    names = {"full": "SmolLM2-135M", "tiny": "the quickstart's tiny T5", "gradient_boosting": "gradient boosting"}
    scores = {
        "micro F1": "micro_f1",
        "macro F1": "macro_f1",
        "micro AUROC": "micro_auroc",
        "exact match": "exact_match",
    }
    rows = [[title, *(format_score(systems[name][key]) for name in names)] for title, key in scores.items()]
    rows.insert(
        1,
        ["minus the others, paired", ""]
        + [format_difference(result["differences"][f"full_minus_{name}"]["micro_f1"]) for name in list(names)[1:]],
    )
    own = [format_score(systems[f"{name}_decoder"]["micro_f1"]) for name in ("full", "tiny")]
    rows.append(["micro F1 of the lists that the decoder writes itself", *own, NOTHING])

    written = [models[name]["rationale"] for name in ("full", "tiny")]
    for text, how in TEXTS.items():
        claims = [one["claims"][text]["data"] for one in written]
        cited = [one["evidence"][text] for one in written]
        rows += [
            [f"claims about the data, {how}", *(f"{one['claims']:,}" for one in claims), NOTHING],
            [f"contradicted, {how}", *(format_percent(one["contradicted"]) for one in claims), NOTHING],
            *(
                [
                    f"evidence in the {where} cited, {how}",
                    *(format_percent(one[where]["present"]) for one in cited),
                    NOTHING,
                ]
                for where in ("note", "series")
            ),
        ]
    rows.append(["sentences withheld", *(format_percent(one["sentences"]["withheld"]) for one in written), NOTHING])
    shares = [models[name]["seconds"]["share"] for name in ("full", "tiny")]
    rows.append(["seconds of scoring to those of answering", *map(format_share, shares), NOTHING])
    return markdown_table(
        [f"{result['held_out']['subjects']:,} patients, texts of {result['texts']}", *names.values()], rows
    )


def extraction(result: Result) -> str:
    """A cohort beside a bare scan of its largest table."""
    return markdown_table(
        ["chart events", "scan", "build", "ratio", "peak memory"],
        [
            [
                f"{one['million_events']:g} million",
                f"{one['scan_seconds']:.2f} s",
                f"{one['build_seconds']:.2f} s",
                f"{one['ratio']:.2f}",
                f"{one['peak_memory_gib']:.2f} GiB",
            ]
            for one in result["csv.gz"]["sizes"]
        ],
    )


def llm_teacher(result: Result) -> str:
    """Why rationales of a language model are rejected, as it wrote them and after a repair."""
    ways = [result["filter"][step] for step in ("first", "final")]
    reasons = [reason for reason in REASONS if any(one["reasons"][reason]["count"] for one in ways)]
    claims = [list(one["claims"].values()) for one in ways]
    rows = [["kept", *(f"{one['kept']} of {one['examples']}" for one in ways)]]
    for reason in reasons:
        found = [one["reasons"][reason] for one in ways]
        rows.append([reason.replace("_", " "), *(f"{one['count']} ({format_share(one['rate'])})" for one in found)])
    for verdict in VERDICTS:
        rows.append([f"claims {verdict}", *(f"{sum(one[verdict] for one in listed):,}" for listed in claims)])
    second = result["filter"]["repairs"]["rewritten"]
    rows.append(["of it a second text, with both parts", "", f"{second} of {result['examples']}"])
    asked, cut = result["usage"], result["cut_off"]
    rows.append([f"answers, and of them cut off at {result['max_tokens']} tokens", f"{asked['answers']}, {cut}", ""])
    tokens = f"{asked['prompt_tokens']:,} and {asked['completion_tokens']:,}"
    rows.append(["tokens of prompts and of answers", tokens, ""])
    rows.append(["seconds of one thread", f"{result['seconds']['of_answers']:,.0f}", ""])
    rows.append(["the rule teacher's rationales of these patients, kept", f"{result['rules']['kept']}", ""])
    return markdown_table(["", "as written", "after one repair"], rows)


def training(result: Result) -> str:
    """What training costs besides the model."""
    pipeline, padding = result["input_pipeline"], result["padding"]
    loading, plain = result["loading"], result["against_seq2seq_trainer"]
    return markdown_table(
        ["", "measured", "aim"],
        [
            ["input pipeline, share of a step's time, first epoch", format_share(pipeline["first_epoch"]), ""],
            ["the same, later epochs", format_share(pipeline["later_epochs"]), "at most 5 %"],
            ["the same, all five epochs", format_share(pipeline["all_epochs"]), "at most 5 %"],
            ["padding among the tokens, random batches", format_share(padding["random"]["all"]), ""],
            ["the same, `group_by_length`", format_share(padding["group_by_length"]["all"]), "at most 10 %"],
            ["loading against the authors' way, first epoch", f"{loading['first_epoch_against_authors']:.0f}×", ""],
            ["the same, later epochs", f"{loading['later_epochs_against_authors']:.0f}×", "at least 100×"],
            ["steps a second against Seq2SeqTrainer", f"{plain['ratio']:.2f}", "at least 0.95"],
        ],
    )


TABLES: Mapping[str, Callable[[Result], str]] = {
    "admissions": admissions,
    "ablation": grounding,
    "baselines": baselines,
    "clinosim": clinosim,
    "costs": recipe_costs.table,
    "extraction": extraction,
    "head": head,
    "language model as teacher": llm_teacher,
    "missed": missed,
    "preference": preference,
    "pretrained": pretrained,
    "second reading": second_reading,
    "service": service,
    "training": training,
    "transfer": transfer,
}
"""By the name of the mark."""


def filled(page: str) -> str:
    """A page with its tables made anew."""

    def table(found: re.Match[str]) -> str:
        make, path = TABLES[found["name"]], ROOT / found["file"]
        content = make(read_json(path)) if path.is_file() else NOT_YET
        return f"{found['begin']}{content.strip()}\n{found['end']}"

    return MARKED.sub(table, page)


def main() -> None:
    """Write the pages."""
    for path in sorted(DOCS.glob("*.md")):
        page = read_text(path)
        if (new := filled(page)) != page:
            with atomic_file(path) as beside:
                beside.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written anew")


if __name__ == "__main__":
    main()
