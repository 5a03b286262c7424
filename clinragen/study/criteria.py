"""The checklists of a study (`resources/criteria.yaml`): their wording, and the form of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import faults_named, read_yaml

RESOURCES = files("clinragen.study") / "resources"


@dataclass(frozen=True)
class Item:
    """One statement that is true or not of a rationale; `key` is "<criterion>.<item>"."""

    key: str
    text: str


@dataclass(frozen=True)
class Criterion:
    """One criterion and its checklist; its score is the share of yes."""

    key: str
    name: str
    about: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Criteria:
    """Everything that a rater is asked about one rationale.

    Args:
        version: Of the wording.
        criteria: The checklists, in order.
        overall: Keys of the overall verdict with their wording, from the worst to the best.
        texts: Wording of the other questions, by name.
        most_omissions: Largest number of omissions that can be given.
        longest_comment: Characters of the longest remark.
    """

    version: int
    criteria: tuple[Criterion, ...]
    overall: Mapping[str, str]
    texts: Mapping[str, str]
    most_omissions: int
    longest_comment: int

    @cached_property
    def item_keys(self) -> tuple[str, ...]:
        """Keys of all statements, in order."""
        return tuple(item.key for criterion in self.criteria for item in criterion.items)

    @property
    def choices(self) -> Sequence[str]:
        """Keys of the overall verdicts, from the worst to the best."""
        return list(self.overall)

    def content(self) -> dict[str, Any]:
        """As values of JSON, which `parse_criteria` reads."""
        return {
            "version": self.version,
            "criteria": [
                {
                    "key": criterion.key,
                    "name": criterion.name,
                    "about": criterion.about,
                    "items": [{"key": one.key.partition(".")[2], "text": one.text} for one in criterion.items],
                }
                for criterion in self.criteria
            ],
            "overall": {
                "text": self.texts["overall"],
                "choices": [{"key": key, "text": text} for key, text in self.overall.items()],
            },
            "sentences": {"text": self.texts["sentences"]},
            "omissions": {"text": self.texts["omissions"], "most": self.most_omissions},
            "omitted_diseases": {"text": self.texts["omitted_diseases"]},
            "comment": {"text": self.texts["comment"], "most": self.longest_comment},
        }


def shipped_criteria() -> Criteria:
    """The paper's five criteria as checklists."""
    path = RESOURCES / "criteria.yaml"
    with faults_named(path):
        return parse_criteria(read_yaml(path))


def read_criteria(path: Path) -> Criteria:
    """Criteria of one's own. Raises `InputDataError` where the file lacks an entry of the shipped one."""
    with faults_named(path):
        return parse_criteria(read_yaml(path))


def parse_criteria(content: Any) -> Criteria:
    """Criteria from the content of the file.

    Raises:
        KeyError, TypeError, ValueError: An entry is missing, malformed or there twice.
    """
    criteria = tuple(
        Criterion(
            str(one["key"]),
            str(one["name"]),
            str(one["about"]),
            tuple(Item(f"{one['key']}.{item['key']}", str(item["text"])) for item in one["items"]),
        )
        for one in content["criteria"]
    )
    named = ("overall", "sentences", "omissions", "omitted_diseases", "comment")
    found = Criteria(
        int(content["version"]),
        criteria,
        {str(one["key"]): str(one["text"]) for one in content["overall"]["choices"]},
        {name: str(content[name]["text"]) for name in named},
        int(content["omissions"]["most"]),
        int(content["comment"]["most"]),
    )
    if len(set(found.item_keys)) < len(found.item_keys) or len({one.key for one in criteria}) < len(criteria):
        raise ValueError("a key that is not the only one of its name")
    if not criteria or not all(one.items for one in criteria) or len(found.overall) < 2:
        raise ValueError("a criterion with statements, or a choice of two overall verdicts,")
    return found
