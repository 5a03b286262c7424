"""The terms, values and signs written by hand for this project: `resources/curated_terms.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from dataset_builder.contract.vocabulary import load_diseases, load_variables

from clinragen.retrieval.topics import Topic
from dataset_builder.storage.files import fingerprint

RESOURCES = files("clinragen.knowledge") / "resources"


@dataclass(frozen=True)
class Curated:
    """What people have judged, by topic key; of a topic that nobody wrote about, as a user's own, nothing."""

    version: int
    origin: str
    topics: Mapping[str, Mapping[str, Any]]

    def entry(self, topic: Topic) -> dict[str, Any]:
        """A topic's entry in a knowledge base, as far as it is curated."""
        known = self.topics.get(topic.key, {})
        entry: dict[str, Any] = {
            "terms": [{"cited": False, "spellings": [], **term} for term in known.get("terms", [])]
        }
        if topic.kind == "disease":
            kinds = {disease.key: disease.kind for disease in load_diseases()}
            variables = {variable.key for variable in load_variables()}
            entry["history_counts"] = known.get("history_counts", kinds[topic.key] == "chronic")
            entry["values"] = known.get("values", [])
            entry["signs"] = [sign for sign in known.get("signs", []) if sign["variable"] in variables]
        return entry

    def recorded(self) -> dict[str, Any]:
        """What `made_by` says of the file."""
        return {"name": "curated", "version": self.version, "fingerprint": fingerprint(self.topics)}


NOTHING_CURATED = Curated(0, "Read out of retrieved passages by a program; nobody has judged the terms.", {})


def load_curated() -> Curated:
    """The shipped file."""
    content = json.loads((RESOURCES / "curated_terms.json").read_text(encoding="utf-8"))
    return Curated(content["version"], content["origin"], {**content["diseases"], **content["variables"]})
