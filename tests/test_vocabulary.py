"""A user's own variables and phenotypes instead of the shipped ones, from the tables to the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tiny_mimic import HR, TinyMimic
from typer.testing import CliRunner

from clinragen.cli import app
from dataset_builder.build import build_cohort
from dataset_builder.schema import load_examples
from dataset_builder.vocabulary import load_diseases, load_variables, vocabulary_of, write_vocabulary
from modeling_clinragen.errors import ClinRaGenError, InputDataError

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
        assert [variable.key for variable in load_variables()] == ["heart_rate", "lactate"]
        assert [disease.name for disease in load_diseases()] == ["Gout", "Asthma"]
    assert len(load_variables()) == 11
    assert len(load_diseases()) == 25


def test_a_variable_that_nothing_measures_is_refused(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    bare = [{name: value for name, value in entry.items() if name != "items"} for entry in VARIABLES]
    root, variables = hospital.write(tmp_path / "tables"), written(tmp_path, "mine.yaml", bare)
    with pytest.raises(InputDataError, match=r"'lactate'.*items"):
        build_cohort("mimic-iv", root, tmp_path / "out", note_policy="structured", variables=variables)
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
