"""A user's own vocabulary folder instead of the shipped one: what it may leave out, and every fault by its file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from own_vocabulary import DISEASES, VARIABLES, write_vocabulary

from dataset_builder.contract.definitions import (
    Definitions,
    load_definitions,
    read_definitions,
    read_vocabulary,
    write_definitions,
)
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import find_signs, load_sign_rules
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def test_the_shipped_vocabulary_is_the_papers(shipped: Definitions) -> None:
    assert len(shipped.vocabulary.variables) == 11
    assert len(shipped.vocabulary.diseases) == 25
    assert shipped.left_out() == []
    assert set(shipped.codes) == set(shipped.vocabulary.name_of_disease)
    assert all(codes[9] and codes[10] for codes in shipped.codes.values())
    # Adults have a normal weight of their own: no range there.
    assert set(shipped.vocabulary.range_set("clinical").bounds) == set(shipped.vocabulary.variable_keys) - {"weight"}


def test_a_folder_of_ones_own_replaces_the_shipped_vocabulary(tmp_path: Path) -> None:
    own = load_definitions(write_vocabulary(tmp_path))
    assert own.vocabulary.variable_keys == ("heart_rate", "lactate")
    assert own.vocabulary.disease_names == ("Gout", "Asthma")
    assert own.codes == {"gout": {9: {"2740"}, 10: {"M109"}}, "asthma": {10: {"J45909"}}}
    assert own.items("lactate")["mimic-iv"][0]["label"] == "Lactate"
    assert own.items("heart_rate") == {}
    lactate = own.vocabulary.variable("lactate")
    assert lactate.short == "lactate"
    assert [unit.spellings for unit in lactate.units] == [("mmol/L",)]


def test_what_a_file_leaves_out_is_listed(tmp_path: Path) -> None:
    assert load_definitions(write_vocabulary(tmp_path)).left_out() == [
        "heart rate: no normal range, so it is never called low, normal or high",
        "lactate: no scale, so teacher and checker say nothing of its changes",
        "Gout: no terms, so its knowledge must come from retrieved passages",
        "Asthma: no terms, so its knowledge must come from retrieved passages",
    ]


def test_shipped_entries_are_taken_over_by_name_or_all_at_once(tmp_path: Path, shipped: Definitions) -> None:
    lactate = {"lactate": VARIABLES["lactate"]}
    more = load_definitions(
        write_vocabulary(tmp_path / "more", lactate, {}, variables=["shipped", "lactate"], diseases=["shipped"])
    )
    assert more.vocabulary.variable_keys == (*shipped.vocabulary.variable_keys, "lactate")
    assert more.vocabulary.diseases == shipped.vocabulary.diseases
    assert more.diseases == shipped.diseases
    few = load_definitions(
        write_vocabulary(tmp_path / "few", lactate, {}, variables=["ph", "lactate"], diseases=["shock"])
    )
    assert few.vocabulary.variables[0] == shipped.vocabulary.variable("ph")
    assert few.vocabulary.disease_names == ("Shock",)
    # A file of one's own takes the place of the shipped one with its name.
    own = {"shock": {**DISEASES["gout"], "name": "Another shock"}}
    changed = load_definitions(
        write_vocabulary(tmp_path / "own", {}, own, variables=["shipped"], diseases=["shipped"])
    )
    assert changed.vocabulary.variables == shipped.vocabulary.variables
    assert changed.vocabulary.name_of_disease["shock"] == "Another shock"
    assert len(changed.vocabulary.diseases) == 25


def test_a_cohort_folder_carries_the_definitions(tmp_path: Path) -> None:
    own = load_definitions(write_vocabulary(tmp_path / "own"))
    write_definitions(tmp_path, own)
    assert read_definitions(tmp_path) == own
    assert read_vocabulary(tmp_path) == own.vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "vocabulary.json: is missing; .* was not built by this version"),
        ([], "vocabulary.json: malformed"),
        ({"vocabulary": {"format": 99}, "variables": {}, "diseases": {}}, "has vocabulary format 99"),
        ({"vocabulary": {"format": 1}, "variables": {}, "diseases": {}}, "malformed vocabulary"),
        ({"variables": {}}, "vocabulary.json: malformed"),
    ],
)
def test_a_folder_without_readable_definitions_says_what_to_do(tmp_path: Path, content: Any, message: str) -> None:
    if content is not None:
        write_json(tmp_path / "vocabulary.json", content)
    with pytest.raises(InputDataError, match=message) as caught:
        read_definitions(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variable_without_a_scale_shows_no_change_and_one_without_a_range_no_level(tmp_path: Path) -> None:
    vocabulary = load_definitions(write_vocabulary(tmp_path)).vocabulary
    hours = np.arange(9, dtype=np.float32)
    series = LabSeries.from_values(vocabulary, hours, np.stack([60 + 12 * hours, 1 + hours], axis=1))
    found = find_signs(series, vocabulary.range_set("clinical"), load_sign_rules())
    assert set(found) == {("heart_rate", "rising"), ("heart_rate", "erratic")}


@pytest.mark.parametrize(
    ("kind", "key", "change", "message"),
    [
        ("variables", "heart_rate", {"plausible": [1]}, "heart_rate.yaml: .* missing or malformed"),
        ("variables", "heart_rate", {"plausible": [350, 0]}, "plausible must be two numbers, the lower one first"),
        ("variables", "heart_rate", {"plausible": [float("nan")] * 2}, "plausible must be two numbers"),
        ("variables", "heart_rate", {"plausible": ["0", 300]}, "plausible must be two numbers"),
        ("variables", "heart_rate", {"fill": float("nan")}, "fill must be a finite number"),
        ("variables", "heart_rate", {"decimals": -1}, "decimals must be a whole number"),
        ("variables", "heart_rate", {"decimals": 0.5}, "decimals must be a whole number"),
        ("variables", "heart_rate", {"name": None}, "name must be a text"),
        ("variables", "heart_rate", {"short": None}, "short must be a text"),
        ("variables", "heart_rate", {"unit": 5}, "unit must be a text"),
        ("variables", "heart_rate", {"aliases": "hr"}, "aliases must be a list of texts"),
        ("variables", "heart_rate", {"unitless": "no"}, "unitless must be true or false"),
        ("variables", "heart_rate", {"colour": "red"}, "unknown field 'colour'"),
        ("variables", "heart_rate", {"units": [{"scale": 2}]}, "'spellings' is missing or malformed"),
        ("variables", "heart_rate", {"units": [{"spellings": "bpm"}]}, "units must be a list of texts"),
        ("variables", "heart_rate", {"ranges": {"mine": [1, 2]}}, "unknown range set 'mine'"),
        ("variables", "heart_rate", {"ranges": {"clinical": [2, 1]}}, "range 'clinical' must be two numbers"),
        ("variables", "heart_rate", {"ranges": {"clinical": [2]}}, "missing or malformed"),
        ("variables", "heart_rate", {"scale": {"step": 1}}, "missing or malformed"),
        ("variables", "heart_rate", {"scale": {"step": 0, "change": 1, "swing": 1}}, "must be numbers above 0"),
        ("variables", "heart_rate", {"words": {"verbs": []}}, "unknown field 'verbs'"),
        ("variables", "heart_rate", {"words": {"conditions": [{"words": ["fast"]}]}}, "'says' is missing"),
        ("variables", "heart_rate", {"terms": [{"term": "fast"}]}, "mappings with term, kind, source"),
        ("variables", "heart_rate", {"items": [1]}, "missing or malformed"),
        ("variables", "heart_rate", {"items": {"mimic-iv": None}}, "missing or malformed"),
        ("variables", "heart_rate", {"items": {"mimic-iv": [5]}}, "missing or malformed"),
        (
            "variables",
            "heart_rate",
            {"items": {"mimic-iv": [{"table": "chart", "item": 1}]}},
            "an item has no 'label'",
        ),
        (
            "variables",
            "heart_rate",
            {"items": {"mimic-iv": [{"table": "chart", "item": 220045.0, "label": "HR", "unit": "bpm"}]}},
            "item 220045.0 is not an id",
        ),
        ("diseases", "gout", {"codes": {}}, "gout.yaml: lists no code"),
        ("diseases", "gout", {"codes": None}, "gout.yaml: lists no code"),
        ("diseases", "gout", {"codes": {"nine": ["1"]}}, "missing or malformed"),
        ("diseases", "gout", {"codes": {9: None}}, "codes must be a list of texts in quotes"),
        ("diseases", "gout", {"codes": {9: ["274.0", 274.9]}}, "codes must be a list of texts in quotes"),
        ("diseases", "gout", {"codes": {9: "274.0"}}, "codes must be a list of texts in quotes"),
        ("diseases", "gout", {"codes": {9: ["274.0", ""]}}, "codes: a code has no letter or digit"),
        ("diseases", "gout", {"codes": {9: [" .-"]}}, "codes: a code has no letter or digit"),
        ("diseases", "gout", {"name": 12}, "name must be a text"),
        ("diseases", "gout", {"name": None}, "name must be a text"),
        ("diseases", "gout", {"name": "Gout, acute"}, "has a comma or line break"),
        ("diseases", "gout", {"name": "Gout\nof the foot"}, "has a comma or line break"),
        ("diseases", "gout", {"kind": "painful"}, "kind is 'painful'; write acute or chronic"),
        ("diseases", "gout", {"history_counts": "yes"}, "history_counts must be true or false"),
        ("diseases", "gout", {"terms": ["podagra"]}, "mappings with term, kind, source"),
        (
            "diseases",
            "gout",
            {"terms": [{"term": "gout", "kind": "name", "source": "MeSH", "spellings": "podagra"}]},
            "the spellings of 'gout' must be a list of texts",
        ),
        ("diseases", "gout", {"signs": [{"variable": "lactate"}]}, "a sign needs variable, direction and meaning"),
        (
            "diseases",
            "gout",
            {"signs": [{"variable": "lactate", "direction": "up", "meaning": "m"}]},
            "unknown direction 'up' of a sign",
        ),
        ("diseases", "gout", {"signs": 5}, "missing or malformed"),
    ],
)
def test_a_faulty_file_is_named_with_its_field(
    kind: str, key: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    given = {"variables": dict(VARIABLES), "diseases": dict(DISEASES)}
    given[kind][key] = {**given[kind][key], **change}
    with pytest.raises(InputDataError, match=message) as caught:
        load_definitions(write_vocabulary(tmp_path, given["variables"], given["diseases"]))
    said = str(caught.value)
    assert said.startswith(str(tmp_path / kind / f"{key}.yaml"))
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variables": ["heart_rate", "heart_rate"]}, "'heart_rate' is listed twice"),
        ({"diseases": ["asthma", "gout", "asthma"]}, "'asthma' is listed twice"),
        ({"diseases": [[1]]}, "'diseases' must be a list of keys"),
        ({"diseases": []}, "'diseases' must be a list of keys"),
        ({"variables": {"a": 1}}, "'variables' must be a list of keys"),
        ({"variables": ["sodium"]}, r"variables/sodium.yaml: is missing, but .* lists 'sodium'"),
        ({"phenotypes": ["gout"]}, "unknown entry 'phenotypes'"),
        ({"format": 2}, "needs 'format: 1'"),
        ({"range_sets": {"mine": True}}, "range_sets must map names to"),
    ],
)
def test_a_faulty_list_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=message) as caught:
        load_definitions(write_vocabulary(tmp_path, **change))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("variables", "diseases", "name"),
    [
        ({"heart_rate": {**VARIABLES["heart_rate"], "name": "Lactate"}}, {}, "lactate"),
        ({"heart_rate": {**VARIABLES["heart_rate"], "aliases": ["pulse", "LACTATE"]}}, {}, "lactate"),
        ({}, {"gout": {**DISEASES["gout"], "name": "asthma"}}, "asthma"),
    ],
)
def test_two_entries_with_one_name_are_refused(
    variables: dict[str, Any], diseases: dict[str, Any], name: str, tmp_path: Path
) -> None:
    """Names are compared without case; a column that two variables claim would be read as either."""
    folder = write_vocabulary(tmp_path, {**VARIABLES, **variables}, {**DISEASES, **diseases})
    with pytest.raises(InputDataError, match=f"vocabulary.yaml: '{name}' is listed twice"):
        load_definitions(folder)


def test_a_folder_without_a_list_or_with_another_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"has no vocabulary.yaml"):
        load_definitions(tmp_path / "nowhere")
    folder = write_vocabulary(tmp_path)
    (folder / "diseases" / "gout.yaml").write_text("- a\n- b\n")
    with pytest.raises(InputDataError, match=r"gout.yaml: must map fields to values"):
        load_definitions(folder)
    (folder / "vocabulary.yaml").write_text("[a, b]")
    with pytest.raises(InputDataError, match=r"vocabulary.yaml: needs 'format: 1'"):
        load_definitions(folder)


@pytest.mark.parametrize(
    ("kind", "key", "more"),
    [
        ("variables", "heart_rate", "1: x\nb: y\n"),
        ("variables", "heart_rate", "items: {mimic-iv: [], 4: []}\n"),
        ("diseases", "gout", "values: {low: {1: a, b: c}}\n"),
    ],
)
def test_a_key_that_is_no_text_is_refused(kind: str, key: str, more: str, tmp_path: Path) -> None:
    """A cohort keeps definitions as JSON, which has text keys only."""
    path = write_vocabulary(tmp_path, {"heart_rate": VARIABLES["heart_rate"]}) / kind / f"{key}.yaml"
    path.write_text(path.read_text() + more)
    with pytest.raises(InputDataError, match=rf"{key}.yaml: (unknown field '1'|the key \d is not a text; put it in)"):
        load_definitions(tmp_path)


def test_an_entry_of_the_list_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path) / "vocabulary.yaml"
    path.write_text(path.read_text() + "1: x\nb: y\n")
    with pytest.raises(InputDataError, match=r"vocabulary.yaml: unknown entry '1'"):
        load_definitions(tmp_path)


@pytest.mark.parametrize(("kind", "key"), [("variables", "heart_rate"), ("diseases", "gout")])
def test_a_cohort_s_vocabulary_has_the_definitions_of_every_key(kind: str, key: str, tmp_path: Path) -> None:
    write_definitions(tmp_path, load_definitions(write_vocabulary(tmp_path / "own")))
    content = read_json(tmp_path / "vocabulary.json")
    del content[kind][key]
    write_json(tmp_path / "vocabulary.json", content)
    with pytest.raises(InputDataError, match=f"definitions of '{key}' do not agree; run `clinragen build` again"):
        read_definitions(tmp_path)


def test_vocabularies_with_other_keys_or_ranges_are_not_the_same(vocabulary: Vocabulary) -> None:
    first = vocabulary.diseases[0]
    renamed = replace(vocabulary, diseases=(replace(first, key="another"), *vocabulary.diseases[1:]))
    with pytest.raises(SettingsError, match=r"the model and the cohort have different diseases: .*\(another\)"):
        vocabulary.require_same(renamed, "the model", "the cohort")
    exclusive = replace(vocabulary, range_sets=tuple((name, not low) for name, low in vocabulary.range_sets))
    variable = vocabulary.variables[0]
    bare = replace(vocabulary, variables=(replace(variable, ranges=()), *vocabulary.variables[1:]))
    for other, what in ((exclusive, "a value at the low bound"), (bare, variable.key)):
        vocabulary.require_same(other, "the model", "the cohort")
        with pytest.raises(SettingsError, match=f"in the range set 'clinical': {what}"):
            vocabulary.require_same_ranges(other, "clinical", "the model", "the cohort")
    vocabulary.require_same_ranges(replace(vocabulary), "clinical", "the model", "the cohort")


def test_quoted_codes_match_as_they_are_written(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path)
    path = folder / "diseases" / "gout.yaml"
    path.write_text('{name: A, ccs: 2, kind: acute, codes: {9: ["038.9", "250.00", "0031", v45.1]}}\n')
    assert load_definitions(folder).codes["gout"] == {9: frozenset({"0389", "25000", "0031", "V451"})}
    path.write_text("{name: A, ccs: 2, kind: acute, codes: {9: [0031]}}\n")  # 25, to YAML
    with pytest.raises(InputDataError, match="texts in quotes"):
        load_definitions(folder)


def test_a_file_that_changes_is_read_again_within_one_process(tmp_path: Path) -> None:
    for name, code in (("Aa", "1"), ("Bb", "2"), ("Aa", "1")):  # of one length, and maybe of one time
        own = {"gout": {**DISEASES["gout"], "name": name, "codes": {9: [code]}}}
        found = load_definitions(write_vocabulary(tmp_path, VARIABLES, own))
        assert found.vocabulary.disease_names == (name,)
        assert found.codes == {"gout": {9: frozenset(code)}}
        write_definitions(tmp_path / "own", found)
        assert read_vocabulary(tmp_path / "own") == found.vocabulary
    for unit in ("bpm", "Hz "):
        own = {"heart_rate": {**VARIABLES["heart_rate"], "unit": unit}}
        assert load_definitions(write_vocabulary(tmp_path, own)).vocabulary.variables[0].unit == unit


def test_a_range_set_of_ones_own(tmp_path: Path) -> None:
    own = {"heart_rate": {**VARIABLES["heart_rate"], "ranges": {"sport": [40, 180], "clinical": [60, 100]}}}
    folder = write_vocabulary(tmp_path, own, range_sets={"sport": {"low_inclusive": True}})
    vocabulary = load_definitions(folder).vocabulary
    assert vocabulary.range_set("sport").level("heart_rate", 40) == "low"
    assert vocabulary.range_set("clinical").level("heart_rate", 60) == "normal"
    assert vocabulary.range_set("paper").level("heart_rate", 60) is None


def test_json_carries_the_vocabulary_exactly(shipped: Definitions, tmp_path: Path) -> None:
    write_definitions(tmp_path, shipped)
    content = read_json(tmp_path / "vocabulary.json")
    assert Vocabulary.from_dict(content["vocabulary"]) == shipped.vocabulary
    assert read_definitions(tmp_path).codes == shipped.codes
    assert not re.search(r"[0-9a-f]{64}", yaml.safe_dump(content["variables"]))
