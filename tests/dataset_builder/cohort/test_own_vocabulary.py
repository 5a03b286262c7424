"""A cohort with a user's own variables and diseases, from the tables to the examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from own_vocabulary import DISEASES, LACTATE, VARIABLES, write_vocabulary
from tiny_mimic import HR, TinyMimic, examples_of, make_cohort
from tiny_mimic_iii import TinyMimic3

from dataset_builder.cohort.hf_builder import load_cohort
from dataset_builder.cohort.labels import extract_labels
from dataset_builder.cohort.rejects import Rejects
from dataset_builder.cohort.session import connect
from dataset_builder.cohort.stays import select_stays
from dataset_builder.contract.definitions import Definitions, load_definitions, read_definitions
from dataset_builder.contract.schema import load_examples
from dataset_builder.sources.locate import locate
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Disease, Vocabulary


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Stays 1 to 8 with a heart rate and a lactate; the odd ones have gout, the even ones gout and asthma."""
    hospital = TinyMimic()
    for number in range(1, 9):
        hospital.stay(number, codes=[("M10.9", 10)] if number % 2 else [("2740", 9), ("J45909", 10)])
        hospital.chart(number, 1, HR, 60 + number)
        hospital.lab(number, 2, LACTATE, 1.5 + number)
    return hospital.write(tmp_path / "tables")


def test_a_cohort_with_own_variables_and_diseases_carries_them(tables: Path, tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "own")
    provenance = make_cohort("mimic-iv", tables, tmp_path / "out", note_policy="structured", vocabulary=str(folder))
    cohort = load_examples(tmp_path / "out")
    rows = [row for split in cohort.values() for row in split]
    assert len(rows) == 8
    for row in rows:
        number = int(row["stay_id"]) % 100
        assert row["labels"] == ([1, 0] if number % 2 else [1, 1])
        assert row["diagnoses"] == (["Gout"] if number % 2 else ["Gout", "Asthma"])
        assert row["lab_values"] == [[60 + number, None], [None, pytest.approx(1.5 + number)]]
        assert row["lab_summary"].startswith("lactate is higher than normal")
    assert cohort.vocabulary.variable_keys == ("heart_rate", "lactate")
    assert cohort.vocabulary.disease_names == ("Gout", "Asthma")
    assert read_definitions(tmp_path / "out") == load_definitions(folder)
    assert provenance["left_out"] == load_definitions(folder).left_out()
    assert len(provenance["left_out"]) == 4
    assert "2 bedside variables" in (tmp_path / "out" / "README.md").read_text().replace("\n", " ")
    # The shipped vocabulary is what it was.
    assert len(load_definitions(None).vocabulary.variables) == 11


def test_any_change_to_the_vocabulary_is_another_cohort(tables: Path, tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "own")

    def loaded() -> Any:
        return load_cohort(
            "mimic-iv", tables, cache_dir=tmp_path / "cache", note_policy="structured", vocabulary=folder
        )

    first, again = loaded(), loaded()
    assert first.vocabulary == load_definitions(folder).vocabulary
    assert first["train"].features["labels"].length == 2
    assert first.provenance == again.provenance
    write_vocabulary(folder, {**VARIABLES, "lactate": {**VARIABLES["lactate"], "plausible": [0, 5]}})
    other = loaded()
    assert other.provenance["settings"]["vocabulary"] != first.provenance["settings"]["vocabulary"]
    assert other.provenance["fingerprint"] != first.provenance["fingerprint"]
    assert other.vocabulary.variable("lactate").plausible == (0, 5)
    assert first.vocabulary.variable("lactate").plausible == (0, 40)


def test_a_vocabulary_of_more_diseases_than_the_shipped_ones(tables: Path, tmp_path: Path) -> None:
    index = {"variables": ["shipped", "lactate"], "diseases": ["gout", "shipped"]}
    folder = write_vocabulary(tmp_path / "own", {"lactate": VARIABLES["lactate"]}, {"gout": DISEASES["gout"]}, **index)
    make_cohort("mimic-iv", tables, tmp_path / "out", note_policy="structured", vocabulary=folder)
    row = examples_of(tmp_path / "out")[1]
    assert len(row["labels"]) == 26
    assert row["labels"][0] == 1
    assert len(row["lab_values"][0]) == 12


def test_a_cohort_of_an_older_version_says_what_to_do(tables: Path, tmp_path: Path) -> None:
    make_cohort("mimic-iv", tables, tmp_path / "out", note_policy="structured")
    assert read_json(tmp_path / "out" / "provenance.json")["format"] == 2
    (tmp_path / "out" / "vocabulary.json").unlink()
    with pytest.raises(InputDataError, match=r"vocabulary\.json: is missing; .* run `clinragen build`"):
        load_examples(tmp_path / "out")


def test_a_variable_that_nothing_measures_is_refused(tables: Path, tmp_path: Path) -> None:
    bare = {key: {name: value for name, value in entry.items() if name != "items"} for key, entry in VARIABLES.items()}
    folder = write_vocabulary(tmp_path / "own", bare)
    with pytest.raises(InputDataError, match=r"'lactate'.*items"):
        make_cohort("mimic-iv", tables, tmp_path / "out", note_policy="structured", vocabulary=folder)
    assert not (tmp_path / "out").exists()


def test_a_code_of_no_letter_or_digit_never_gives_a_label(tmp_path: Path, shipped: Definitions) -> None:
    """Definitions from files have no empty codes; a caller from Python can still pass them."""
    hospital = TinyMimic()
    hospital.stay(1, codes=[("...", 9)])
    hospital.stay(2, codes=[("274.0", 9)])
    located = locate(load_source("mimic-iv", shipped), hospital.write(tmp_path / "tables"))
    vocabulary = Vocabulary((), (Disease("gout", "Gout", "chronic"),), ())
    definitions = Definitions(vocabulary, {}, {"gout": {"codes": {"9": ["", "2740"]}}})
    (tmp_path / "scratch").mkdir()
    with connect("duckdb", located, tmp_path / "scratch") as con:
        stays, _ = select_stays(con, located, (), Rejects(1))
        labels, counts = extract_labels(con, located, definitions, stays, Rejects(1))
    assert list(labels) == [1002]
    assert counts["rows_without_code_or_known_version"] == 1


def test_variables_of_one_table_alone_leave_the_other_tables_unread(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    hospital.lab(1, 2, LACTATE, 2.5)
    root = hospital.write(tmp_path / "tables")
    folder = write_vocabulary(tmp_path / "own", {"lactate": VARIABLES["lactate"]})
    settings = {"note_policy": "structured", "vocabulary": folder}
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
    own = {key: VARIABLES[key] for key in kept} | {"lactate": {**VARIABLES["lactate"], "items": items}}
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, 211, 13)
    hospital.chart(1, 1, 211, 8)
    hospital.lab(1, 2, LACTATE, 2.5)
    root, folder = hospital.write(tmp_path / "tables"), write_vocabulary(tmp_path / "own", own)
    make_cohort("mimic-iii", root, tmp_path / "out", note_policy="structured", vocabulary=folder)
    expected = [[8.0, None], [None, 2.5]] if kept else [[2.5]]
    assert examples_of(tmp_path / "out")[1]["lab_values"] == expected
