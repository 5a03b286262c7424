"""Terms, values and signs that people have written in the files of diseases and variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from clinragen.retrieval.topics import Topic
from dataset_builder.contract.definitions import Definitions
from dataset_builder.storage.files import fingerprint, read_yaml

RESOURCES = files("clinragen.knowledge") / "resources"

CURATED_FIELDS = ("history_counts", "terms", "values", "signs")
NOT_JUDGED = "Extracted from retrieved passages by a program; no person has judged the terms."


@dataclass(frozen=True)
class Curated:
    """Knowledge that people have judged.

    Args:
        version, origin: Those of the shipped terms.
        topics: By topic key, the `CURATED_FIELDS` of its file; a topic without terms, values and signs is absent.
        history_counts: By disease key, whether a past mention means that the disease is still present.
        variables: Keys of the variables, which signs may refer to.
    """

    version: int
    origin: str
    topics: Mapping[str, Mapping[str, Any]]
    history_counts: Mapping[str, bool]
    variables: frozenset[str]

    def entry(self, topic: Topic) -> dict[str, Any]:
        """The curated part of a topic's entry in a knowledge base. Signs in other variables are left out."""
        known = self.topics.get(topic.key, {})
        entry: dict[str, Any] = {
            "terms": [{"cited": False, "spellings": [], **term} for term in known.get("terms", [])]
        }
        if topic.kind == "disease":
            entry["history_counts"] = self.history_counts[topic.key]
            entry["values"] = known.get("values", [])
            entry["signs"] = [sign for sign in known.get("signs", []) if sign["variable"] in self.variables]
        return entry

    def describe(self) -> dict[str, Any]:
        """The entry in `made_by`."""
        return {"name": "curated", "version": self.version, "fingerprint": fingerprint(self.topics)}


def load_curated(definitions: Definitions) -> Curated:
    """The terms, values and signs in `definitions`."""
    shipped = read_yaml(RESOURCES / "curated.yaml")
    topics = {
        key: {name: written[name] for name in CURATED_FIELDS if name in written}
        for key, written in [*definitions.diseases.items(), *definitions.variables.items()]
        if any(written.get(name) for name in ("terms", "values", "signs"))
    }
    return _curated(definitions, shipped["version"], shipped["origin"], topics)


def nothing_curated(definitions: Definitions) -> Curated:
    """For a knowledge base of extracted terms only."""
    return _curated(definitions, 0, NOT_JUDGED, {})


def _curated(definitions: Definitions, version: int, origin: str, topics: Mapping[str, Mapping[str, Any]]) -> Curated:
    counts = {key: bool(written["history_counts"]) for key, written in definitions.diseases.items()}
    return Curated(version, origin, topics, counts, frozenset(definitions.vocabulary.variable_keys))
