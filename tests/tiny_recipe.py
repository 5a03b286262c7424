"""The shipped quickstart recipe at the settings of tests/tiny_settings.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "recipes"
SETTINGS = Path(__file__).with_name("tiny_settings.yaml")
# Where the tiny copy of a shipped file goes; all phases share one file.
COPIES = {
    "quickstart.yaml": "recipe.yaml",
    "tiny-t5/model.yaml": "model.yaml",
    "tiny-t5/t5.json": "t5.json",
    "tiny-t5/note.yaml": "phase.yaml",
}


def tiny_settings() -> Mapping[str, Mapping[str, Any]]:
    """The table of tests/tiny_settings.yaml, by file below recipes/."""
    table: Mapping[str, Mapping[str, Any]] = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    return table


def write_tiny_recipe(folder: Path) -> Path:
    """Write the tiny recipe with the files that it names into `folder`; returns the recipe's path."""
    for name in COPIES:
        settings = tiny_settings()[name]
        content = yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))
        for key, value in settings.items():
            if isinstance(value, Mapping) and key != "train":
                content[key] = {**content.get(key, {}), **value}
            else:
                content[key] = value
        target = folder / COPIES[name]
        text = json.dumps(content) if target.suffix == ".json" else yaml.safe_dump(content, sort_keys=False)
        target.write_text(text, encoding="utf-8")
    return folder / COPIES["quickstart.yaml"]
