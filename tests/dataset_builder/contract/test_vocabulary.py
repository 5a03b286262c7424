"""A user's own variables and phenotypes instead of the shipped ones, from the tables to the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dataset_builder.contract.vocabulary import (
    Disease,
    load_diseases,
    load_variables,
    vocabulary_of,
    write_vocabulary,
)
from tiny_mimic import HR, VOCABULARY, TinyMimic, examples_of, make_cohort
from tiny_mimic_iii import TinyMimic3
from typer.testing import CliRunner

from clinragen.claims.check import check_rationale
from clinragen.claims.types import SUPPORTED, UNVERIFIABLE
from clinragen.cli.main import app
from dataset_builder.cohort.labels import extract_labels
from dataset_builder.cohort.session import connect
from dataset_builder.cohort.stays import select_stays
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.contract.series_signs import find_signs, load_sign_rules
from dataset_builder.sources.locate import locate
from dataset_builder.sources.spec import SOURCES, load_source
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

LACTATE = 50813
VARIABLES = [
    {
        "key": "heart_rate",
        "name": "heart rate",
        "short": "HR",
        "unit": "bpm",
        "plausible": [0, 300],
        "fill": 86,
        "decimals": 0,
    },
    {
        "key": "lactate",
        "name": "lactate",
        "short": "lactate",
        "unit": "mmol/L",
        "plausible": [0, 40],
        "fill": 1,
        "decimals": 1,
        "items": {"mimic-iv": [{"table": "lab", "item": LACTATE, "label": "Lactate", "unit": "mmol/L"}]},
    },
]
PHENOTYPES = [
    {"key": "gout", "name": "Gout", "ccs": 54, "kind": "chronic", "codes": {9: ["274.0"], 10: ["m10.9"]}},
    {"key": "asthma", "name": "Asthma", "ccs": 128, "kind": "chronic", "codes": {10: ["J45909"]}},
]


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    return path


def test_a_cohort_with_own_variables_and_phenotypes_carries_them(tmp_path: Path) -> None:
    hospital = TinyMimic()
    for number in range(1, 9):
        hospital.stay(number, codes=[("M10.9", 10)] if number % 2 else [("2740", 9), ("J45909", 10)])
        hospital.chart(number, 1, HR, 60 + number)
        hospital.lab(number, 2, LACTATE, 1.5 + number)
    root = hospital.write(tmp_path / "tables")
    variables = written(tmp_path, "mine.yaml", VARIABLES)
    phenotypes = written(tmp_path, "diseases.yaml", PHENOTYPES)
    words = ["build", "mimic-iv", "--root", root, "--output", tmp_path / "out", "--note-policy", "structured"]
    done = CliRunner().invoke(
        app, [*map(str, words), "--variables", str(variables), "--phenotypes", str(phenotypes)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    rows = [row for split in load_examples(tmp_path / "out").values() for row in split]
    assert len(rows) == 8
    for row in rows:
        number = int(row["stay_id"]) % 100
        assert row["labels"] == ([1, 0] if number % 2 else [1, 1])
        assert row["diagnoses"] == (["Gout"] if number % 2 else ["Gout", "Asthma"])
        assert row["lab_values"] == [[60 + number, None], [None, pytest.approx(1.5 + number)]]
    with vocabulary_of(tmp_path / "out"):
        assert [variable.key for variable in VOCABULARY.variables] == ["heart_rate", "lactate"]
        assert [disease.name for disease in VOCABULARY.diseases] == ["Gout", "Asthma"]
    assert len(VOCABULARY.variables) == 11
    assert len(VOCABULARY.diseases) == 25


def test_a_variable_without_thresholds_shows_no_sign_and_its_trends_are_not_judged(tmp_path: Path) -> None:
    assert set(load_sign_rules().scales) == {variable.key for variable in VOCABULARY.variables}
    write_vocabulary(tmp_path / "own", variables=written(tmp_path, "mine.yaml", VARIABLES))
    with vocabulary_of(tmp_path / "own"):
        hours = np.arange(9, dtype=np.float32)
        series = LabSeries.from_values(VOCABULARY, hours, np.stack([60 + 12 * hours, 1 + hours], axis=1))
        found = find_signs(series, VOCABULARY.range_set("clinical"), load_sign_rules())
        told = "Heart rate is rising. Lactate is rising. Lactate is stable."
        claims = check_rationale(told, series.hours, series.values, series.observed)
    assert {variable for variable, _ in found} == {"heart_rate"}
    assert [claim.verdict for claim in claims] == [SUPPORTED, UNVERIFIABLE, UNVERIFIABLE]


def test_a_variable_that_nothing_measures_is_refused(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    bare = [{name: value for name, value in entry.items() if name != "items"} for entry in VARIABLES]
    root, variables = hospital.write(tmp_path / "tables"), written(tmp_path, "mine.yaml", bare)
    with pytest.raises(InputDataError, match=r"'lactate'.*items"):
        make_cohort("mimic-iv", root, tmp_path / "out", note_policy="structured", variables=variables)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("variables", {"plausible": [1]}, "mine.yaml: entry 1 is incomplete"),
        ("variables", {"items": [1]}, "mine.yaml: entry 1 is incomplete"),
        ("phenotypes", {"codes": {}}, "lists no code for phenotype 'gout'"),
        ("phenotypes", {"name": "Gout, acute"}, "has a comma"),
        ("phenotypes", {"key": "asthma"}, "'asthma' is listed twice"),
        ("phenotypes", {"codes": {"nine": ["1"]}}, "mine.yaml: entry 1 is incomplete"),
        ("phenotypes", {"codes": {9: None}}, "mine.yaml: entry 1: codes must be a list of texts in quotes"),
        (
            "phenotypes",
            {"codes": {9: ["274.0", 274.9]}},
            "mine.yaml: entry 1: codes must be a list of texts in quotes",
        ),
        ("phenotypes", {"codes": {9: "274.0"}}, "mine.yaml: entry 1: codes must be a list of texts in quotes"),
        ("phenotypes", {"codes": {9: ["274.0", ""]}}, "entry 1: codes: a code has no letter or digit"),
        ("phenotypes", {"codes": {9: [" .-"]}}, "entry 1: codes: a code has no letter or digit"),
        ("phenotypes", {"name": 12}, "entry 1: name must be a text"),
        ("phenotypes", {"name": None}, "entry 1: name must be a text"),
        ("phenotypes", {"name": "asthma"}, "'asthma' is listed twice"),
        ("phenotypes", {"name": "Gout\nof the foot"}, "has a comma or line break"),
        ("phenotypes", {"key": [1]}, "entry 1: key must be a text"),
        ("variables", {"key": 7}, "entry 1: key must be a text"),
        ("variables", {"short": None}, "entry 1: short must be a text"),
        ("variables", {"name": "Lactate"}, "'lactate' is listed twice"),
        ("variables", {"aliases": "hr"}, "entry 1: aliases must be a list of texts"),
        ("variables", {"plausible": [350, 0]}, "entry 1: plausible must be two numbers, the lower one first"),
        ("variables", {"plausible": [float("nan")] * 2}, "entry 1: plausible must be two numbers"),
        ("variables", {"fill": float("nan")}, "entry 1: fill must be a number"),
        ("variables", {"decimals": -1}, "entry 1: fill must be a number, and decimals"),
        ("variables", {"items": {"mimic-iv": None}}, "mine.yaml: entry 1 is incomplete"),
        ("variables", {"items": {"mimic-iv": [5]}}, "mine.yaml: entry 1 is incomplete"),
        ("variables", {"items": {"mimic-iv": [{"table": "chart", "item": 1}]}}, "entry 1: an item has no 'label'"),
        (
            "variables",
            {"items": {"mimic-iv": [{"table": "chart", "item": 220045.0, "label": "HR", "unit": "bpm"}]}},
            "entry 1: item 220045.0 is no id",
        ),
    ],
)
def test_faulty_files_name_the_entry(kind: str, change: dict[str, object], message: str, tmp_path: Path) -> None:
    entries = [dict(entry) for entry in (VARIABLES if kind == "variables" else PHENOTYPES)]
    entries[0].update(change)
    with pytest.raises(ClinRaGenError, match=re.escape(message)):
        write_vocabulary(tmp_path / "folder", **{kind: written(tmp_path, "mine.yaml", entries)})


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="is no list of entries"):
        load_variables(written(tmp_path, "mine.yaml", {"a": 1}))


def test_quoted_codes_match_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('- {key: a, name: A, ccs: 2, kind: acute, codes: {9: ["038.9", "250.00", "0031", v45.1]}}\n')
    assert load_diseases(path)[0].codes == {9: frozenset({"0389", "25000", "0031", "V451"})}
    path.write_text("- {key: a, name: A, ccs: 2, kind: acute, codes: {9: [0031]}}\n")  # 25, to YAML
    with pytest.raises(InputDataError, match="texts in quotes"):
        load_diseases(path)


def test_a_file_that_changes_is_read_again_within_one_process(tmp_path: Path) -> None:
    one, other = ([{**PHENOTYPES[0], "name": name, "codes": {9: [code]}}] for name, code in (("Aa", "1"), ("Bb", "2")))
    folder = tmp_path / "cohort"
    for content, name, code in ((one, "Aa", "1"), (other, "Bb", "2"), (one, "Aa", "1")):
        own = written(tmp_path, "mine.yaml", content)  # of the same length, and maybe of the same time
        assert [(disease.name, disease.codes) for disease in load_diseases(own)] == [(name, {9: frozenset(code)})]
        write_vocabulary(folder, phenotypes=own)
        with vocabulary_of(folder):
            assert [disease.name for disease in VOCABULARY.diseases] == [name]
    for unit in ("bpm", "Hz "):
        own = written(tmp_path, "variables.yaml", [{**VARIABLES[0], "unit": unit}])
        assert load_variables(own)[0].unit == unit


def test_a_code_of_no_letter_or_digit_never_gives_a_label(tmp_path: Path) -> None:
    """`load_diseases` refuses empty codes; a caller from Python can still hand them over."""
    hospital = TinyMimic()
    hospital.stay(1, codes=[("...", 9)])
    hospital.stay(2, codes=[("274.0", 9)])
    located = locate(load_source("mimic-iv", VOCABULARY.variables), hospital.write(tmp_path / "tables"))
    disease = Disease("gout", "Gout", 54, "chronic", {9: frozenset({"", "2740"})})
    (tmp_path / "scratch").mkdir()
    with connect("duckdb", located, tmp_path / "scratch") as con:
        stays, _ = select_stays(con, located, ())
        labels, counts = extract_labels(con, located, (disease,), stays)
    assert list(labels) == [1002]
    assert counts["rows_without_code_or_known_version"] == 1


def test_variables_of_one_table_alone_leave_the_other_tables_unread(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    hospital.lab(1, 2, LACTATE, 2.5)
    root, variables = hospital.write(tmp_path / "tables"), written(tmp_path, "mine.yaml", VARIABLES[1:])
    settings = {"note_policy": "structured", "variables": variables}
    make_cohort("mimic-iv", root, tmp_path / "out", **settings)
    assert examples_of(tmp_path / "out")[1]["lab_values"] == [[2.5]]
    (root / "icu" / "chartevents.csv.gz").write_bytes(b"never looked at")
    make_cohort("mimic-iv", root, tmp_path / "again", **settings)
    assert examples_of(tmp_path / "again")[1]["lab_values"] == [[2.5]]


@pytest.mark.parametrize("kept", [(), ("heart_rate",)])
def test_mimic_iii_takes_variables_without_the_three_that_it_settles_as_text(
    kept: tuple[str, ...], tmp_path: Path
) -> None:
    items = {"mimic-iii": [{"table": "lab", "item": LACTATE, "label": "Lactate", "unit": "mmol/L"}]}
    own = [{**entry, "items": items} if entry["key"] == "lactate" else entry for entry in VARIABLES]
    own = [entry for entry in own if entry["key"] in (*kept, "lactate")]
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, 211, 13)
    hospital.chart(1, 1, 211, 8)
    hospital.lab(1, 2, LACTATE, 2.5)
    root, variables = hospital.write(tmp_path / "tables"), written(tmp_path, "mine.yaml", own)
    make_cohort("mimic-iii", root, tmp_path / "out", note_policy="structured", variables=variables)
    expected = [[8.0, None], [None, 2.5]] if kept else [[2.5]]
    assert examples_of(tmp_path / "out")[1]["lab_values"] == expected


def own_source(folder: Path, **changes: Any) -> str:
    content = yaml.safe_load((SOURCES / "mimic-iv.yaml").read_text(encoding="utf-8"))
    return str(written(folder, "source.yaml", {**content, **changes}))


OPEN = {"name": "a", "title": "A", "licence": "other", "licence_name": "A", "credentialed": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"releases": []}, "exactly the last release must be without 'contains'"),
        ({"releases": [{**OPEN, "contains": "x"}]}, "exactly the last release must be without 'contains'"),
        ({"releases": [OPEN, OPEN]}, "exactly the last release must be without 'contains'"),
        ({"version_pattern": "("}, "version_pattern is no regular expression"),
        ({"version_pattern": "mimic"}, "version_pattern needs exactly one group"),
        ({"last_as_text": ["heart_rat"]}, "last_as_text names the unknown variable 'heart_rat'"),
        ({"last_as_text": [["heart_rate"]]}, "is incomplete or malformed"),
        (
            {"items": {"heart_rate": [{"table": "chart", "item": 220045.0, "label": "HR", "unit": "bpm"}]}},
            "heart_rate: item 220045.0 is no id",
        ),
    ],
)
def test_faulty_source_files_name_what_is_wrong(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    variables = load_variables(written(tmp_path, "mine.yaml", VARIABLES[:1]))
    load_source(own_source(tmp_path), variables)
    with pytest.raises(InputDataError, match=re.escape(message)):
        load_source(own_source(tmp_path, **changes), variables)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", "abc"),
        ("max_steps", 1.5),
        ("max_steps", True),
        ("split_fractions", 0.7),
        ("split_fractions", ("a", "b", "c")),
        ("filters", None),
        ("filters", "adults"),
        ("filters", [5]),
        ("window", ["stay"]),
        ("grid", {}),
        ("range_set", ["clinical"]),
        ("engine", None),
        ("note_policy", None),
        ("seed", None),
        ("only_known_codes", "false"),
        ("variables", 5),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is .*; give "):
        CohortSettings.of({"note_policy": "full", name: value})


def test_settings_take_lists_as_recipes_give_them(tmp_path: Path) -> None:
    given = {"filters": ["coded", "adults"], "split_fractions": [0.5, 0.2, 0.3], "max_steps": None}
    path = str(written(tmp_path, "mine.yaml", VARIABLES))
    settings = CohortSettings.of({"note_policy": "full", "variables": path, **given})
    assert settings.filters == ("adults", "coded")
    assert settings.split_fractions == (0.5, 0.2, 0.3)
    assert settings.variables == Path(path)
