"""The description of the service (OpenAPI): FastAPI's, with the schemas of the large answers and the token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from clinragen.checking.render_json import schema as check_schema

RESOURCES = files("clinragen.service") / "resources"
SCHEMAS = "#/components/schemas/"
TOKEN = "token"
CHECKED, EXPLANATION, EXPLANATIONS = "Checked", "Explanation", "Explanations"
# Where a schema's own references lead to in the description.
_ELSEWHERE = {"check.schema.json#/$defs/": SCHEMAS, "#/$defs/": SCHEMAS}


def explanation_schema() -> dict[str, Any]:
    """The JSON schema of one patient's answer; it refers to that of `clinragen check`."""
    content: dict[str, Any] = json.loads((RESOURCES / "explanation.schema.json").read_text(encoding="utf-8"))
    return content


def answer(name: str, description: str) -> dict[int | str, dict[str, Any]]:
    """The description of a route's answer, by the name of its schema."""
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}{name}"}}}
    return {200: {"description": description, "content": content}}


def complete(description: dict[str, Any], open_paths: frozenset[str]) -> dict[str, Any]:
    """FastAPI's description, completed.

    Args:
        description: As FastAPI makes it; it is changed.
        open_paths: Paths that need no token.
    """
    components = description.setdefault("components", {})
    components.setdefault("schemas", {}).update(_schemas())
    components["securitySchemes"] = {TOKEN: {"type": "http", "scheme": "bearer"}}
    description["security"] = [{TOKEN: []}]
    for path in open_paths & description["paths"].keys():
        for operation in description["paths"][path].values():
            operation["security"] = []
    return description


def _schemas() -> dict[str, Any]:
    checked = check_schema()
    parts = checked.pop("$defs")
    listed = {
        "type": "object",
        "required": ["explanations"],
        "properties": {
            "explanations": {
                "type": "array",
                "items": {"$ref": f"{SCHEMAS}{EXPLANATION}"},
                "description": "One for each patient, in the request's order.",
            }
        },
    }
    own = {CHECKED: checked, EXPLANATION: explanation_schema(), **parts}
    return {EXPLANATIONS: listed, **{name: _led(schema) for name, schema in own.items()}}


def _led(schema: Any) -> Any:
    """A schema whose references lead into the description."""
    if isinstance(schema, Mapping):
        return {name: _led(value) for name, value in schema.items() if name != "$schema"}
    if isinstance(schema, list):
        return [_led(value) for value in schema]
    for before, after in _ELSEWHERE.items():
        if isinstance(schema, str) and schema.startswith(before):
            return after + schema.removeprefix(before)
    return schema
