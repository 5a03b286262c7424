"""Writes docs/open-questions.md, the paper's three open questions, from the result files.

    python benchmarks/open_questions_page.py

Its tables come from benchmarks/results/trust.json (trust.py), planted_bias.json (planted_bias.py), clinosim.json
(clinosim_world.py) and the ablations (results_page.py). A question whose file is not there, or which the synthetic
world cannot answer, is a row that says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.formatting import format_difference, format_percent, format_score, markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "open-questions.md"
NOT_HERE = "not answerable here, because"
LEVEL = 0.05
STUDENT = {"student_written": "written", "student_shown": "shown"}
KNOWLEDGE_LINES = ("no-knowledge", "half-knowledge", "without-mesh", "only-mesh", "random-terms", "swapped-terms")


def read(name: str) -> dict[str, Any] | None:
    """A result file; None where it has not been made."""
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def page() -> str:
    """The page in Markdown."""
    trust, bias = read("trust.json"), read("planted_bias.json")
    parts = [
        "# Three open questions",
        "The paper leaves three questions open. What this project can say about them is below, made from the result "
        "files by `python benchmarks/open_questions_page.py`; do not edit. All of it is about synthetic patients.",
        *_biases(trust, bias),
        *_knowledge(read("ablations/quickstart.json"), trust),
        *_transfer(trust, read("clinosim.json")),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[list[str]]) -> str:
    return markdown_table(["Question", "Answer"], rows)


def _not_run(script: str) -> str:
    return f"{NOT_HERE} `benchmarks/{script}` has not been run"


def _biases(trust: Mapping[str, Any] | None, bias: Mapping[str, Any] | None) -> list[str]:
    rows = []
    if bias is None or "clean" not in bias["lines"]:
        rows.append(["How much of a planted bias is learned?", _not_run("planted_bias.py")])
    else:
        clean = bias["lines"]["clean"]
        rows += [[line, _survival(found, clean)] for line, found in bias["lines"].items() if found is not clean]
    question = "Are scores worse for some group of patients?"
    if trust is None:
        rows.append([question, _not_run("trust.py")])
    else:
        tested = [entry for entry in trust["groups"]["entries"] if entry["p_holm"] is not None]
        apart = [entry for entry in tested if entry["p_holm"] < LEVEL]
        named = (
            f"{one['kind']} {one['group']}, {one['score']} {format_difference(one['difference'])}" for one in apart
        )
        found = f"{len(tested)} comparisons, {len(apart)} below {LEVEL} after correction"
        rows.append([question, found + (f": {'; '.join(named)}" if apart else "")])
    persons = None if trust is None else trust["interventions"].get("persons")
    for one in (persons or {}).values():
        effect = one["effect"]
        changed = f"{format_percent(effect['changed'])} of the decisions change, of {effect['cases']} patients"
        rows.append([f"{one['title']}: does the model list other diseases?", changed])
    rows.append(["Do a real teacher's biases survive?", f"{NOT_HERE} no large language model has taught here"])
    return [
        "## Do the teacher's biases survive?",
        "A bias is planted in the teacher: of women, R_t says that the heart rate is high. `untrue` says it whatever "
        "was measured, `one-sided` only where it holds; `filtered` is without the rationales that the claim checker "
        "contradicts, `preferred` the unfiltered student after [preference training](preference.md). Given is whose "
        "rationales say so, and how much of the difference between women and men, beyond that of the unbiased teacher "
        "and its student, the student has too. A student that says it of everybody has lost the bias and kept the "
        "falsehood.",
        _table(rows),
    ]


def _survival(found: Mapping[str, Any], clean: Mapping[str, Any]) -> str:
    said = []
    for name, text in (("teacher", "the teacher"), *((name, f"as {text}") for name, text in STUDENT.items())):
        women, men = (format_percent(found[name][sex]) for sex in ("women", "men"))
        said.append(f"{text} {women} of women and {men} of men")
    if found["teacher"]["difference"]["low"] <= 0:
        return "; ".join([*said, "the teacher's difference is not told apart from none"])
    added, *own = (
        found[name]["difference"]["value"] - clean[name]["difference"]["value"] for name in ("teacher", *STUDENT)
    )
    left = (f"{100 * one / added:.0f} % as {text}" for one, text in zip(own, STUDENT.values(), strict=True))
    return "; ".join([*said, f"of the difference survives {', '.join(left)}"])


def _knowledge(ablations: Mapping[str, Any] | None, trust: Mapping[str, Any] | None) -> list[str]:
    rows = []
    if ablations is None:
        rows.append(["Does knowledge help the diagnosis?", _not_run("results_page.py")])
    else:
        lines = {line["name"]: line for line in ablations["lines"]}
        for name in KNOWLEDGE_LINES:
            if name in lines:
                found = lines[name]["differences"]["full"]["micro_f1"]
                rows.append([f"{lines[name]['title']}: difference in micro F1", format_difference(found)])
    question = "Do lab vectors attend more to the terms of the diseases that are there than to others'?"
    alignment = None if trust is None else trust["interventions"].get("alignment")
    if alignment:
        own = alignment["above_own_mean"]
        rows.append(
            [question, f"{format_difference(own['difference'])}, p = {own['p']:.3f} (mass above each term's mean)"]
        )
    else:
        rows.append([question, _not_run("trust.py")])
    rows.append(["Do other sources help more?", f"{NOT_HERE} PubMed and Wikipedia could not be reached"])
    return [
        "## Does the quality of the knowledge matter?",
        "Differences are those of the full model to the recommended recipe ([results](results.md)). Teacher and "
        "checker use the whole knowledge base in every line: what is asked is whether the model needs it.",
        _table(rows),
    ]


def _transfer(trust: Mapping[str, Any] | None, clinosim: Mapping[str, Any] | None) -> list[str]:
    rows = []
    if trust is None:
        rows.append(["Is the model as good in another hospital?", _not_run("trust.py")])
    else:
        places = (trust["here"], trust["other_hospital"])
        here, there = (format_score(place["full"]["micro_f1"]) for place in places)
        rows.append(["Micro F1 of the full model", f"{here} where it was trained, {there} in the other hospital"])
        for name, question in (
            ("false_sentences", "Does the bound on false sentences (10 %) hold there?"),
            ("missing_diseases", "Does the bound on missing diseases (10 %) hold there?"),
        ):
            entry = next(one for one in trust["guarantee"][name] if one["alpha"] == 0.1)
            risk, other = entry["risk"]["value"], entry["other"]["risk"]["value"]
            rows.append([question, f"risk {100 * risk:.1f} % here, {100 * other:.1f} % there"])
    if clinosim is None:
        rows.append(["Is it as good among patients that others simulated?", _not_run("clinosim_world.py")])
    else:
        home, there = (format_score(place["scores"]["micro_f1"]) for place in clinosim["ours_there"]["places"])
        rows.append(
            ["Micro F1 among the patients of clinosim, a world that we did not write", f"{there}; at home {home}"]
        )
    rows.append(["Does it carry over to real hospitals?", f"{NOT_HERE} there are no credentialed notes"])
    return [
        "## Does it carry over?",
        "The other hospital is that of `benchmarks/shifted_world.py`: other prevalences, half the measurements, more "
        "that misleads, temperatures in degrees Celsius; the same diseases and words. What bounds are is told in [a "
        "guarantee](guarantee.md); what each shift costs, and why so much is lost in clinosim, in [another "
        "hospital](transfer.md).",
        _table(rows),
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
