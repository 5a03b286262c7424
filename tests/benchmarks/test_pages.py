"""Pages that scripts make of result files: they are up to date, and say where something could not be answered."""

from __future__ import annotations

import copy
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT

SCRIPTS = ROOT / "benchmarks"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_results_is_that_of_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("results_page", monkeypatch)
    tables = {
        name: json.loads(path.read_text()) for name in module.PARTS if (path := module.KEPT / f"{name}.json").is_file()
    }
    assert tables
    assert module.page(tables) == module.PAGE.read_text(encoding="utf-8")


def test_every_shipped_line_is_in_the_results_or_named_as_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("results_page", monkeypatch)
    for name, (_, folder, _) in module.PARTS.items():
        table = json.loads((module.KEPT / f"{name}.json").read_text())
        files = sorted((ROOT / folder).glob("*.yaml"))
        assert files
        titles = module.unfinished(name, {**table, "lines": table["lines"][:1]})
        assert len(titles) == len(files)
        page = module.page({name: table})
        assert all(title in page for title in titles)
        lines = [{"name": path.stem, "seeds": table["seeds"]} for path in files]
        assert module.unfinished(name, {**table, "lines": lines}) == []
        lines[0]["seeds"] = []
        assert module.unfinished(name, {**table, "lines": lines}) == [f"{titles[0]} (seeds 0)"]


def test_a_table_made_in_several_sittings_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("results_page", monkeypatch)
    whole = json.loads((module.KEPT / "quickstart.json").read_text())
    reference, *others, boosting = whole["lines"]
    assert (reference["name"], boosting["name"]) == ("reference", "gradient_boosting")
    halves = others[:3], others[3:]
    sittings: list[dict[str, Any]] = [
        {
            **whole,
            "seeds": [0, 1],
            "lines": [reference, *half, boosting],
            "unfinished": [
                {"name": one["name"], "seed": seed, "title": one["title"], "reason": "not run yet"}
                for seed in (0, 1)
                for one in others
                if seed == 1 or one not in half
            ],
            "made_with": [{"commits": [commit], "processor": commit, "lines": [], "versions": {}}],
        }
        for half, commit in zip(halves, "ab", strict=True)
    ]
    both = module.joined(*sittings)
    assert both["lines"] == whole["lines"]
    assert {(one["name"], one["seed"]) for one in both["unfinished"]} == {(one["name"], 1) for one in others}
    assert [made["commits"] for made in both["made_with"]] == [["a"], ["b"]]
    # A line with more seeds is not given up for one with fewer.
    more = copy.deepcopy(sittings[0])
    more["lines"][1]["seeds"] = [0, 1]
    for pair in ((more, sittings[0]), (sittings[0], more)):
        assert module.joined(*pair)["lines"] == more["lines"]

    changed = [copy.deepcopy(sittings[1]) for _ in range(3)]
    changed[0]["lines"][0]["scores"]["full"]["micro_f1"]["mean"] += 0.001
    changed[1]["lines"][0]["rationale"]["full"]["supported_claims"]["mean"] += 1
    changed[2]["seeds"] = [0]
    for other in changed:
        with pytest.raises(SystemExit, match="other scores or seeds"):
            module.joined(sittings[0], other)


def test_the_page_of_open_questions_is_that_of_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("open_questions_page", monkeypatch)
    assert module.page() == module.PAGE.read_text(encoding="utf-8")


def test_tables_within_the_pages_are_those_of_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("docs_tables", monkeypatch)
    pages = {path.name: path.read_text(encoding="utf-8") for path in module.DOCS.glob("*.md")}
    assert {found["name"] for page in pages.values() for found in module.MARKED.finditer(page)} == module.TABLES.keys()
    assert {name: module.filled(page) for name, page in pages.items()} == pages


def test_a_table_with_another_figure_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("docs_tables", monkeypatch)
    page = (module.DOCS / "transfer.md").read_text(encoding="utf-8")
    stale = page.replace("| home | 0.9", "| home | 0.1")
    assert stale != page
    assert module.filled(stale) == page
    unknown = page.replace("transfer: begin", "transport: begin").replace("transfer: end", "transport: end")
    with pytest.raises(KeyError, match="transport"):
        module.filled(unknown)


def test_without_results_every_question_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script("open_questions_page", monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    text = module.page()
    answers = [
        line for line in text.splitlines() if line.startswith("| ") and "Question" not in line and "---" not in line
    ]
    assert len(answers) >= 8
    assert all(module.NOT_HERE in answer for answer in answers)


def test_the_shifted_world_is_another_one_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataset_builder.storage.files import read_yaml

    module = script("shifted_world", monkeypatch)
    world = read_yaml(ROOT / "dataset_builder" / "synthetic" / "world.yaml")
    changed = module.shifted(copy.deepcopy(world))
    assert changed.keys() == world.keys()
    factors = [changed["diseases"][key]["prevalence"] / one["prevalence"] for key, one in world["diseases"].items()]
    assert min(factors) < 0.75
    assert max(factors) > 1.4
    assert all(0.4 < factor < 2.1 for factor in factors)
    # What a disease does, and how it is written, is the same.
    for key, one in world["diseases"].items():
        assert {**changed["diseases"][key], "prevalence": 0} == {**one, "prevalence": 0}
    assert module.shifted(copy.deepcopy(world)) == changed
