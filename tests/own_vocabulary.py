"""A user's own vocabulary folder: heart rate and lactate, gout and asthma."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LACTATE = 50813
VARIABLES: dict[str, dict[str, Any]] = {
    "heart_rate": {
        "name": "heart rate",
        "short": "HR",
        "unit": "bpm",
        "plausible": [0, 300],
        "fill": 86,
        "decimals": 0,
        "scale": {"step": 10, "change": 15, "swing": 10},
    },
    "lactate": {
        "name": "lactate",
        "unit": "mmol/L",
        "plausible": [0, 40],
        "fill": 1,
        "decimals": 1,
        "ranges": {"clinical": [0.5, 2.0]},
        "items": {"mimic-iv": [{"table": "lab", "item": LACTATE, "label": "Lactate", "unit": "mmol/L"}]},
    },
}
DISEASES: dict[str, dict[str, Any]] = {
    "gout": {"name": "Gout", "ccs": 54, "kind": "chronic", "codes": {9: ["274.0"], 10: ["m10.9"]}},
    "asthma": {"name": "Asthma", "ccs": 128, "kind": "chronic", "codes": {10: ["J45909"]}},
}


def write_vocabulary(
    folder: Path,
    variables: Mapping[str, Any] = VARIABLES,
    diseases: Mapping[str, Any] = DISEASES,
    /,
    **index: Any,
) -> Path:
    """Write a vocabulary folder; `index` changes the entries of its vocabulary.yaml."""
    for kind, entries in (("variables", variables), ("diseases", diseases)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for key, entry in entries.items():
            (folder / kind / f"{key}.yaml").write_text(yaml.safe_dump(entry, allow_unicode=True), encoding="utf-8")
    content = {"format": 1, "variables": list(variables), "diseases": list(diseases), **index}
    (folder / "vocabulary.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder
