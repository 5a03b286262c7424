"""Writes docs/results.md from the ablation tables in benchmarks/results/ablations/.

    clinragen ablate recipes/ablations/*.yaml --seed 0 --texts 100 --output runs/ablations
    python benchmarks/results_page.py --take runs/ablations        # keep its table under the recipe's name
    python benchmarks/results_page.py                              # write the page again

With --take the table of finished runs is copied to benchmarks/results/ablations/<recipe>.json, with the versions,
commits and processor of the runs, and its figure is drawn beside it. A long table can be made in several sittings:
lines of the table that was there stay. They were compared with the recipe itself, which must have the same scores in
both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import processor

from clinragen.pipeline.ablation_file import REFERENCE, read_ablations
from clinragen.pipeline.ablation_scores import BOOSTING
from clinragen.pipeline.ablation_table import RATIONALE_COLUMNS, compared_lines, overview, plot_differences
from trainers.formatting import NOTHING, format_difference, markdown_table

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "ablations"
PAGE = ROOT / "docs" / "results.md"
PARTS = {
    "quickstart": (
        "The recommended recipe",
        "recipes/ablations",
        "`recipes/quickstart.yaml`, the paper with a disease head, summary tokens and ways to train, and each "
        "of them taken away: `clinragen ablate recipes/ablations/*.yaml`.",
    ),
    "tiny-t5-paper-short": (
        "The paper's method",
        "recipes/ablations/phases",
        "`recipes/tiny-t5-paper-short.yaml`: three phases, attention to the knowledge, the decoder lists the "
        "diseases; and each of its parts changed: `clinragen ablate recipes/ablations/phases/*.yaml`. A pretrained "
        "language model cannot be had for so small a T5: the phase `backbone`, which trains everything from "
        "scratch, comes first in every line, and what a phase is worth is what it adds to that. The paper's own "
        "ablations are the lines without knowledge and without rationales, and of the recipe's line the column of "
        "the note alone: it has neither labs nor knowledge, and is also the paper's baseline of fine-tuning on "
        "text. Its other baselines are labs in words, the frozen model, and [GRU and "
        "zero-shot](evaluation.md#baselines). There is no line without the multimodal phase: nothing else makes a "
        "model that reads both.",
    ),
    "tiny-t5-paper": (
        "The paper's method, trained for longer",
        "recipes/ablations/phases",
        "`recipes/tiny-t5-paper.yaml`, whose first phase has 600 steps of random batches in place of 400 of similar "
        "length: the same lines with `recipe: ../../tiny-t5-paper.yaml`.",
    ),
}
"""By recipe, the heading, the folder of the lines' files, and what stands below the heading."""
SCRATCH = "Each line's language model learns from scratch in a phase of its own first, with labs and knowledge."
QUESTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Does knowledge help?",
        ("no-knowledge", "half-knowledge", "knowledge-25", "knowledge-50", "knowledge-75"),
        "In the paper's recipe the attention to the knowledge takes the place of the lab vector, in the quickstart it "
        "is added to it.",
    ),
    (
        "Does it have to be the right knowledge?",
        ("random-terms", "swapped-terms"),
        "Terms of another disease are only what the disease head starts from.",
    ),
    ("Which sources of it matter?", ("without-mesh", "only-mesh"), ""),
    ("Do the phases help?", ("no-phases", "skip-note", "skip-lab", "end-to-end"), SCRATCH),
    ("Do rationales help the diagnosis?", ("no-rationale", "rationale-first"), ""),
    ("Does it help to be told where the evidence is?", ("no-evidence-loss",), ""),
    (
        "Does the teacher's filter matter?",
        ("unfiltered-teacher",),
        "The rule teacher is contradicted so rarely that there is little to filter; what a false teacher does is "
        "[planted bias](open-questions.md).",
    ),
    ("What do other ways to bring in the labs give?", ("labs-in-words", "frozen"), SCRATCH),
)
"""Questions, the lines of the tables that answer them, and what has to be known beside the answer."""
COSTED = (
    "no-knowledge",
    "no-phases",
    "skip-note",
    "skip-lab",
    "end-to-end",
    "no-rationale",
    "no-disease-head",
    "no-summary-tokens",
)
"""Lines whose cost is said in short."""
KINDS = ("train", "evaluate")
INTERRUPTED = 0.5
"""A line with less than this part of the recipe's time was interrupted, and its time is that since its last start."""


def main() -> None:
    """Keep a table, if one is given, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path, help="Output folder of an ablation.")
    if (folder := parser.parse_args().take) is not None:
        take(folder)
    tables = {name: json.loads(path.read_text()) for name in PARTS if (path := KEPT / f"{name}.json").is_file()}
    PAGE.write_text(page(tables), encoding="utf-8")


def take(folder: Path) -> None:
    """Copy the table and the figure of an ablation, with what its runs say of themselves."""
    table = json.loads((folder / "ablations.json").read_text())
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*/*/run.json"))]
    commits = sorted({record["commit"] for record in records})
    names = [line["name"] for line in table["lines"]]
    if REFERENCE not in names:
        raise SystemExit(f"{folder}: the recipe itself is not finished; run the same command again")
    made = {"lines": names, "commits": commits, "versions": records[0]["versions"], "processor": processor()}
    table["made_with"] = [made]
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{table['recipe']}.json"
    if kept.is_file():
        table = joined(json.loads(kept.read_text()), table)
    kept.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")
    figure = kept.with_suffix(".png")
    figure.unlink(missing_ok=True)
    if compared := compared_lines(table):
        plot_differences(figure, compared)


def joined(before: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the lines of an earlier one that it lacks, or has with fewer seeds."""
    earlier, new = ({line["name"]: line for line in one["lines"]} for one in (before, table))
    parts = [{name: one[REFERENCE][name] for name in ("scores", "rationale")} for one in (earlier, new)]
    if before["seeds"] != table["seeds"] or parts[0] != parts[1]:
        raise SystemExit(
            f"{table['recipe']}: the recipe itself has other scores or seeds than in the table that is kept, so that "
            f"their lines cannot be compared; delete {KEPT / table['recipe']}.json to replace it"
        )
    lines = earlier | {
        name: line for name, line in new.items() if len(line["seeds"]) >= len(earlier.get(name, line)["seeds"])
    }
    lines[BOOSTING] = lines.pop(BOOSTING)  # the last line
    done = {(line["name"], seed) for line in lines.values() for seed in line["seeds"]}
    unfinished = {(one["name"], one["seed"]): one for one in (*before["unfinished"], *table["unfinished"])}
    return {
        **table,
        "lines": list(lines.values()),
        "unfinished": [one for place, one in unfinished.items() if place not in done],
        "made_with": [*before["made_with"], *table["made_with"]],
    }


def page(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as Markdown."""
    parts = [
        "# Results",
        "What each part of the method is worth on the synthetic hospital, and what it costs. This page is written by "
        "`python benchmarks/results_page.py` from the tables in [benchmarks/results/ablations]"
        "(../benchmarks/results/ablations), made by [`clinragen ablate`](ablations.md): a line's difference is the "
        "line minus the recipe, on the same patients, with the 95 % interval over the patients. The language model is "
        "the tiny T5 of the quickstart, built from scratch: nothing here says what a pretrained model gains.",
    ]
    answers = [answer for question in QUESTIONS for answer in _answer(*question, tables)]
    answers += _cost(tables)
    if answers:
        parts += ["## In short", "\n".join(answers)]
    for name, table in tables.items():
        parts += _section(name, table)
    return "\n\n".join(parts) + "\n"


def _answer(question: str, names: tuple[str, ...], remark: str, tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for table in tables.values():
        lines = {line["name"]: line for line in table["lines"]}
        for name in names:
            difference = lines.get(name, {}).get("differences", {}).get("full")
            if difference is None or difference["micro_f1"]["value"] is None:
                continue
            one = difference["micro_f1"]
            sure = "worse" if one["high"] < 0 else "better" if one["low"] > 0 else "not told apart"
            found.append(f"{lines[name]['title']} ({table['recipe']}): {sure}, {format_difference(one)} micro F1.")
    return [f"- **{question}** {' '.join([*found, remark]).strip()}"] if found else []


def _cost(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for table in tables.values():
        lines = {line["name"]: line for line in table["lines"] if "processor_seconds" in line}
        own = lines[REFERENCE]["processor_seconds"]["train"]["mean"]
        times = {name: lines[name]["processor_seconds"]["train"]["mean"] / own for name in COSTED if name in lines}
        parts = [f"{lines[name]['title'].lower()} {ratio:.2f}" for name, ratio in times.items() if ratio > INTERRUPTED]
        if not parts:
            continue
        hours = sum(
            sum(line["processor_seconds"][kind]["by_seed"].values()) for line in lines.values() for kind in KINDS
        )
        found.append(
            f"Training, against the {own:.0f} s of the recipe ({table['recipe']}): {', '.join(parts)} times. Its "
            f"{len(lines)} lines took {hours / 3600:.1f} hours of one core, evaluation included and phases that lines "
            "share counted in each."
        )
    note = "The processor was shared with other programs: a tenth more or less says nothing."
    return [f"- **What does each cost?** {' '.join([*found, note])}"] if found else []


def _section(name: str, table: Mapping[str, Any]) -> list[str]:
    heading, _, words = PARTS[name]
    commits = sorted({commit for made in table["made_with"] for commit in made["commits"]})
    processors = sorted({made["processor"] for made in table["made_with"]})
    seeds = ", ".join(map(str, table["seeds"]))
    systems = [system for system in table["systems"] if any(line["scores"].get(system) for line in table["lines"])]
    parts = [
        f"## {heading}",
        f"{words} Seeds {seeds}; commit {', '.join(commits)}, {', '.join(processors)}.",
        markdown_table(*overview(table, tuple(systems))),
        f"![Differences to the recipe, with intervals](../benchmarks/results/ablations/{name}.png)",
        "Rationales of the full model, and seconds of processor time (of a training that was interrupted, since its "
        "last start). A dash: what the model writes freely claims nothing of the data.",
        _texts_and_cost(table),
    ]
    if missing := unfinished(name, table):
        parts.append(f"Not finished: {', '.join(missing)}.")
    return parts


def unfinished(name: str, table: Mapping[str, Any]) -> list[str]:
    """Titles of the lines of a recipe's files that its table lacks, or has with fewer seeds."""
    done = {line["name"]: line["seeds"] for line in table["lines"]}
    _, *files = read_ablations(sorted((ROOT / PARTS[name][1]).glob("*.yaml")))
    return [
        one.title if one.name not in done else f"{one.title} (seeds {', '.join(map(str, lacking))})"
        for one in files
        if (lacking := sorted(set(table["seeds"]) - set(done.get(one.name, []))))
    ]


def _texts_and_cost(table: Mapping[str, Any]) -> str:
    rows = []
    for line in table["lines"]:
        if "processor_seconds" not in line:
            continue
        row = [line["title"]]
        for name, (_, show) in RATIONALE_COLUMNS.items():
            mean = line["rationale"].get("full", {}).get(name, {}).get("mean")
            row.append(NOTHING if mean is None else show(mean))
        row += [f"{line['processor_seconds'][kind]['mean']:.0f}" for kind in KINDS]
        rows.append(row)
    header = ["", *(title for title, _ in RATIONALE_COLUMNS.values()), "training, s", "evaluation, s"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
