"""Describes in words the first violation of a JSON Schema (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError

_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
}


def first_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The first violation of `schema` by `value`, e.g. "terms entry 2: 'kind' must be one of ...", or None."""
    from jsonschema import Draft202012Validator

    error = next(Draft202012Validator(schema).iter_errors(value), None)
    return None if error is None else _in_words(error)


def _in_words(error: ValidationError) -> str:
    steps, problem = list(error.absolute_path), _problem(error)
    # The library names the object here; the message names the field.
    if error.validator == "required":
        steps.append(next(name for name in error.validator_value if name not in error.instance))
    elif error.validator == "additionalProperties":
        steps.append(next(name for name in error.instance if name not in error.schema.get("properties", {})))
    if steps and isinstance(steps[-1], str):
        problem = f"'{steps.pop()}' {problem}"
    where = "".join(f" entry {step + 1}" if isinstance(step, int) else f", {step}" for step in steps).lstrip(", ")
    return f"{where}: {problem}" if where else problem


def _problem(error: ValidationError) -> str:
    # Not the library's own message: it quotes the value, which may be an answer about a patient.
    expected, about = error.validator_value, error.schema.get("description")
    match error.validator:
        case "required":
            return "is missing"
        case "additionalProperties":
            return "is unknown"
        case "uniqueItems":
            return "has an entry twice; remove one"
        case "minItems":
            return f"must have at least {expected} {'entry' if expected == 1 else 'entries'}"
        case "minLength":
            return "must not be empty"
        case "enum":
            return f"must be one of {', '.join(map(str, expected))}"
        case "const":
            return f"must be {str(expected).lower() if isinstance(expected, bool) else expected}"
        case _:
            return f"must be {about or _TYPES.get(expected, 'as the schema says')}"
