"""Errors planted in rationales of the rule-based teacher, for claims.py.

That a planted statement is wrong is verified here reading by reading, without the checker.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from clinragen.claims.check import CONTRADICTED, UNVERIFIABLE
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from clinragen.teachers.wording import Writer, load_wording
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import Finding, find_signs, load_sign_rules
from modeling_clinragen.lab_words_clinragen import number_in_words
from modeling_clinragen.numbers_clinragen import round_to_step

PHRASES = Path(__file__).resolve().parent.parent / "dataset_builder" / "synthetic" / "phrases.yaml"
VOCABULARY = shipped_definitions().vocabulary
NAMES = {variable.key: variable.name for variable in VOCABULARY.variables}
RANGES = VOCABULARY.range_set("clinical")
SCALES = {variable.key: variable.scale for variable in VOCABULARY.variables if variable.scale is not None}
# Errors in what is said of diseases, not of the data.
ARGUED = ("contrary quote", "contrary sign", "denied note", "denied series")
EXTENTS = ("once", "few", "some", "most", "every")
# The same findings in other words than the teacher's.
WORDS = {
    ("heart_rate", "high"): ("The patient is tachycardic.", "HR is elevated.", "There is sinus tachycardia."),
    ("heart_rate", "low"): ("The patient is bradycardic.", "A slow pulse is recorded.", "HR is reduced."),
    ("systolic_blood_pressure", "high"): ("SBP is above normal.", "The systolic pressure is raised."),
    ("systolic_blood_pressure", "low"): ("The patient is hypotensive.", "SBP is below the normal range."),
    ("mean_blood_pressure", "low"): ("MAP is reduced.", "The mean arterial pressure is depressed."),
    ("mean_blood_pressure", "high"): ("MAP is elevated.", "The mean arterial pressure is raised."),
    ("temperature", "high"): ("The patient is febrile.", "Fever is present.", "Temp is elevated."),
    ("temperature", "low"): ("The patient is hypothermic.", "The body temperature is low."),
    ("oxygen_saturation", "low"): ("The patient is hypoxic.", "SpO2 is reduced.", "Desaturations occur."),
    ("respiratory_rate", "high"): ("The patient is tachypneic.", "RR is elevated.", "Tachypnea is noted."),
    ("respiratory_rate", "low"): ("RR is reduced.", "Bradypnea is seen."),
    ("glucose", "high"): ("The patient is hyperglycemic.", "Blood sugar is elevated."),
    ("glucose", "low"): ("Hypoglycemia occurs.", "Blood glucose is below normal."),
    ("ph", "low"): ("There is acidemia.", "The patient is acidotic.", "Arterial pH is decreased."),
    ("ph", "high"): ("There is alkalemia.", "The patient is alkalotic.", "Arterial pH is raised."),
}


@dataclass(frozen=True)
class Planted:
    """A clean text and the same with one error; `verdict` is the right one on the wrong statement."""

    kind: str
    clean: str
    wrong: str
    example: Mapping[str, Any]
    verdict: str = CONTRADICTED


class Truth:
    """One example's readings as plain lists, for judging statements one reading at a time."""

    def __init__(self, example: Mapping[str, Any]) -> None:
        self.readings: dict[str, list[tuple[float, float]]] = {}
        for column, key in enumerate(NAMES):
            self.readings[key] = [
                (float(hour), float(row[column]))
                for hour, row, seen in zip(
                    example["lab_hours"], example["lab_values"], example["lab_observed"], strict=True
                )
                if seen[column]
            ]

    def beyond(self, key: str, direction: str) -> list[bool]:
        """Whether each reading is low or high."""
        if key not in RANGES.bounds:
            return [False for _ in self.readings[key]]
        return [RANGES.level(key, round(value, 5)) == direction for _, value in self.readings[key]]

    def share(self, key: str, direction: str, first: float = float("-inf"), last: float = float("inf")) -> float:
        """Share of the readings between two hours that are low or high."""
        chosen = [
            at
            for (hour, _), at in zip(self.readings[key], self.beyond(key, direction), strict=True)
            if first - 1 <= hour <= last + 1
        ]
        return sum(chosen) / len(chosen) if chosen else 0.0

    def extreme(self, key: str, direction: str) -> float:
        """The greatest value for "high", the least for "low"."""
        values = [value for _, value in self.readings[key]]
        return min(values) if direction == "low" else max(values)

    def extent_wrong(self, found: Finding) -> bool:
        """Whether the finding's share is wrong, both of all readings and of those in the stated time."""
        first = float("-inf") if found.onset is None else found.onset
        last = float("inf") if found.offset is None else found.offset
        shares = [
            self.share(found.variable, found.direction),
            self.share(found.variable, found.direction, first, last),
        ]
        count = sum(self.beyond(found.variable, found.direction))
        holds = {
            "every": lambda share: share == 1,
            "most": lambda share: share > 0.5,
            "some": lambda share: 0 < share <= 0.75,
            "few": lambda share: 0 < share <= 0.35,
            "once": lambda share: count == 1,
        }[found.extent]
        return not any(holds(share) for share in shares)

    def number_wrong(self, found: Finding) -> bool:
        """Whether the stated extreme is more than a step away from the true one."""
        step = SCALES[found.variable].step
        return abs(self.extreme(found.variable, found.direction) - float(found.end)) > step


class Planter:
    """Plants errors in the rationales of one cohort."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._knowledge = load_knowledge(None, VOCABULARY)
        self._teacher = RuleTeacher(self._knowledge, VOCABULARY, RANGES, seed)
        self._names = VOCABULARY.name_of_disease
        self._phrases = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))["diseases"]
        self._quotes = sorted(
            {quote for row in rows for quote in re.findall(r'"([^"]+)"', self._teacher.write(row).note)}
        )

    def all(self) -> Iterator[Planted]:
        """Every planted error of every example, one of each kind at most."""
        for row in self._rows:
            rng = random.Random(f"{self._seed}:{row['example_id']}:planted")
            writer = Writer(load_wording(), VOCABULARY, random.Random(f"{self._seed}:{row['example_id']}"))
            rationale = self._teacher.write(row)
            series = LabSeries.from_example(VOCABULARY, row)
            findings = list(find_signs(series, RANGES, load_sign_rules()).values())
            rng.shuffle(findings)
            yield from self._lab(row, rationale.lab, findings, writer, rng)
            yield from self._summary(row, rng)
            yield from self._note(row, rationale.note, writer, rng)
            yield from self._argued(row, rationale.note, rationale.lab, findings, writer)

    def _lab(
        self, row: Mapping[str, Any], text: str, findings: list[Finding], writer: Writer, rng: random.Random
    ) -> Iterator[Planted]:
        truth = Truth(row)
        made: set[str] = set()
        for found in findings:
            stated = writer.finding(found)
            clean = (
                text
                if stated in text
                else f"{text} {writer.lab_support(found, row['diagnoses'][:1] or ['Shock'], None)}"
            )
            for kind, wrong, verdict in self._wrong(found, truth, writer, rng):
                if kind not in made:
                    made.add(kind)
                    yield Planted(kind, clean, clean.replace(stated, wrong), row, verdict)
        yield from self._normal(row, text, truth, writer, rng)

    def _wrong(
        self, found: Finding, truth: Truth, writer: Writer, rng: random.Random
    ) -> Iterator[tuple[str, str, str]]:
        """Kind, wrong wording of the finding, verdict."""
        opposite = {"high": "low", "low": "high", "rising": "falling", "falling": "rising"}
        missing = [key for key, readings in truth.readings.items() if not readings]
        if missing and found.direction != "erratic":
            yield "unmeasured", writer.finding(replace(found, variable=rng.choice(missing))), UNVERIFIABLE
        if found.direction in ("rising", "falling"):
            turned = replace(found, direction=opposite[found.direction])
            swapped = replace(turned, start=found.end, end=found.start)
            yield "direction", writer.finding(rng.choice([turned, swapped])), CONTRADICTED
        if found.direction not in ("high", "low"):
            return
        flipped = replace(found, direction=opposite[found.direction])
        if truth.number_wrong(flipped):
            yield "level", writer.finding(flipped), CONTRADICTED
        name = NAMES[found.variable]
        level = found.direction
        denied = [f"{name} is never {level}", f"{name} is not {level}", f"{name} is {level} in no reading"]
        yield "negation", rng.choice(denied), CONTRADICTED
        step = SCALES[found.variable].step
        moved = float(found.end) + rng.choice([-4, -3, -2, 2, 3, 4]) * step
        number = replace(found, end=round_to_step(SCALES[found.variable], moved))
        if truth.number_wrong(number):
            yield "extreme", writer.finding(number), CONTRADICTED
        extents = [replace(found, extent=extent) for extent in EXTENTS if extent != found.extent]
        extents = [other for other in extents if truth.extent_wrong(other)]
        if extents:
            yield "count", writer.finding(rng.choice(extents)), CONTRADICTED
        late = self._other_time(found, truth, rng)
        if late is not None:
            yield "timing", writer.finding(late), CONTRADICTED
        others = [key for key, readings in truth.readings.items() if readings and key in RANGES.bounds]
        swaps = [replace(found, variable=key) for key in others if key != found.variable]
        swaps = [other for other in swaps if truth.extent_wrong(other) and truth.number_wrong(other)]
        if swaps:
            yield "variable", writer.finding(rng.choice(swaps)), CONTRADICTED

    def _argued(
        self, row: Mapping[str, Any], note: str, lab: str, findings: Sequence[Finding], writer: Writer
    ) -> Iterator[Planted]:
        """Evidence for a disease that it is none of, and diseases denied although there is evidence for them."""
        rng = random.Random(f"{self._seed}:{row['example_id']}:argued")
        mentions = self._teacher.mentions(row["note"])
        if mentions:
            key = rng.choice(sorted(mentions))
            yield Planted("denied note", note, f"{note} {writer.note_part('none', [self._names[key]])}", row)
            quote = mentions[key][0].quote
            words = set(re.findall(r"[a-z]+", quote.lower()))
            strangers = [name for other, name in self._names.items() if not words & self._vocabulary_of(other)]
            if strangers:
                wrong = writer.note_support([quote], [rng.choice(strangers)])
                yield Planted("contrary quote", note, f"{note} {wrong}", row)
        if not findings:
            return
        found = findings[0]
        diseases = self._knowledge.diseases
        signs = {entry.key: {(one.variable, one.direction) for one in entry.signs} for entry in diseases}
        place = (found.variable, found.direction)
        own = [key for key, listed in signs.items() if place in listed]
        if own:
            wrong = writer.lab_part("none", [self._names[rng.choice(own)]])
            yield Planted("denied series", lab, f"{lab} {wrong}", row)
            others = [key for key, listed in signs.items() if found.variable not in {name for name, _ in listed}]
            wrong = writer.lab_support(found, [self._names[rng.choice(others)]], None)
            yield Planted("contrary sign", lab, f"{lab} {wrong}", row)

    def _vocabulary_of(self, key: str) -> set[str]:
        """Every word of the terms and measurements of a disease."""
        entry = self._knowledge.disease(key)
        texts = [surface for term in entry.terms for surface in term.surfaces]
        texts += [name for rule in entry.values for name in rule.names]
        return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}

    def _other_time(self, found: Finding, truth: Truth, rng: random.Random) -> Finding | None:
        """The finding with an hour that at least two readings contradict."""
        at = truth.beyond(found.variable, found.direction)
        hours = [hour for hour, _ in truth.readings[found.variable]]
        pairs = list(zip(hours, at, strict=True))
        choices = []
        for hour in range(0, int(hours[-1]) + 1):
            if found.onset is not None and found.extent != "once":
                early = sum(level for time_, level in pairs if time_ < hour - 2)
                late = sum(not level for time_, level in pairs if hour <= time_ < found.onset - 0.5)
                if max(early, late) >= 2:
                    choices.append(replace(found, onset=hour))
            elif found.onset is not None and abs(hour - found.onset) >= 3:
                choices.append(replace(found, onset=hour))
            elif found.offset is not None:
                late = sum(level for time_, level in pairs if time_ > hour + 2)
                early = sum(not level for time_, level in pairs if found.offset + 0.5 < time_ <= hour)
                if max(early, late) >= 2:
                    choices.append(replace(found, offset=hour))
        return rng.choice(choices) if choices else None

    def _normal(
        self, row: Mapping[str, Any], text: str, truth: Truth, writer: Writer, rng: random.Random
    ) -> Iterator[Planted]:
        judged = [key for key, readings in truth.readings.items() if readings and key in RANGES.bounds]
        beyond = {key: any(truth.beyond(key, "low")) or any(truth.beyond(key, "high")) for key in judged}
        normal = [key for key in judged if not beyond[key]]
        abnormal = [key for key in judged if beyond[key]]
        clean = f"{text} {writer.normal(normal[:2])}" if normal else text
        if abnormal:
            named = [*normal[:1], rng.choice(abnormal)]
            yield Planted("normality", clean, f"{text} {writer.normal(named)}", row)
        pairs = [(key, side) for key, side in WORDS if key in judged]
        right = [pair for pair in pairs if truth.share(*pair) >= 0.2]
        wrong = [pair for pair in pairs if truth.share(*pair) == 0]
        if right and wrong:
            yield Planted(
                "reworded level",
                f"{text} {rng.choice(WORDS[rng.choice(right)])}",
                f"{text} {rng.choice(WORDS[rng.choice(wrong)])}",
                row,
            )

    def _summary(self, row: Mapping[str, Any], rng: random.Random) -> Iterator[Planted]:
        text, truth = row["lab_summary"], Truth(row)
        counts = [
            (key, side, sum(truth.beyond(key, side)))
            for key in NAMES
            for side in ("low", "high")
            if sum(truth.beyond(key, side))
        ]
        if not counts:
            return
        key, side, count = rng.choice(counts)
        stated = f"{'higher' if side == 'high' else 'lower'} than normal {_times(count)}"
        start = text.index(NAMES[key] + " is ")
        place = text.index(stated, start)
        other = rng.choice([number for number in range(max(1, count - 3), count + 4) if number != count])
        wrong = text[:place] + stated.replace(_times(count), _times(other)) + text[place + len(stated) :]
        yield Planted("summary count", text, wrong, row)

    def _note(self, row: Mapping[str, Any], text: str, writer: Writer, rng: random.Random) -> Iterator[Planted]:
        note = " ".join(row["note"].split()).lower()
        quotes = re.findall(r'"([^"]+)"', text)
        if quotes:
            quote = rng.choice(quotes)
            absent = [other for other in self._quotes if other.lower() not in note]
            yield Planted("invented quote", text, text.replace(f'"{quote}"', f'"{rng.choice(absent)}"'), row)
            yield Planted("negation of a quote", text, f'{text} The note does not mention "{quote}".', row)
        for kind, forms, pattern in (
            ("negated quote", ("denied", "excluded", "no_history"), _NEGATED),
            ("historical quote", ("historical",), _HISTORICAL),
            ("family quote", ("family",), _FAMILY),
        ):
            found = []
            for entry in self._knowledge.diseases:
                if kind == "historical quote" and entry.history_counts:
                    continue
                for form in forms:
                    for phrase in self._phrases[entry.key].get(form, []):
                        body = re.escape(phrase.lower())
                        once = len(re.findall(rf"(?<!\w){body}(?!\w)", note)) == 1
                        if once and re.search(pattern.format(body), note):
                            found.append((phrase, self._names[entry.key]))
            if found:
                phrase, name = rng.choice(found)
                yield Planted(kind, text, f"{text} {writer.note_support([phrase], [name])}", row)


# The frames of the synthetic notes (dataset_builder/synthetic/phrases.yaml).
_NEGATED = (
    r"(?:denies|denied any|negative for|without|no evidence of|no sign of|ruled out for|no history of|no known hx of"
    r"|no prior history of)[^.:]*(?<!\w){}(?!\w)"
)
_HISTORICAL = r"(?:h/o {0}, no recurrence|remote {0}, fully recovered|{0}, resolved)"
_FAMILY = r"(?:(?:mother|father|brother|sister|grandfather|aunt) (?:with|had|died of complications of)|fhx of) {}"


def _times(number: int) -> str:
    return f"{number_in_words(number)} time{'' if number == 1 else 's'}"
