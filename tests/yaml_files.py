"""Changes of YAML files: one value at a time, wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def change(path: Path, *keys: str, value: Any) -> None:
    """Set the value at these keys of a YAML file; sections that are missing are made."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    inner = content
    for key in keys[:-1]:
        if not inner.get(key):
            inner[key] = {}
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def remove(path: Path, key: str) -> None:
    """Remove a top-level key of a YAML file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content[key]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
