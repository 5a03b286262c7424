"""A vocabulary with lactate from the tables to the page, and what of another vocabulary is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from command_line import fails_with_one_line, in_process
from hospital_tables import add_lactate
from yaml_files import change, remove

from clinragen.claims.check import CONTRADICTED, SUPPORTED, check_rationale
from clinragen.demo.page import open_page
from clinragen.demo.tabs.explain import OWN
from dataset_builder.contract.definitions import RESOURCES, read_definitions, write_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

LACTATE = """
name: lactate
short: lactate
aliases: [lactic acid]
unit: mmol/L
decimals: 1
plausible: [0, 40]
fill: 1
units:
  - {spellings: [mmol/L]}
  - {spellings: [mg/dL], scale: 0.111}
ranges: {clinical: [0.5, 2.0]}
scale: {step: 0.5, change: 1.0, swing: 0.8}
words:
  names: [serum lactate]
  conditions: [{words: [hyperlactatemia], says: high}]
terms:
  - {term: hyperlactatemia, kind: high, source: "MeSH: Hyperlactatemia"}
items:
  mimic-iv: [{table: lab, item: 50813, label: Lactate, unit: mmol/L}]
"""
SIGN = {"variable": "lactate", "direction": "high", "meaning": "poor tissue perfusion"}


@pytest.fixture(scope="module")
def run(tiny_run: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command line on tables in which lactate was measured."""
    folder = tmp_path_factory.mktemp("lactate")
    tables = shutil.copytree(tiny_run / "hospital" / "tables", folder / "tables")
    add_lactate(tables)
    recipe = shutil.copytree(tiny_recipe.parent, folder / "recipe") / "recipe.yaml"
    own = recipe.parent / "my-vocabulary"
    for name in ("variables", "diseases"):
        (own / name).mkdir(parents=True)
    (own / "vocabulary.yaml").write_text("{format: 1, variables: [shipped, lactate]}\n")
    (own / "variables" / "lactate.yaml").write_text(LACTATE)
    shock = yaml.safe_load((RESOURCES / "diseases" / "shock.yaml").read_text(encoding="utf-8"))
    (own / "diseases" / "shock.yaml").write_text(yaml.safe_dump({**shock, "signs": [SIGN, *shock["signs"]]}))
    remove(recipe, "synthesize")
    change(recipe, "build", "vocabulary", value="my-vocabulary")
    change(recipe, "train", value=dict.fromkeys(("note", "lab", "multimodal"), "phase.yaml"))
    done = in_process("run", recipe, "--root", tables, "--output", folder / "run")
    assert done.returncode == 0, done.stderr[-1500:]
    return folder / "run"


def test_the_series_and_summaries_have_it(run: Path) -> None:
    cohort = load_examples(run / "rationales")
    assert cohort.vocabulary.variable_keys[-1] == "lactate"
    rows = [row for split in cohort.values() for row in split]
    measured = [row for row in rows if any(step[-1] is not None for step in row["lab_values"])]
    # Where the hospital has at least the first of its measurements within the stay.
    assert len(measured) > 40
    for row in measured:
        high = any(step[-1] is not None and step[-1] > 2 for step in row["lab_values"])
        assert ("lactate is higher than normal" in row["lab_summary"]) == high
    terms = read_json(run / "knowledge" / "knowledge.json")["variables"]["lactate"]["terms"]
    assert [term["term"] for term in terms] == ["hyperlactatemia"]


def test_the_teacher_writes_about_it_and_the_checker_supports_that(run: Path) -> None:
    cohort = load_examples(run / "rationales")
    rows = [row for split in cohort.values() for row in split]
    about = [row for row in rows if re.search(r"\b[Ll]actate is high", row["rationale_lab"])]
    assert about
    assert all("Shock" in row["diagnoses"] for row in about)
    for row in about:
        series = LabSeries.from_example(cohort.vocabulary, row)
        claims = [claim for claim in check_rationale(row["rationale_lab"], series) if claim.variable == "lactate"]
        assert claims
        assert {claim.verdict for claim in claims} == {SUPPORTED}
        wrong = row["rationale_lab"].replace("actate is high", "actate is low")
        assert CONTRADICTED in {one.verdict for one in check_rationale(wrong, series) if one.variable == "lactate"}


def test_a_csv_may_have_it_in_any_unit_of_its_file(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "labs.csv"
    table.write_text("hours,heart rate (bpm),lactate (mmol/L)\n0,118,1.2\n4,121,4.8\n")
    answers = [in_process("predict", run / "model", "--labs", table)]
    table.write_text("hours,heart rate (bpm),lactic acid (mg/dL)\n0,118,10.8\n4,121,43.2\n")
    answers.append(in_process("predict", run / "model", "--labs", table))
    for done in answers:
        assert done.returncode == 0, done.stderr[-1500:]
        assert "Diagnoses" in done.stdout


def test_a_model_without_it_refuses_the_csv_and_lists_what_it_knows(
    tiny_run: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    table = tmp_path / "labs.csv"
    table.write_text("hours,lactate (mmol/L)\n0,1.2\n")
    known = [f"{variable.name} ({variable.unit})" for variable in vocabulary.variables]
    done = in_process("predict", tiny_run / "model", "--labs", table)
    fails_with_one_line(done, "column 2 ('lactate (mmol/L)') is unknown", ", ".join(["hours", *known]))


def test_the_page_shows_it(run: Path, tmp_path: Path) -> None:
    page = open_page(run / "model", cohort=run / "rationales")
    explain, choose = (next(one.fn for one in page.fns.values() if one.name == name) for name in ("explain", "choose"))
    (tmp_path / "labs.csv").write_text("hours,lactate (mmol/L)\n0,3.5\n4,4.5\n")
    *_, in_words, _ = explain(OWN, "", str(tmp_path / "labs.csv"))
    assert in_words == "lactate is higher than normal two times."
    patients = next(one for one in page.config["components"] if one["props"].get("elem_id") == "patient")
    names = [value for _, value in patients["props"]["choices"] if value != OWN]
    # Name, the fields of one's own patient, and the patient's data.
    assert any("lactate is" in choose(name)[5].lower() for name in names)


def test_the_build_says_what_a_vocabulary_leaves_out(run: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "variables").mkdir(parents=True)
    (own / "vocabulary.yaml").write_text("{format: 1, variables: [shipped, lactate]}\n")
    bare = {name: entry for name, entry in yaml.safe_load(LACTATE).items() if name not in ("ranges", "scale", "terms")}
    (own / "variables" / "lactate.yaml").write_text(yaml.safe_dump(bare))
    words = ("--root", run.parent / "tables", "--note-policy", "admission", "--vocabulary", own)
    done = in_process("build", "mimic-iv", *words, "--output", tmp_path / "cohort")
    assert done.returncode == 0, done.stderr[-1500:]
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out: lactate: ")]
    assert any("no normal range" in line for line in left_out)
    assert any("no scale" in line for line in left_out)


# --- what does not fit


def with_variables(cohort: Path, folder: Path, order: Callable[[tuple], tuple]) -> Path:
    """A copy of a cohort whose variables stand in another order, or are not the same."""
    shutil.copytree(cohort, folder)
    definitions = read_definitions(folder)
    changed = replace(definitions.vocabulary, variables=order(definitions.vocabulary.variables))
    write_definitions(folder, replace(definitions, vocabulary=changed))
    return folder


@pytest.fixture(scope="module")
def swapped(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's cohort, with heart rate and systolic blood pressure in each other's place."""

    def order(variables: tuple) -> tuple:
        first, second = (
            next(number for number, one in enumerate(variables) if one.key == key)
            for key in ("heart_rate", "systolic_blood_pressure")
        )
        listed = list(variables)
        listed[first], listed[second] = listed[second], listed[first]
        return tuple(listed)

    return with_variables(tiny_run / "rationales", tmp_path_factory.mktemp("swapped") / "cohort", order)


@pytest.fixture(scope="module")
def in_kilopascal(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's cohort, with a variable of the same name in another unit."""

    def order(variables: tuple) -> tuple:
        return (replace(variables[0], unit="kPa"), *variables[1:])

    return with_variables(tiny_run / "rationales", tmp_path_factory.mktemp("unit") / "cohort", order)


def lists(vocabulary: Vocabulary) -> str:
    return ", ".join(f"{variable.key} ({variable.unit})" for variable in vocabulary.variables)


@pytest.mark.parametrize("other", ["run", "swapped", "in_kilopascal"])
def test_a_cohort_of_another_vocabulary_is_refused_with_both_lists(
    tiny_run: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    vocabulary: Vocabulary,
    other: str,
    request: pytest.FixtureRequest,
) -> None:
    cohort: Path = request.getfixturevalue(other)
    cohort = cohort / "rationales" if other == "run" else cohort
    both = (lists(vocabulary), lists(load_examples(cohort).vocabulary), "have different variables")
    output, config = tmp_path / "out", tiny_recipe.parent / "phase.yaml"
    words = ("--cohort", cohort, "--output", output)
    train = ("train", "lab", "--config", config, "--parent", tiny_run / "train" / "note")
    for command in (train, ("evaluate", "--full", tiny_run / "train" / "multimodal")):
        fails_with_one_line(in_process(*command, *words), *both)
        assert not output.exists()
    fails_with_one_line(in_process("demo", tiny_run / "model", "--cohort", cohort), *both)
    with pytest.raises(SettingsError, match="different variables"):
        open_page(tiny_run / "model", cohort=cohort)


def test_a_cohort_with_other_diseases_is_refused_with_both_lists(
    tiny_run: Path, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    cohort = shutil.copytree(tiny_run / "rationales", tmp_path / "cohort")
    definitions = read_definitions(cohort)
    changed = replace(definitions.vocabulary, diseases=definitions.vocabulary.diseases[::-1])
    write_definitions(cohort, replace(definitions, vocabulary=changed))
    names = [f"{disease.name} ({disease.key})" for disease in vocabulary.diseases]
    done = in_process(
        "evaluate", "--full", tiny_run / "train" / "multimodal", "--cohort", cohort, "--output", tmp_path / "o"
    )
    fails_with_one_line(done, "have different diseases", ", ".join(names), ", ".join(names[::-1]))


def test_knowledge_of_another_vocabulary_is_refused(run: Path, tiny_run: Path, tmp_path: Path) -> None:
    words = ("--cohort", run / "build", "--knowledge", tiny_run / "knowledge", "--output", tmp_path / "out")
    fails_with_one_line(in_process("rationales", *words), "lactate")
    assert not (tmp_path / "out").exists()
