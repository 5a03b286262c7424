"""Violations of a JSON Schema are described in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clinragen.knowledge.json_schema import first_problem
from clinragen.knowledge.reader import RESOURCES

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "number"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1},
    },
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1},
        "tag": {"type": "string", "minLength": 2},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "tags", "x"]), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(JSON)
def test_the_schema_is_read_as_it_says(value: Any) -> None:
    def number(entry: Any) -> bool:
        return isinstance(entry, int | float) and not isinstance(entry, bool)

    def tags(entry: Any) -> bool:
        return (
            isinstance(entry, list) and len(entry) > 0 and all(isinstance(tag, str) and len(tag) > 1 for tag in entry)
        )

    fits = isinstance(value, dict) and set(value) <= {"n", "tags"} and number(value.get("n"))
    fits = fits and ("tags" not in value or tags(value["tags"]))
    assert (first_problem(value, SCHEMA) is None) is fits


@pytest.mark.parametrize("name", ["knowledge.schema.json", "term_extraction_answer.schema.json"])
def test_the_shipped_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(json.loads((RESOURCES / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        ([1, [1, 1]], {"items": {"uniqueItems": True}}, "entry 2: has an entry twice; remove one"),
        ({"a": {"b": [0]}}, {"additionalProperties": {"properties": {"b": {"items": {"const": 1}}}}}, "a, b entry 1"),
        ("", {"minLength": 1}, "must not be empty"),
        (True, {"type": "integer"}, "must be a whole number"),
        (1, {"const": True}, "must be true"),
        ("b", {"enum": ["a", 1]}, "must be one of a, 1"),
        ("x", {"pattern": "^y", "description": "a y"}, "must be a y"),
    ],
)
def test_the_first_problem_in_words(value: Any, schema: dict[str, Any], problem: str) -> None:
    assert str(first_problem(value, schema)).startswith(problem)
