"""A source's YAML file: faults are named, and a vocabulary decides which items are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_vocabulary import VARIABLES, write_vocabulary

from dataset_builder.contract.definitions import Definitions, load_definitions
from dataset_builder.sources.spec import SOURCES, load_source, source_names
from modeling_clinragen.errors import InputDataError, SettingsError


def own_source(folder: Path, **changes: Any) -> str:
    content = yaml.safe_load((SOURCES / "mimic-iv.yaml").read_text(encoding="utf-8"))
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, allow_unicode=True), encoding="utf-8")
    return str(path)


OPEN = {"name": "a", "title": "A", "licence": "other", "licence_name": "A", "credentialed": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"releases": []}, "exactly the last release must be without 'contains'"),
        ({"releases": [{**OPEN, "contains": "x"}]}, "exactly the last release must be without 'contains'"),
        ({"releases": [OPEN, OPEN]}, "exactly the last release must be without 'contains'"),
        ({"version_pattern": "("}, "version_pattern is not a regular expression"),
        ({"version_pattern": "mimic"}, "version_pattern needs exactly one group"),
        ({"last_as_text": ["heart_rat"]}, "last_as_text names the unknown variable 'heart_rat'"),
        ({"last_as_text": [["heart_rate"]]}, "is incomplete or malformed"),
        (
            {"items": {"heart_rate": [{"table": "chart", "item": 220045.0, "label": "HR", "unit": "bpm"}]}},
            "heart_rate: item 220045.0 is not an id",
        ),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    own = load_definitions(write_vocabulary(tmp_path / "own", {"heart_rate": VARIABLES["heart_rate"]}))
    load_source(own_source(tmp_path), own)
    with pytest.raises(InputDataError, match=re.escape(message)):
        load_source(own_source(tmp_path, **changes), own)


def test_only_the_synthetic_release_is_synthetic(shipped: Definitions) -> None:
    sources = [load_source(name, shipped) for name in source_names()]
    assert {r.name for source in sources for r in source.releases if r.synthetic} == {"synthetic"}
    assert not any(r.credentialed for source in sources for r in source.releases if r.synthetic)


def test_the_vocabulary_decides_which_items_are_read(tmp_path: Path, shipped: Definitions) -> None:
    own = load_definitions(write_vocabulary(tmp_path / "own"))
    assert {item.variable for item in load_source("mimic-iv", own).items} == {"heart_rate", "lactate"}
    assert {item.variable for item in load_source("mimic-iv", shipped).items} == set(shipped.vocabulary.variable_keys)
    with pytest.raises(
        SettingsError, match=f"unknown source 'mimic-v'; choose one of {', '.join(source_names())} or a"
    ):
        load_source("mimic-v", shipped)


def test_a_variable_brings_its_loinc_codes_along(tmp_path: Path, shipped: Definitions) -> None:
    lactate = {**VARIABLES["lactate"], "loinc": {"32693-4": "Lactate in blood"}}
    own = write_vocabulary(tmp_path / "own", {"lactate": lactate})
    found = {item.item: item.variable for item in load_source("fhir", load_definitions(own)).items}
    assert found == {"LOINC//32693-4": "lactate"}
    with pytest.raises(InputDataError, match="no item measures the variable 'lactate'"):
        load_source("fhir", load_definitions(write_vocabulary(tmp_path / "none", {"lactate": VARIABLES["lactate"]})))
    faulty = write_vocabulary(tmp_path / "faulty", {"lactate": {**lactate, "loinc": {"x": "y"}}})
    with pytest.raises(InputDataError, match="loinc must map codes such as 8867-4, in quotes"):
        load_definitions(faulty)


def test_no_loinc_code_is_of_two_variables(shipped: Definitions) -> None:
    codes = [code for key in shipped.vocabulary.variable_keys for code in shipped.loinc(key)]
    assert len(codes) == len(set(codes)) >= 11
    assert all(shipped.loinc(key) for key in shipped.vocabulary.variable_keys)
