"""The conversation with a judge about one case, and reading its answer (`resources/judge_prompt.yaml`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from clinragen.llm.types import Message
from clinragen.study.answers import Answer, Asked, parse_answer
from clinragen.study.criteria import RESOURCES, Criteria
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

_THOUGHT = "</think>"


@lru_cache(maxsize=1)
def load_prompt() -> Mapping[str, Any]:
    """The shipped prompt: templates by name, and `version`."""
    content: Mapping[str, Any] = read_yaml(RESOURCES / "judge_prompt.yaml")
    return content


class JudgePrompt:
    """Puts a case of a study into words, and reads the answers.

    Args:
        asked: The study's questions.
        diseases: Names of the diseases by key.
    """

    def __init__(self, asked: Asked, diseases: Mapping[str, str]) -> None:
        self._asked = asked
        self._criteria: Criteria = asked.criteria
        self._diseases = dict(diseases)
        self._keys = {name: key for key, name in diseases.items()}
        self._prompt = load_prompt()

    @property
    def version(self) -> int:
        """Version of the wording."""
        return int(self._prompt["version"])

    def messages(self, case: Mapping[str, Any], rationales: Sequence[Mapping[str, Any]], *, reverse: bool) -> tuple:
        """The conversation about one case.

        Args:
            case: `note` and `series`, as a rater gets them.
            rationales: In the order in which they are shown.
            reverse: Whether the statements come in reverse order.
        """
        parts = [
            self._record(case),
            *(self._rationale(number, one) for number, one in enumerate(rationales, start=1)),
            self._questions(len(rationales), self.statements(reverse=reverse)),
        ]
        return Message("system", self._prompt["system"]), Message("user", "\n\n".join(parts))

    def statements(self, *, reverse: bool) -> list[str]:
        """Keys of the statements in the order in which they are asked."""
        keys = list(self._criteria.item_keys)
        return keys[::-1] if reverse else keys

    def again(self, messages: tuple[Message, ...], answer: str, fault: str) -> tuple[Message, ...]:
        """The conversation after an answer that cannot be used, with the fault pointed out."""
        complaint = self._prompt["complaint"].format(fault=fault)
        return (*messages, Message("assistant", answer or "(empty)"), Message("user", complaint))

    def schema(self, count: int) -> dict[str, Any]:
        """The JSON schema of an answer about so many rationales, as servers enforce it."""
        checks = {key: {"type": "boolean"} for key in self._criteria.item_keys}
        one = {
            "number": {"type": "integer", "enum": list(range(1, count + 1))},
            "checks": _exactly(checks),
            "overall": {"type": "string", "enum": self._criteria.choices},
            "wrong_sentences": {"type": "array", "items": {"type": "integer"}},
            "omissions": {"type": "integer"},
            "omitted_diseases": {"type": "array", "items": {"type": "string", "enum": list(self._keys)}},
        }
        return _exactly({"rationales": {"type": "array", "items": _exactly(one)}})

    def read(self, text: str, items: Sequence[str]) -> dict[str, Answer]:
        """The answers in a judge's text, by the rationale's name, for rationales in the order of the conversation.

        Raises:
            InputDataError: It is not the JSON that was asked for, or has an impossible value; the message says which
                part is at fault and repeats nothing of the text.
        """
        inner = text.rpartition(_THOUGHT)[2]
        try:
            content = json.loads(inner[inner.index("{") : inner.rindex("}") + 1])
        except (ValueError, RecursionError):
            # Not chained: the cause quotes the text.
            raise InputDataError("it has no JSON object") from None
        given = content.get("rationales") if isinstance(content, dict) else None
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise InputDataError("'rationales' is not a list of objects")
        by_number = {one.get("number"): one for one in given if type(one.get("number")) is int}
        if len(given) != len(items) or set(by_number) != set(range(1, len(items) + 1)):
            raise InputDataError(f"'rationales' does not have the numbers 1 to {len(items)}, each once")
        return {item: self._answer(item, by_number[number]) for number, item in enumerate(items, start=1)}

    def _answer(self, item: str, given: Mapping[str, Any]) -> Answer:
        wrong, omitted = given.get("wrong_sentences", []), given.get("omitted_diseases", [])
        if not isinstance(wrong, list) or not all(type(one) is int for one in wrong):
            raise InputDataError("'wrong_sentences' is not a list of whole numbers")
        if not isinstance(omitted, list) or not all(isinstance(one, str) and one in self._keys for one in omitted):
            raise InputDataError("'omitted_diseases' is not a list of the given names")
        content = {
            "checks": given.get("checks"),
            "overall": given.get("overall"),
            "wrong_sentences": sorted({one - 1 for one in wrong}),
            "omissions": given.get("omissions"),
            "omitted_diseases": list(dict.fromkeys(self._keys[one] for one in omitted)),
        }
        answer = parse_answer(content, item, self._asked, "the answer")
        if not answer.is_complete(self._criteria):
            raise InputDataError("a statement, 'overall' or 'omissions' is missing")
        return answer

    def _record(self, case: Mapping[str, Any]) -> str:
        lines = [self._variable(one) for one in case["series"]]
        return str(self._prompt["record"]).format(
            note=case["note"] or self._prompt["no_note"],
            measurements="\n".join(lines) or self._prompt["no_measurements"],
        )

    def _variable(self, one: Mapping[str, Any]) -> str:
        pairs = list(zip(one["hours"], one["values"], strict=True))
        most = int(self._prompt["most_readings"])
        # Evenly spread over the readings, the first and the last among them.
        kept = pairs if len(pairs) <= most else [pairs[round(i * (len(pairs) - 1) / (most - 1))] for i in range(most)]
        readings = "; ".join(f"hour {hour:g}: {value:g}" for hour, value in kept)
        if len(kept) < len(pairs):
            least, highest = min(one["values"]), max(one["values"])
            readings = self._prompt["thinned"].format(
                readings=readings, shown=len(kept), total=len(pairs), least=f"{least:g}", most=f"{highest:g}"
            )
        normal = "" if one["low"] is None else self._prompt["normal"].format(low=one["low"], high=one["high"])
        unit = f" ({one['unit']})" if one["unit"] else ""
        return str(self._prompt["variable"]).format(name=one["name"], unit=unit, normal=normal, readings=readings)

    def _rationale(self, number: int, one: Mapping[str, Any]) -> str:
        sentences = "\n".join(f"{place}. {each['text']}" for place, each in enumerate(one["sentences"], start=1))
        return str(self._prompt["rationale"]).format(
            number=number,
            listed="; ".join(one["listed"]) or self._prompt["none_listed"],
            sentences=sentences or self._prompt["no_sentence"],
        )

    def _questions(self, count: int, statements: Sequence[str]) -> str:
        wording = {item.key: item.text for criterion in self._criteria.criteria for item in criterion.items}
        form = {
            "number": 1,
            "checks": dict.fromkeys(statements, True),
            "overall": self._criteria.choices[-1],
            "wrong_sentences": [],
            "omissions": 0,
            "omitted_diseases": [],
        }
        texts = self._criteria.texts
        return str(self._prompt["questions"]).format(
            count=count,
            statements="\n".join(f'"{key}": {wording[key]}' for key in statements),
            overall=texts["overall"],
            choices=", ".join(f'"{key}" ({text})' for key, text in self._criteria.overall.items()),
            sentences=texts["sentences"],
            omissions=texts["omissions"],
            most=self._criteria.most_omissions,
            omitted_diseases=texts["omitted_diseases"],
            diseases="\n".join(self._diseases.values()),
            form=json.dumps({"rationales": [form]}),
        )


def _exactly(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
