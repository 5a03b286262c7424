"""Typed access to a YAML file whose errors name the file, the entry and the expected value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

_NOTHING: Any = object()


class Entry:
    """One value of a YAML file together with its path in it, e.g. "world.yaml: diseases.shock.courses[1]"."""

    def __init__(self, value: Any, file: str, path: str = "") -> None:
        self.value = value
        self.file = file
        self.path = path

    @classmethod
    def read(cls, path: Path) -> Entry:
        """Read a YAML file. Raises `InputDataError` when it is missing or not YAML."""
        return cls(read_yaml(path), path.name)

    def fail(self, problem: str) -> NoReturn:
        """Raise `InputDataError` naming this entry."""
        raise InputDataError(f"{self.file}: {self.path or 'the file'} {problem}")

    def get(self, key: Any, default: Any = _NOTHING) -> Entry:
        """The entry under `key` of a mapping."""
        if not isinstance(self.value, dict):
            self.fail("must be a mapping of keys to values")
        if key not in self.value and default is _NOTHING:
            self.fail(f"lacks '{key}'; add it")
        path = f"{self.path}.{key}" if self.path else str(key)
        return Entry(self.value.get(key, default), self.file, path)

    def only(self, *keys: Any) -> None:
        """Refuse keys that nothing reads: a misspelt option would be ignored."""
        if not isinstance(self.value, dict):
            self.fail("must be a mapping of keys to values")
        for key in self.value:
            if key not in keys:
                self.fail(f"has the unknown key '{key}'; use {', '.join(str(known) for known in keys)}")

    def items(self) -> Iterator[tuple[Any, Entry]]:
        """The entries of a mapping, in the file's order."""
        if not isinstance(self.value, dict):
            self.fail("must be a mapping of keys to values")
        for key in self.value:
            yield key, self.get(key)

    def list(self) -> list[Entry]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            self.fail("must be a list")
        return [Entry(value, self.file, f"{self.path}[{n}]") for n, value in enumerate(self.value, start=1)]

    def number(self, low: float = float("-inf"), high: float = float("inf")) -> float:
        """A number between `low` and `high`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fail("must be a number")
        if not low <= self.value <= high:
            self.fail(f"must be between {low:g} and {high:g}")
        return float(self.value)

    def share(self) -> float:
        """A number from 0 to 1."""
        return self.number(0.0, 1.0)

    def pair(self, *, rising: bool = True) -> tuple[float, float]:
        """Two numbers; by default the second must not be smaller."""
        values = [entry.number() for entry in self.list()]
        if len(values) != 2:
            self.fail("must be a list of two numbers")
        if rising and values[0] > values[1]:
            self.fail("must not fall from its first to its second number")
        return values[0], values[1]

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self.fail("must be a text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(entry.text() for entry in self.list())

    def choice(self, known: Any, what: str) -> str:
        """A text that is one of `known`."""
        text = self.text()
        if text not in known:
            self.fail(f"names the unknown {what} '{text}'; use one of {', '.join(sorted(known))}")
        return text
