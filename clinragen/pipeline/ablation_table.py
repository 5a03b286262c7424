"""An ablation table for readers: ablations.md, and the figure of the differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.evaluation.figures import BLUE, GREY, ORANGE, STYLE
from clinragen.pipeline.ablation_scores import COMPARED, SCORES
from dataset_builder.storage.files import PRIVATE_FILE, atomic_file
from trainers.formatting import NOTHING, format_difference, markdown_table

NAME = "ablations"
RATIONALE_COLUMNS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "contradicted_as_written": ("Contradicted, as written", lambda value: f"{100 * value:.1f} %"),
    "supported_claims": ("Supported claims a rationale", lambda value: f"{value:.2f}"),
    "evidence_note": ("Evidence in the note cited", lambda value: f"{100 * value:.1f} %"),
    "evidence_series": ("Evidence in the series cited", lambda value: f"{100 * value:.1f} %"),
}


def write_table(folder: Path, table: Mapping[str, Any]) -> None:
    """Write ablations.json, ablations.md and ablations.png; of credentialed data they are their owner's alone.

    Args:
        folder: The folder of the runs.
        table: What `score_runs` returned.
    """
    import json

    def put(suffix: str, write: Callable[[Path], object]) -> None:
        with atomic_file(folder / f"{NAME}.{suffix}") as beside:
            beside.touch(PRIVATE_FILE if table["credentialed"] else 0o666)
            write(beside)

    content = json.dumps(table, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if compared := compared_lines(table):
        put("png", lambda path: plot_differences(path, compared))
    else:
        (folder / f"{NAME}.png").unlink(missing_ok=True)
    put("json", lambda path: path.write_text(content, encoding="utf-8"))
    put("md", lambda path: path.write_text(as_markdown(table), encoding="utf-8"))


def compared_lines(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The lines that have a difference to the recipe."""
    return [line for line in table["lines"] if "full" in line["differences"]]


def as_markdown(table: Mapping[str, Any]) -> str:
    """The page: an overview, all scores of each model, the rationales, and what is not finished."""
    lines, systems = table["lines"], table["systems"]
    parts = [f"# What each part of {table['recipe']} is worth", *(f"*{notice}*" for notice in table["notices"])]
    seeds = ", ".join(map(str, table["seeds"]))
    parts.append(
        f"Scores are means over the seeds {seeds}, as far as a line has finished them: each seed has a split and an "
        "initialisation of its own, and a synthetic hospital's patients. Differences are a line minus the recipe as "
        f"it is, with the 95 % interval of {table['bootstrap']['resamples']} resamples of the patients, drawn within "
        "each seed, paired, and averaged over the seeds. They do not hold the variation between seeds."
    )
    if not lines:
        parts.append("No run is finished.")
    else:
        parts += ["## Diagnosis", markdown_table(*overview(table, tuple(systems)))]
        if compared_lines(table):
            parts.append(f"![Difference of every line to the recipe]({NAME}.png)")
    for system, title in systems.items():
        if shown := [line for line in lines if line["scores"].get(system)]:
            parts += [f"## {title}", _all_scores(shown, system)]
    for system, title in systems.items():
        if shown := [line for line in lines if line["rationale"].get(system)]:
            parts += [f"## Rationales: {title.lower()}", _rationales(shown, system)]
    if times := [line for line in lines if "processor_seconds" in line]:
        rows = [
            [line["title"], *(_whole(line["processor_seconds"][kind]) for kind in ("train", "evaluate"))]
            for line in times
        ]
        parts += ["## Processor time, in seconds", markdown_table(["", "training", "evaluation"], rows)]
    if table["unfinished"]:
        entries = [
            f"- {one['title']} (`{one['name']}`), seed {one['seed']}: {one['reason']}" for one in table["unfinished"]
        ]
        parts += ["## Not finished, and in no table", "\n".join(entries)]
    return "\n\n".join(parts) + "\n"


def overview(table: Mapping[str, Any], systems: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table with the micro F1 of every line: of the full model, or also of others."""
    header = ["", "seeds"]
    for system in systems:
        header += [f"{table['systems'][system]}: micro F1", "minus the recipe"]
    rows = []
    for line in table["lines"]:
        row = [line["title"], str(len(line["seeds"]))]
        for system in systems:
            row += [_score(line, system, "micro_f1"), _difference(line, system, "micro_f1")]
        rows.append(row)
    return header, rows


def _all_scores(lines: Sequence[Mapping[str, Any]], system: str) -> str:
    names = [name for name in SCORES if any(name in line["scores"][system] for line in lines)]
    header = [""]
    for name in names:
        header += [SCORES[name], *(["minus the recipe"] if name in COMPARED else [])]
    rows = []
    for line in lines:
        row = [line["title"]]
        for name in names:
            row += [_score(line, system, name), *([_difference(line, system, name)] if name in COMPARED else [])]
        rows.append(row)
    return markdown_table(header, rows)


def _rationales(lines: Sequence[Mapping[str, Any]], system: str) -> str:
    rows = []
    for line in lines:
        means = {name: line["rationale"][system][name]["mean"] for name in RATIONALE_COLUMNS}
        cells = [
            NOTHING if means[name] is None else show(means[name]) for name, (_, show) in RATIONALE_COLUMNS.items()
        ]
        rows.append([line["title"], *cells])
    return markdown_table(["", *(title for title, _ in RATIONALE_COLUMNS.values())], rows)


def _score(line: Mapping[str, Any], system: str, name: str) -> str:
    mean = line["scores"].get(system, {}).get(name, {}).get("mean")
    return NOTHING if mean is None else f"{mean:.3f}"


def _difference(line: Mapping[str, Any], system: str, name: str) -> str:
    found = line["differences"].get(system)
    return NOTHING if found is None or found[name]["value"] is None else format_difference(found[name])


def _whole(seconds: Mapping[str, Any]) -> str:
    return f"{seconds['mean']:.0f}"


def plot_differences(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Draw differences of the full model in micro and macro F1 with their intervals, one row a line, as PNG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.3 + 0.42 * len(lines)), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07))
        axes = figure.subplots()
        for (name, score), colour, marker, shift in zip(
            COMPARED.items(), (BLUE, ORANGE), ("o", "s"), (-0.13, 0.13), strict=True
        ):
            known = [
                (row, found) for row, line in enumerate(lines) if _known(found := line["differences"]["full"][name])
            ]
            height = [row + shift for row, _ in known]
            axes.hlines(height, *([found[side] for _, found in known] for side in ("low", "high")), color=colour)
            axes.plot([found["value"] for _, found in known], height, marker, color=colour, ms=5, label=score.title)
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.set_yticks(range(len(lines)), [line["title"] for line in lines])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlabel("full model: line minus the recipe (lines: 95 % interval over patients)")
        figure.legend(loc="outside upper center", ncols=len(COMPARED))
        # Without the software tag the same numbers give the same bytes.
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _known(found: Mapping[str, Any]) -> bool:
    return found["value"] is not None
